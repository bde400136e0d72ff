// SPDX-License-Identifier: Apache-2.0
// What goes between the hosts of a stage, and what the kernel and the daemons have counted of it.
import Foundation
import Testing

@testable import VPNNode

/// What the kernel counted of one interface since it was made.
struct InterfaceCounts: Decodable {
    struct Direction: Decodable {
        var bytes: Int
        var packets: Int
    }
    /// From the kernel into it, and out of it to the kernel.
    var tx: Direction
    var rx: Direction
}

extension Stage {
    /// Whether each of three packets of exactly so many bytes, which may not be fragmented, was answered.
    func passes(_ size: Int, to address: String, from host: DemoHost) throws -> Bool {
        let headers = address.contains(":") ? 48 : 28
        let shape = ["-M", "do", "-s", "\(size - headers)"]
        let command = [tools.ping, "-n", "-c", "3", "-i", "0.2", "-W", "2"] + shape + [address]
        let result = PingResult(try run("ping", on: host, command).output)
        return result.map { $0.sent == 3 && $0.received == 3 } ?? false
    }

    /// Bytes that arrived in a second of iperf3.
    func transfer(to address: String, of server: DemoHost, from client: DemoHost) throws -> Double {
        let listener = try start("iperf3-server", on: server, [tools.iperf3, "--server", "--one-off", "--forceflush"])
        try DemoProcess.wait(20, for: "the iperf3 server") { listener.output.contains("listening on") }
        let client = try start(
            "iperf3-client", on: client, [tools.iperf3, "--client", address, "--time", "1", "--json"])
        _ = try client.finish(within: 60)
        listener.stop()
        return ThroughputResult(client.outputBytes)?.bytes ?? 0
    }

    /// What a tool of the host's printed; throws where it failed.
    @discardableResult
    func tool(_ words: String..., on host: DemoHost) throws -> String {
        let outcome = try run(words[0], on: host, [DemoTools.path(of: words[0]) ?? words[0]] + words.dropFirst())
        guard outcome.status == 0 else { throw NodeFailure(.failure, "\(words): \(outcome.errors)\(outcome.output)") }
        return outcome.output
    }

    /// What a node says of itself.
    func report(of node: StageNode) throws -> StatusReport {
        let outcome = try run("status", on: node.host, [pqvpn, "status", "--json"], environment: node.environment)
        return try StatusReport(answer: outcome.output)
    }

    func counts(_ interface: String = DemoHost.interface, of host: DemoHost) throws -> InterfaceCounts {
        struct Interface: Decodable { var stats64: InterfaceCounts }
        let text = try host.ip("-n", host.namespace, "-s", "-j", "link", "show", "dev", interface)
        return try #require(try JSONDecoder().decode([Interface].self, from: Data(text.utf8)).first).stats64
    }
}

extension StageNode {
    /// Takes the configuration as it is now, and waits until it counts.
    func reload() throws {
        let number = events("config.reloaded").count
        try writeConfiguration()
        daemon?.send(SIGHUP)
        try event("config.reloaded") { _ in events("config.reloaded").count > number }
    }

    /// Of one core, over some time: what a daemon needs that spins.
    func load(over seconds: Double) throws -> Double {
        let daemon = try #require(daemon)
        let before = try #require(daemon.processorSeconds)
        Thread.sleep(forTimeInterval: seconds)
        return (try #require(daemon.processorSeconds) - before) / seconds
    }
}
