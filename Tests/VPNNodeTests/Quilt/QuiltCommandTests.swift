// SPDX-License-Identifier: Apache-2.0
// `pqvpn quilt` on running daemons that meet by both families of the loopback interface, and what else tells of their two paths.
import Foundation
import Glibc
import Testing

@testable import VPNNode

@Suite(.serialized, .timeLimit(.minutes(3))) struct QuiltCommandTests {
    private func quilt(_ pair: DaemonPair, _ node: String, until isWanted: (QuiltReport.Quilt) -> Bool) throws
        -> QuiltReport.Quilt?
    {
        for _ in 0..<300 {
            let outcome = try pair.run(["quilt", "--json"], node: node)
            if let report = try? JSONDecoder().decode(QuiltReport.self, from: Data(outcome.output.utf8)),
                let quilt = report.quilts.first, isWanted(quilt)
            {
                return quilt
            }
            usleep(100_000)
        }
        return nil
    }

    private func areUp(_ quilt: QuiltReport.Quilt) -> Bool {
        quilt.up == 2 && quilt.joining.isEmpty && quilt.paths.allSatisfy { $0.roundTripSeconds != nil }
    }

    @Test func bothEndsSeeBothPaths() throws {
        let pair = try DaemonPair(quilt: "scheduler: minrtt")
        for (node, other, scheduler) in [("alice", "bob", "minrtt"), ("bob", "alice", "edpf")] {
            let quilt = try #require(try quilt(pair, node, until: areUp), "\(pair.alice.text)\(pair.bob.text)")
            #expect(quilt.peer == other && quilt.scheduler == scheduler && quilt.paths.map(\.number) == [0, 1])
            #expect(quilt.paths[0].endpoint.hasPrefix("127.0.0.1:") && quilt.paths[1].endpoint.hasPrefix("[::1]:"))
            #expect(quilt.paths.allSatisfy { $0.interface == nil && $0.bytesOut > 0 && $0.bytesIn > 0 })
            #expect((quilt.paths.map(\.shareOut).reduce(0, +) - 1).magnitude < 1e-9)
            let report = try pair.run(["quilt", other, "--json"], node: node)
            #expect(try report.status == 0 && JSONSchema("quilt").faults(in: report.output) == [], "\(report)")
            let words = try pair.run(["quilt"], node: node).output
            #expect(words.contains("\(other)  2 of 2 paths up, \(scheduler)\nPATH  TO"), "\(words)")
            let status = try pair.run(["status", "--json"], node: node)
            #expect(try JSONSchema("status").faults(in: status.output) == [], "\(status)")
            #expect(
                try pair.run(["status"], node: node).output.contains(
                    "Quilt      \(other): 2 of 2 paths up, \(scheduler)"))
        }
        let page = try pair.run(["quilt", "nobody"])
        #expect(page.status == 2 && page.errors.contains("there is no peer 'nobody'"), "\(page)")
        #expect(pair.alice.event("quilt.path")?["peer_name"] as? String == "bob")
    }

    @Test func onePathIsNoQuilt() throws {
        let pair = try DaemonPair()
        _ = try pair.status { $0.verdict == .protected }
        let all = try pair.run(["quilt"])
        #expect(all.status == 0 && all.output.contains("no session goes by more than one path"), "\(all)")
        let named = try pair.run(["quilt", "bob"])
        #expect(named.status == 1 && named.errors.contains("goes by one path"), "\(named)")
        #expect(try JSONSchema("quilt").faults(in: pair.run(["quilt", "--json"]).output) == [])
    }

    @Test func anotherSchedulerIsTakenByAReload() throws {
        let pair = try DaemonPair(quilt: "scheduler: minrtt")
        _ = try #require(try quilt(pair, "alice", until: areUp))
        let text = try pair.scratch.read("alice.yaml")
        try pair.scratch.write(
            text.replacingOccurrences(of: "scheduler: minrtt", with: "scheduler: weighted"), to: "alice.yaml")
        let reload = try pair.run(["reload"])
        #expect(reload.status == 0 && reload.output.contains("peers.bob.quilt"), "\(reload)")
        let quilt = try quilt(pair, "alice") { $0.scheduler == "weighted" && areUp($0) }
        #expect(quilt != nil, "\(pair.alice.text)")
        // And none at all.
        try pair.scratch.write(text.replacingOccurrences(of: "quilt: {", with: "quilt: false, #"), to: "alice.yaml")
        let broken = try pair.run(["reload"])
        #expect(broken.status == 2, "a flow map that a comment cuts")
        let one = text.replacing(#/quilt: \{[^}]*\}/#, with: "quilt: false")
        try pair.scratch.write(one, to: "alice.yaml")
        #expect(try pair.run(["reload"]).status == 0, "\(one)")
        var words = ""
        for _ in 0..<100 where !words.contains("no session goes by more") {
            words = try pair.run(["quilt"]).output
            usleep(100_000)
        }
        #expect(words.contains("no session goes by more"), "\(words)")
    }

    @Test func theMetricsTellOfPaths() throws {
        let pair = try DaemonPair(
            alice: "metrics: { prometheus: true, bind_port: 0, per_peer: true }\n", quilt: "paths: 2")
        _ = try #require(try quilt(pair, "alice", until: areUp))
        let address = try #require(pair.alice.event("metrics.listening")?["address"] as? String, "\(pair.alice.text)")
        let port = try #require(address.split(separator: ":").last.flatMap { UInt16($0) })
        let answer = try #require(LoopbackHTTP.ask(port, "/metrics"))
        let page = try #require(ParsedMetrics(answer.body), "\(answer.body)")
        #expect(page.value("pqvpn_quilts") == 1)
        for (state, count) in [("up", 2.0), ("joining", 0), ("suspect", 0), ("down", 0)] {
            #expect(page.value("pqvpn_quilt_paths", ["state": state]) == count, "\(state)")
        }
        for name in ["first", "added"] {
            #expect(try #require(page.value("pqvpn_quilt_longest_round_trip_seconds", ["class": name])) > 0)
            #expect(try #require(page.value("pqvpn_quilt_sent_bytes", ["class": name])) > 0)
            #expect(try #require(page.value("pqvpn_quilt_received_bytes", ["class": name])) > 0)
        }
        for path in ["0", "1"] {
            #expect(page.value("pqvpn_peer_path_up", ["peer": "bob", "path": path]) == 1)
            #expect(try #require(page.value("pqvpn_peer_path_round_trip_seconds", ["peer": "bob", "path": path])) > 0)
        }
        #expect(page.value("pqvpn_quilt_waited_packets") != nil && page.value("pqvpn_quilt_resent_datagrams") == 0)
    }
}
