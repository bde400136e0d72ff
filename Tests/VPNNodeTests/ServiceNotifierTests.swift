// SPDX-License-Identifier: Apache-2.0
// What a service manager hears: from a socket of our own in its place.
import Foundation
import Glibc
import Testing

@testable import VPNNode

/// A datagram socket at a path or an abstract name.
final class ListeningManager {
    private let descriptor: Int32

    init(_ address: String) throws {
        descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue), 0)
        var own = sockaddr_un()
        own.sun_family = sa_family_t(AF_UNIX)
        var name = Array(address.utf8)
        if name[0] == UInt8(ascii: "@") { name[0] = 0 }
        // SAFETY: of a local, for the length of the calls; names are short.
        unsafe withUnsafeMutableBytes(of: &own.sun_path) { unsafe $0.copyBytes(from: name) }
        let result = unsafe withUnsafePointer(to: &own) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe bind(descriptor, $0, socklen_t(2 + name.count))
            }
        }
        guard result == 0 else { throw NodeFailure(.failure, "binding \(address): errno \(errno)") }
        var patience = timeval(tv_sec: 20, tv_usec: 0)
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    /// The lines of the next datagram; nil where none comes.
    func next() -> [String]? {
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
        guard count >= 0 else { return nil }
        return String(decoding: buffer[..<count], as: UTF8.self).split(separator: "\n").map(String.init)
    }

    /// Skips to the first datagram with such a line.
    func next(with line: String) -> [String]? {
        for _ in 0..<50 {
            guard let lines = next() else { return nil }
            if lines.contains(line) { return lines }
        }
        return nil
    }
}

@Suite(.serialized) struct ServiceNotifierTests {
    @Test(arguments: [false, true])
    func aManagerAtEitherKindOfAddressHears(_ isAbstract: Bool) throws {
        let scratch = try Scratch()
        let address = isAbstract ? "@pqvpn-test-\(UInt64.random(in: .min ... .max))" : scratch.file("notify")
        let manager = try ListeningManager(address)
        let notifier = ServiceNotifier(environment: ["NOTIFY_SOCKET": address])
        #expect(notifier.isWanted && notifier.watchdogInterval == nil)
        notifier.ready("up")
        #expect(manager.next() == ["READY=1", "STATUS=up", "MAINPID=\(getpid())"])
        notifier.reloading()
        let reloading = try #require(manager.next())
        #expect(reloading.first == "RELOADING=1" && reloading[1].hasPrefix("MONOTONIC_USEC="))
        #expect(Int(reloading[1].dropFirst(15)) ?? 0 > 0)
        notifier.stopping()
        #expect(manager.next()?.first == "STOPPING=1")
        notifier.isAlive()
        #expect(manager.next() == ["WATCHDOG=1"])
    }

    @Test func nobodyListensAndNothingHappens() {
        for address in ["", "relative", "/", "/no/such/socket", "/" + String(repeating: "x", count: 107), "@"] {
            let notifier = ServiceNotifier(environment: ["NOTIFY_SOCKET": address, "WATCHDOG_USEC": "1000000"])
            notifier.ready("up")
            #expect(notifier.isWanted == (address == "/no/such/socket"), "\(address)")
        }
        #expect(!ServiceNotifier(environment: [:]).isWanted)
    }

    @Test func theWatchdogIsForOneProcess() {
        func interval(_ usec: String?, pid: String? = nil) -> Duration? {
            var environment = ["NOTIFY_SOCKET": "@x"]
            environment["WATCHDOG_USEC"] = usec
            environment["WATCHDOG_PID"] = pid
            return ServiceNotifier(environment: environment, pid: 42).watchdogInterval
        }
        #expect(interval("3000000") == .milliseconds(1500))
        #expect(interval("3000000", pid: "42") == .milliseconds(1500))
        for (usec, pid) in [("3000000", "43"), ("3000000", "x"), ("0", nil), ("-5", nil), ("x", nil), (nil, nil)] {
            #expect(interval(usec, pid: pid) == nil, "\(usec ?? "-") \(pid ?? "-")")
        }
    }

    @Test func aDaemonTellsItsWholeLife() throws {
        let scratch = try Scratch()
        let manager = try ListeningManager(scratch.file("notify"))
        try scratch.write(
            "network: { listen_port: 0, bind_host: 127.0.0.1 }\ntunnel: { enabled: false }\n", to: "c.yaml")
        let process = try Program.start(
            [
                "/usr/bin/env", "NOTIFY_SOCKET=\(scratch.file("notify"))", "WATCHDOG_USEC=200000", Program.path, "run",
                "--config", "c.yaml",
            ], in: scratch, output: "out", errors: "err")
        defer { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
        let ready = try #require(manager.next(with: "READY=1"), "\((try? scratch.read("err")) ?? "")")
        #expect(ready.contains("MAINPID=\(process.processIdentifier)"))
        // More than once: the second answers for a beat that the workers were asked for.
        for _ in 0..<3 { #expect(manager.next(with: "WATCHDOG=1") != nil) }
        kill(process.processIdentifier, SIGHUP)
        #expect(manager.next(with: "RELOADING=1") != nil)
        #expect(manager.next(with: "READY=1") != nil)
        kill(process.processIdentifier, SIGTERM)
        #expect(manager.next(with: "STOPPING=1") != nil)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
    }
}
