// SPDX-License-Identifier: Apache-2.0
// The whole demonstration, by the program as it was built: two hosts, two daemons, pings, TCP, captures.
import Foundation
import Testing

@testable import VPNNode

@Suite(.serialized, .threads(.programs)) struct DemoRunTests {
    /// The program under test; nil where it is not built.
    private static var program: String? {
        let given = ProcessInfo.processInfo.environment["PQVPN_BINARY"]
        let path = given ?? FileManager.default.currentDirectoryPath + "/.build-test/release/pqvpn"
        return FileManager.default.isExecutableFile(atPath: path) ? path : nil
    }

    private func run(_ arguments: [String], interruptAfter seconds: Double? = nil) throws -> DemoProcess.Outcome? {
        guard let program = Self.program else {
            print("SKIPPED: \(#fileID): there is no pqvpn: run make test, or set PQVPN_BINARY")
            return nil
        }
        let directory = FileManager.default.temporaryDirectory.path + "/pqvpn-test-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        let process = try DemoProcess("demo", program, ["demo"] + arguments, directory: directory)
        if let seconds {
            Thread.sleep(forTimeInterval: seconds)
            process.send(2)
        }
        let outcome = try process.finish(within: 240)
        if outcome.status == ExitStatus.permission.rawValue {
            print("SKIPPED: \(#fileID): \(outcome.errors)")
            return nil
        }
        return outcome
    }

    /// The random part of the names of a run, by its own words.
    private func suffix(_ text: String) -> String? {
        for name in ["a", "client"] {
            if let rest = text.split(separator: "pqvpn-demo-\(name)-").dropFirst().first {
                return String(rest.prefix(6))
            }
        }
        return nil
    }

    private func expectNothingLeft(_ outcome: DemoProcess.Outcome) throws {
        guard let suffix = suffix(outcome.errors) else { return }
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/run/netns")) ?? []
        #expect(!names.contains { $0.hasSuffix(suffix) }, "no host is left")
        let files = try FileManager.default.contentsOfDirectory(atPath: FileManager.default.temporaryDirectory.path)
        #expect(!files.contains { $0.hasSuffix(suffix) }, "no file is left")
    }

    @Test func showsACircuitWhoseRelaysKnowNoMoreThanTheirNeighbours() throws {
        guard let outcome = try run(["--json", "--circuit", "3"]) else { return }
        #expect(outcome.status == 0, "\(outcome.errors)\n\(outcome.output)")
        let parsed = try JSONSerialization.jsonObject(with: Data(outcome.output.utf8))
        let object = try #require(parsed as? [String: Any], "one object and nothing else on standard output")
        #expect(object["ok"] as? Bool == true, "\(outcome.output)")
        #expect(object["schema"] as? String == "pqvpn.demo.circuit/1")
        let relays = try #require(object["relays"] as? [[String: Any]])
        #expect(relays.map { $0["sees_client"] as? Bool } == [true, false, false])
        #expect(relays.map { $0["sees_server"] as? Bool } == [false, false, true])
        #expect(relays.map { $0["sees_page"] as? Bool } == [false, false, true])
        #expect(outcome.errors.contains("What each relay could see"))
        try expectNothingLeft(outcome)
    }

    @Test func showsAQuiltThatOutlivesItsBestPath() throws {
        let plot = FileManager.default.temporaryDirectory.path + "/pqvpn-plot-\(UUID().uuidString).svg"
        defer { try? FileManager.default.removeItem(atPath: plot) }
        // Rates and pauses are asked of a machine that may have other things to do: two more times are given.
        var (last, took) = (nil as DemoProcess.Outcome?, 0.0)
        for _ in 0..<3 where last?.status != 0 {
            let began = Date()
            guard let outcome = try run(["--json", "--quilt", "--plot", plot]) else { return }
            (last, took) = (outcome, Date().timeIntervalSince(began))
        }
        let outcome = try #require(last)
        #expect(took < 50, "\(took) s")
        let parsed = try JSONSerialization.jsonObject(with: Data(outcome.output.utf8))
        let object = try #require(parsed as? [String: Any], "one object and nothing else on standard output")
        #expect(object["schema"] as? String == "pqvpn.demo.quilt/1", "\(outcome.output)\n\(outcome.errors)")
        let checks = try #require(object["checks"] as? [[String: Any]])
        let failed = checks.filter { $0["ok"] as? Bool != true }.compactMap { $0["name"] as? String }
        #expect(checks.count >= 3 && failed.isEmpty, "\(failed): \(outcome.output)")
        #expect(object["ok"] as? Bool == true, "\(outcome.output)")
        func number(_ name: String) -> Double { (object[name] as? NSNumber)?.doubleValue ?? -1 }
        #expect(number("together_mbps") > number("best_alone_mbps") * 0.9, "\(outcome.output)")
        #expect((0...800).contains(number("pause_ms")), "\(outcome.output)")
        let paths = try #require((object["quilt"] as? [String: Any])?["paths"] as? [[String: Any]])
        #expect(paths.count == 3)
        #expect(outcome.status == 0, "\(outcome.errors)")
        #expect(try String(contentsOfFile: plot, encoding: .utf8).hasSuffix("</svg>\n"))
        try expectNothingLeft(outcome)
    }

    @Test func aQuiltThatIsInterruptedLeavesNothingBehind() throws {
        guard let outcome = try run(["--json", "--quilt"], interruptAfter: 4) else { return }
        #expect([ExitStatus.failure.rawValue, 130].contains(outcome.status), "\(outcome.errors)")
        try expectNothingLeft(outcome)
    }

    @Test(arguments: [["--quilt", "--circuit", "3"], ["--plot", "x.svg"], ["--quilt", "--plot", "/nowhere/x.svg"]])
    func optionsThatDoNotGoTogetherAreRefused(_ arguments: [String]) throws {
        guard let outcome = try run(arguments) else { return }
        #expect(outcome.status == ExitStatus.usage.rawValue, "\(outcome.errors)")
    }

    @Test func showsATunnelThatHidesItsContent() throws {
        guard let outcome = try run(["--json", "--seconds", "1"]) else { return }
        #expect(outcome.status == 0, "\(outcome.errors)")
        let parsed = try JSONSerialization.jsonObject(with: Data(outcome.output.utf8))
        let object = try #require(parsed as? [String: Any], "one object and nothing else on standard output")
        #expect(object["ok"] as? Bool == true, "\(outcome.output)")
        #expect(object["kem"] as? String == "ML-KEM-1024+brainpoolP512r1")
        #expect(object["signatures"] as? String == "Ed25519+ML-DSA-87")
        for key in ["handshake_ms", "s1_bytes", "s2_bytes", "ping4_ms", "ping6_ms", "tcp_mbps"] {
            let number = (object[key] as? NSNumber)?.doubleValue
            #expect(number.map { $0 > 0 } == true, "\(key)")
        }
        #expect(suffix(outcome.errors) != nil)
        try expectNothingLeft(outcome)
    }

    @Test(arguments: [0.1, 0.5, 1.5])
    func aSignalLeavesNothingBehind(seconds: Double) throws {
        guard let outcome = try run(["--json", "--seconds", "600"], interruptAfter: seconds) else { return }
        // 130 where the signal came before the program could listen, and so before it had made anything.
        #expect([ExitStatus.failure.rawValue, 130].contains(outcome.status), "\(outcome.errors)")
        try expectNothingLeft(outcome)
    }
}
