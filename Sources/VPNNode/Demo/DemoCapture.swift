// SPDX-License-Identifier: Apache-2.0
// A running tcpdump on one interface of a demonstration host.
internal import Foundation

struct DemoCapture {
    private let process: DemoProcess

    /// Begins and waits until packets are being seen. Whole packets are kept, `limit` of them at most.
    init(_ name: String, on interface: String, of host: DemoHost, tools: DemoTools, limit: Int) throws {
        // The capture goes through standard output: an AppArmor profile may forbid tcpdump to write where we like.
        let process = try host.start(
            name, tools.tcpdump,
            ["-i", interface, "-n", "-U", "--immediate-mode", "-Z", "root", "-s", "0", "-c", "\(limit)", "-w", "-"])
        self.process = process
        do {
            try DemoProcess.wait(10, for: "tcpdump on \(interface)") {
                guard process.isRunning else {
                    throw NodeFailure(.failure, "tcpdump on \(interface) ended:\n\(process.lastErrors())")
                }
                return process.errors.contains("listening on")
            }
        } catch {
            process.stop()
            throw error
        }
    }

    /// Ends it and reads what it has seen.
    func finish() throws -> PacketCapture {
        // What was sent a moment ago may still be on its way into the file.
        Thread.sleep(forTimeInterval: 0.2)
        process.stop()
        do {
            return try PacketCapture(process.outputBytes)
        } catch {
            throw NodeFailure(.failure, "the capture of \(process.name) cannot be read: \(error)")
        }
    }

    func stop() { process.stop() }
}
