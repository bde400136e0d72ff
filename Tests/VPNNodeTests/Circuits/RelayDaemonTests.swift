// SPDX-License-Identifier: Apache-2.0
// Daemons that relay and daemons that have circuits: what the configuration makes of them, without a tunnel and without privilege.
import Foundation
import Glibc
import Testing

@testable import VPNNode

@Suite(.serialized, .timeLimit(.minutes(2))) struct RelayDaemonTests {
    @Test func aRelayNeedsNoPrivilege() throws {
        let chain = try CircuitChain(relays: 3, wrapper: CircuitChain.unprivileged)
        let ready = try #require(chain["client"].event("circuit.ready"), "\(chain["client"].text)")
        #expect(ready["circuit"] as? String == "r3" && ready["hops"] as? Int == 3)
        #expect(chain["r3"].event("circuit.guest") != nil)
        for name in chain.names {
            let status = try String(
                contentsOfFile: "/proc/\(chain[name].process.processIdentifier)/status", encoding: .utf8)
            #expect(status.contains("CapEff:\t0000000000000000"), "\(name) has privileges")
            guard isRoot else { continue }
            #expect(status.contains("Uid:\t65534"), "\(name) is not nobody")
            // Of a process of which no dump may be taken, nobody but root may look at the inside (proc(5)): not even its own user.
            let inside = "/proc/\(chain[name].process.processIdentifier)/environ"
            let owner = try FileManager.default.attributesOfItem(atPath: inside)[.ownerAccountID] as? Int
            #expect(owner == 0, "\(name) could be looked into by \(owner ?? -1)")
        }
        // What each can know stands in its log: r2 and r3 never heard of the client.
        for name in ["r2", "r3"] {
            #expect(!chain[name].text.contains(chain.ids["client"]!), "\(name) knows the client")
        }
        for name in chain.names.reversed() { #expect(chain[name].end(with: SIGTERM) == 0) }
    }

    /// A relay that does not relay says so, the client says who it was and what to do, and a reload there mends it.
    @Test func aRefusalIsNamedAndMended() throws {
        let chain = try CircuitChain(relays: 2, relay: ["r1": "relay: false"])
        let failed = try #require(chain["client"].event("circuit.failed"), "\(chain["client"].text)")
        #expect(failed["node"] as? String == "r1" && failed["reason"] as? String == "refused")
        #expect((failed["fix"] as? String)?.contains("relay.enabled: true") == true)
        #expect(failed["retry_seconds"] != nil && chain["client"].event("circuit.failed", number: 2) != nil)
        try chain.write("r1", extra: "relay: true\n")
        kill(chain["r1"].process.processIdentifier, SIGHUP)
        let applied = try #require(chain["r1"].event("config.reloaded"))["applied"] as? [String]
        #expect(applied == ["relay.enabled"])
        #expect(chain["client"].event("circuit.ready") != nil, "\(chain["client"].text)")
        // And the other way round: circuits that pass end at once.
        try chain.write("r1", extra: "relay: false\n")
        kill(chain["r1"].process.processIdentifier, SIGHUP)
        #expect(chain["r1"].event("config.reloaded", number: 2) != nil)
        let before = chain["client"].text.components(separatedBy: "circuit.failed").count
        #expect(chain["client"].event("circuit.failed", number: before) != nil, "\(chain["client"].text)")
    }

    /// Only `via` changes, and only the circuit does.
    @Test func aReloadTakesTheWayLive() throws {
        let chain = try CircuitChain(relays: 2)
        #expect(chain["client"].event("circuit.ready") != nil, "\(chain["client"].text)")
        let text = try chain.scratch.read("client.yaml")
        try chain.scratch.write(text.replacingOccurrences(of: ", via: [r1]", with: ""), to: "client.yaml")
        kill(chain["client"].process.processIdentifier, SIGHUP)
        #expect(chain["client"].event("circuit.closed") != nil)
        let applied = try #require(chain["client"].event("config.reloaded"))["applied"] as? [String]
        #expect(applied == ["peers.r2.via"])
        try chain.scratch.write(text, to: "client.yaml")
        kill(chain["client"].process.processIdentifier, SIGHUP)
        #expect(chain["client"].event("circuit.ready", number: 2) != nil, "\(chain["client"].text)")
        let ended = chain["client"].text.split(separator: "\n").filter { $0.contains("\"event\":\"session.ended\"") }
        #expect(ended.allSatisfy { !$0.contains("\"peer_name\":\"r1\"") }, "the session with the first hop goes on")
    }
}
