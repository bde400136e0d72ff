// SPDX-License-Identifier: Apache-2.0
// IP packets of both families over UDP of both families.
//
//     host a: pqvpn0 ══ outer0 ───── outer0 ══ pqvpn0: host b, once by IPv4 and once by IPv6 outside
import Testing

@testable import VPNNode

extension NamespaceTests {
    @Suite("Traffic")
    struct Traffic {
        enum Outer: String, CaseIterable { case ipv4, ipv6 }

        @Test("Both inner families pass an outer one, both ways, and so does TCP", arguments: Outer.allCases)
        func inner(over outer: Outer) throws {
            try Stage.perform { stage in
                let (a, b) = try stage.pair { $0.endpoint(outer) }
                try stage.reach(b.host.innerIPv4, from: a.host)
                for (from, to) in [(a, b), (b, a)] {
                    #expect(try stage.answers(to.host.innerIPv4, from: from.host), "\(from.name) IPv4")
                    #expect(try stage.answers(to.host.innerIPv6, from: from.host), "\(from.name) IPv6")
                }
                for address in [b.host.innerIPv4, b.host.innerIPv6] {
                    #expect(try stage.transfer(to: address, of: b.host, from: a.host) > 0, "TCP to \(address)")
                }
                let session = try a.event("session.established") { $0["role"] == "initiator" }
                let endpoint = session["endpoint"] ?? ""
                #expect(endpoint == b.host.endpoint(outer))
            }
        }
    }
}

extension DemoHost {
    /// Of the node on this host.
    func endpoint(_ outer: NamespaceTests.Traffic.Outer) -> String {
        switch outer {
        case .ipv4: "\(outerIPv4):\(StageConfiguration.port)"
        case .ipv6: "[\(outerIPv6)]:\(StageConfiguration.port)"
        }
    }
}

extension Stage {
    /// Two running nodes that know each other. The first one calls the endpoint that `endpoint` says the second has.
    func pair(
        keepalive: Int = 0, endpoint: (DemoHost) -> String = { $0.endpoint(.ipv4) }
    ) throws -> (StageNode, StageNode) {
        let (a, b) = (try node(on: hosts[0]), try node(on: hosts[1]))
        try a.befriend(b, endpoint: endpoint(b.host), keepalive: keepalive)
        try b.befriend(a)
        try b.start()
        try a.start()
        return (a, b)
    }
}
