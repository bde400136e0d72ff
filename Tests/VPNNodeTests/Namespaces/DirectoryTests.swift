// SPDX-License-Identifier: Apache-2.0
// Six daemons with addresses in six networks: relays that hear of each other, and a client that is given one of them, hears of the
// others and chooses its own path.
//
//     one namespace, node n at 10.n.0.1: client ══ relay 1, which it is given ══ relays 2 … 5, of which it hears
import Foundation
import Glibc
import Testing

@testable import VPNNode

/// Nodes "r1" … "r5" and "client" in one network namespace; node n is 10.n.0.1.
private final class RelayTown {
    let scratch: Scratch
    let names = ["r1", "r2", "r3", "r4", "r5", "client"]
    private let tools: DemoTools
    private let namespace = "pqvpn-town-\(getpid())-\(UInt16.random(in: 0 ... .max))"
    private(set) var daemons: [String: RunningDaemon] = [:]
    private(set) var ids: [String: String] = [:]

    init(_ tools: DemoTools) throws {
        self.tools = tools
        scratch = try Scratch()
        try ip("netns", "add", namespace)
        try ip("-n", namespace, "link", "set", "lo", "up")
        for place in names.indices { try ip("-n", namespace, "address", "add", "\(address(place))/32", "dev", "lo") }
    }

    deinit {
        for name in daemons.keys { _ = daemons[name]?.end(with: SIGKILL) }
        try? ip("netns", "delete", namespace)
    }

    private func ip(_ arguments: String...) throws {
        let outcome = try Program.launch([tools.ip] + arguments, in: scratch)
        #expect(outcome.status == 0, "ip \(arguments): \(outcome.errors)")
    }

    func address(_ place: Int) -> String { "10.\(place + 1).0.1" }

    func run(_ arguments: [String]) throws -> Program.Outcome {
        let outcome = try Program.run(arguments, in: scratch)
        #expect(outcome.status == 0, "\(arguments): \(outcome.errors)")
        return outcome
    }

    func prepare() throws {
        for (place, name) in names.enumerated() {
            let made = try run(["keygen", "--out", "\(name)-keys", "--nickname", name, "--json"])
            ids[name] = made.json?["peer_id"] as? String
            let isRelay = name != "client"
            try scratch.write(
                """
                peer: { nickname: \(name) }
                security: { known_peers_file: \(name).known }
                network: { bind_host: \(address(place)), listen_port: 9000 }
                tunnel: { enabled: false }
                keys: { runtime_temp_keys: false, dir: \(name)-keys }
                relay: { enabled: \(isRelay) }
                directory: { file: \(name).relays, own_file: \(name).pub, exchange: true, allow_private: true }
                circuit: { guards_file: \(name).guards\(isRelay ? "" : ", allowed_ips: [10.99.0.0/16], hops: 3") }

                """, to: "\(name).yaml")
            guard isRelay else { continue }
            _ = try run(
                [
                    "relay", "publish", "--config", "\(name).yaml", "--address", "\(address(place)):9000", "--operator",
                    name,
                ]
                    + (place > 2 ? ["--exit"] : []))
        }
        // r1 is given all others, and each other one r1 alone.
        for name in ["r2", "r3", "r4", "r5"] {
            try give("r1", to: name)
            try give(name, to: "r1")
        }
        try give("r1", to: "client")
        for name in names.dropLast() {
            _ = try run(["peers", "add", "client-keys/identity.pub", "--known-peers", "\(name).known"])
        }
    }

    private func give(_ relay: String, to name: String) throws {
        _ = try run(["relay", "import", "\(relay).pub", "--yes", "--config", "\(name).yaml"])
    }

    func start(_ name: String) throws {
        daemons[name] = try RunningDaemon(
            ["--config", "\(name).yaml"], in: scratch, log: "\(name)-\(UInt32.random(in: 0 ... .max)).log",
            wrapper: [tools.ip, "netns", "exec", namespace])
        #expect(daemons[name]?.event("node.ready") != nil, "\(name): \(daemons[name]?.text ?? "")")
    }

    func relays(of name: String) throws -> [[String: Any]] {
        try run(["relays", "--config", "\(name).yaml", "--json"]).json?["relays"] as? [[String: Any]] ?? []
    }
}

extension WaitingNamespaceTests {
    @Suite("Directory")
    struct Directory {
        @Test("A client that is given one relay hears of the others and builds three hops by choice")
        func choice() throws {
            guard let (tools, _) = Stage.requirements() else { return }
            let town = try RelayTown(tools)
            try town.prepare()
            for name in town.names { try town.start(name) }
            let client = try #require(town.daemons["client"])
            #expect(client.event("relay.learned", seconds: 60, number: 4) != nil, "\(client.text)")
            for name in ["r2", "r3", "r4", "r5"] {
                #expect(town.daemons[name]?.event("relay.learned", seconds: 60, number: 3) != nil, "\(name)")
            }
            let ready = try #require(client.event("circuit.ready", seconds: 150), "\(client.text)")
            #expect(ready["hops"] as? Int == 3)
            #expect(client.end(with: SIGTERM) == 0)
            let known = try town.relays(of: "client")
            #expect(Set(known.compactMap { $0["name"] as? String }) == ["r1", "r2", "r3", "r4", "r5"])
            #expect(known.filter { $0["source"] as? String == "import" }.compactMap { $0["name"] as? String } == ["r1"])
            let guards = known.filter { $0["guard"] as? Bool == true }.compactMap { $0["name"] as? String }
            #expect((1...6).contains(guards.count))
            // Only the relay that it was given, and its guards, ever heard of it.
            for name in town.names.dropLast() where name != "r1" && !guards.contains(name) {
                #expect(
                    town.daemons[name]?.text.contains(town.ids["client"] ?? "-") == false, "\(name) knows the client")
            }
            // After a restart it knows them still, and begins with the same ones.
            let file = try town.scratch.read("client.guards")
            try town.start("client")
            let again = try #require(town.daemons["client"])
            #expect(again.event("circuit.ready", seconds: 90) != nil, "\(again.text)")
            let kept = try town.scratch.read("client.guards")
            for line in file.split(separator: "\n") where line.contains("peer_id") { #expect(kept.contains(line)) }
        }
    }
}
