// SPDX-License-Identifier: Apache-2.0
// Commands about circuits on running daemons: what they show, what they do, and what they answer to nonsense.
import Foundation
import Glibc
import Testing

@testable import VPNNode

@Suite(.serialized, .timeLimit(.minutes(3))) struct CircuitCommandTests {
    private func own(_ report: [String: Any]) -> [[String: Any]] { report["circuits"] as? [[String: Any]] ?? [] }
    private func relay(_ report: [String: Any], _ key: String) -> Int {
        (report["relay"] as? [String: Any])?[key] as? Int ?? -1
    }

    @Test func aCircuitIsSeenAndSteered() throws {
        let chain = try CircuitChain(relays: 2)
        let first = try chain.ask("client", ["circuits"]) { own($0).first?["state"] as? String == "ready" }
        let circuit = try #require(own(first).first, "\(first) \(chain["client"].text)")
        #expect(circuit["name"] as? String == "r2" && circuit["origin"] as? String == "configuration")
        #expect((circuit["hops"] as? [[String: Any]])?.compactMap { $0["name"] as? String } == ["r1", "r2"])
        #expect(circuit["since"] != nil && (circuit["mtu"] as? Int ?? 0) >= 1280)
        // Each keeps to its schema, at each node.
        for name in chain.names {
            for (words, schema) in [(["circuits"], "circuits"), (["status"], "status")] {
                let outcome = try chain.ask(name, words + ["--json"])
                #expect(try outcome.status == 0 && JSONSchema(schema).faults(in: outcome.output) == [], "\(outcome)")
            }
        }
        let words = try chain.ask("client", ["status"]).output
        #expect(words.hasPrefix("PROTECTED: traffic to all 2 peers"), "\(words)")
        #expect(words.contains("Circuit    r2: through r1 to r2, since 20"), "\(words)")
        let carried = try chain.ask("r1", ["circuits", "--json"])
        #expect(relay(carried.json ?? [:], "circuits") == 1 && own(carried.json ?? [:]).isEmpty, "\(carried.output)")
        #expect(!carried.output.contains(chain.ids["client"]!) && !carried.output.contains("r2"), "\(carried.output)")
        #expect(try chain.ask("r1", ["status"]).output.contains("Relays 1 circuit for others and is the last hop of 0"))
        #expect(
            try chain.ask("r2", ["status"]).output.contains("Relays 0 circuits for others and is the last hop of 1"))

        let shown = try chain.ask("client", ["circuit", "show", "r2", "--json"])
        #expect(try JSONSchema("circuit").faults(in: shown.output) == [], "\(shown.output)")
        let trace = try chain.ask("client", ["trace", "r2", "--json"])
        #expect(try trace.status == 0 && JSONSchema("trace").faults(in: trace.output) == [], "\(trace)")
        let hops = trace.json?["hops"] as? [[String: Any]] ?? []
        #expect(hops.count == 2 && hops.allSatisfy { $0["rtt_seconds"] != nil }, "\(trace.output)")
        #expect(hops[0]["endpoint"] != nil && hops[1]["endpoint"] == nil)
        #expect(try chain.ask("client", ["trace", "r1"]).output.hasPrefix("1  r1  "))

        let renewed = try chain.ask("client", ["circuit", "renew", "r2", "--json"])
        #expect(try renewed.status == 0 && JSONSchema("circuit-order").faults(in: renewed.output) == [], "\(renewed)")
        #expect(chain["client"].event("circuit.replaced") != nil)
        let second = try chain.ask("client", ["circuits"]) { own($0).first?["replaced"] as? Int == 1 }
        #expect(own(second).first?["replaced"] as? Int == 1)

        // A person's own, beside it.
        let built = try chain.ask(
            "client",
            [
                "circuit", "build", "mine", "--hops", "r1,\(chain.ids["r2"]!.prefix(10))", "--route", "10.98.0.0/24",
                "--json",
            ])
        #expect(try built.status == 0 && JSONSchema("circuit").faults(in: built.output) == [], "\(built)")
        let both = try chain.ask("client", ["circuits", "--json"])
        #expect(own(both.json ?? [:]).count == 2)
        #expect(try chain.ask("client", ["circuit", "close", "mine"]).status == 0)
        let left = try chain.ask("r2", ["circuits"]) { relay($0, "guests") == 1 }
        #expect(relay(left, "guests") == 1, "\(left)")

        // What the configuration wants comes back when it is read again.
        let closed = try chain.ask("client", ["circuit", "close", "r2"])
        #expect(closed.output.contains("the next reload or start builds it again"), "\(closed)")
        for name in ["r1", "r2"] {
            let none = try chain.ask(name, ["circuits"]) { relay($0, "circuits") == 0 && relay($0, "guests") == 0 }
            #expect(relay(none, "circuits") == 0 && relay(none, "guests") == 0, "\(name): \(none)")
        }
        #expect(try chain.ask("client", ["reload"]).status == 0)
        let again = try chain.ask("client", ["circuits"]) { own($0).first?["state"] as? String == "ready" }
        #expect(own(again).first?["state"] as? String == "ready")
    }

    @Test func nonsenseIsAnsweredWithWhatToDo() throws {
        let chain = try CircuitChain(relays: 2)
        #expect(chain["client"].event("circuit.ready") != nil, "\(chain["client"].text)")
        for (words, status, part) in [
            (["circuit", "build", "x", "--hops", "r1,rr2"], 2, "did you mean 'r2'?"),
            (["circuit", "build", "x", "--hops", "r1,r2,r1"], 2, "comes again"),
            (
                ["circuit", "build", "x", "--hops", "r2,r1"], 2,
                "'r2', the first hop, is no peer that this node meets directly"
            ),
            (["circuit", "build", "x", "--hops", "client,r2"], 2, "no pinned node 'client'"),
            (
                ["circuit", "build", "x", "--hops", Array(repeating: "r1,r2", count: 5).joined(separator: ",")], 2,
                "1 to 8 hops"
            ),
            (["circuit", "build", "x", "--hops", " , "], 2, "--hops must name one hop or more"),
            (["circuit", "build", "r2", "--hops", "r1,r2"], 2, "take another name"),
            (["circuit", "build", "r1", "--hops", "r1,r2"], 2, "take another name"),
            (["circuit", "build", "x\u{1B}[2J", "--hops", "r1,r2"], 2, "control characters"),
            (
                ["circuit", "build", "x", "--hops", "r1,r2", "--route", "10.98.0.1/24"], 2,
                "did you mean '10.98.0.0/24'?"
            ),
            (
                ["circuit", "build", "x", "--hops", "r1,r2", "--route", "10.99.0.9/32"], 2,
                "is a peer's or another circuit's"
            ),
            (["circuit", "close", "r3"], 2, "did you mean 'r2'?"),
            (["circuit", "renew", "zzzzz"], 2, "see pqvpn circuits"),
            (["circuit", "show", "zzzzz"], 2, "see pqvpn circuits"),
            (["trace", "zzzzz"], 2, "there is no peer 'zzzzz'"),
            (["trace", "r2", "--timeout", "99"], 2, "--timeout must be"),
        ] as [([String], Int32, String)] {
            let outcome = try chain.ask("client", words)
            #expect(outcome.status == status && outcome.errors.contains(part), "\(words): \(outcome)")
            let json = try chain.ask("client", words + ["--json"])
            #expect(try JSONSchema("error").faults(in: json.output) == [], "\(words): \(json)")
        }
        #expect(
            own(try chain.ask("client", ["circuits", "--json"]).json ?? [:]).count == 1, "none of it left anything")

        // Whose last hop is gone has a circuit that is down, and is told what to do.
        kill(chain["r2"].process.processIdentifier, SIGKILL)
        let down = try chain.ask("client", ["status"]) { report in
            (report["health"] as? [[String: Any]] ?? []).contains { $0["code"] as? String == "CIRCUIT_DOWN" }
        }
        #expect(down["verdict"] as? String == "partial", "\(down)")
        let text = try chain.ask("client", ["status"]).output
        #expect(text.contains("CIRCUIT_DOWN  nothing goes to 'r2': "), "\(text)")
        #expect(!text.contains("Circuit    r2: through"), "\(text)")
        let refused = try chain.ask("client", ["circuit", "renew", "r2"])
        #expect(refused.status == 1 && refused.errors.contains("is not ready"), "\(refused)")
        #expect(try chain.ask("client", ["trace", "r2"]).status == 1)
    }

    /// Two ways to one place: where the relay of the one is killed, the other is taken.
    @Test func anotherWayIsTakenWhereOneFails() throws {
        let chain = try CircuitChain(relays: 3)
        #expect(chain["client"].event("circuit.ready") != nil, "\(chain["client"].text)")
        // r1 has no way to r3 but by r2, and r2 is a hop of its own.
        let built = try chain.ask(
            "client", ["circuit", "build", "two", "--hops", "r1,r2,r3", "--hops", "r1,r2", "--route", "10.97.0.0/24"])
        #expect(built.status == 0, "\(built)")
        kill(chain["r3"].process.processIdentifier, SIGKILL)
        let other = try chain.ask("client", ["circuits"]) { report in
            own(report).contains {
                $0["name"] as? String == "two" && $0["state"] as? String == "ready"
                    && ($0["hops"] as? [Any])?.count == 2
            }
        }
        #expect(
            own(other).contains { ($0["hops"] as? [Any])?.count == 2 && $0["state"] as? String == "ready" }, "\(other)")
    }
}
