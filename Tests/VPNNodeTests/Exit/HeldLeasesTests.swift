// SPDX-License-Identifier: Apache-2.0
// What follows for a host from what exits gave: for exits of good will and for others, while circuits come, break and go.
import Testing
import VPNCore

@testable import VPNNode

@Suite struct HeldLeasesTests {
    private static func lease(
        _ ipv4: String? = "10.66.0.2", _ ipv6: String? = nil, servers: [String] = ["10.66.0.1"], mtu: Int = 1400
    ) -> ExitLease {
        ExitLease(
            ipv4: ipv4.flatMap { IPAddress($0) }, ipv6: ipv6.flatMap { IPAddress($0) },
            servers: servers.compactMap { IPAddress($0) }, mtu: mtu, isAllowAll: true)
    }

    private static func networks(_ texts: String...) -> [IPPrefix] { texts.map { try! IPPrefix($0) } }
    private static let all = networks("0.0.0.0/0", "::/0")

    @Test func aBrokenCircuitHasNoAddressesAndKeepsNamesAndLength() {
        var leases = HeldLeases()
        leases.grant(1, "exit", Self.lease("10.66.0.2", "fd66::2", mtu: 1300), networks: Self.all)
        #expect(leases.addresses.map { "\($0)" } == ["10.66.0.2", "fd66::2"])
        #expect(leases.mtu(most: 1416) == 1300 && leases.servers.count == 1)
        #expect(leases.sources.count == 2)
        leases.lose(2)
        #expect(leases.addresses.count == 2, "another's circuit")
        leases.lose(1)
        #expect(leases.addresses.isEmpty && leases.sources.isEmpty)
        #expect(leases.mtu(most: 1416) == 1300 && leases.servers.map { "\($0)" } == ["10.66.0.1"])
        // Built again, by an exit with other words.
        leases.grant(2, "exit", Self.lease("10.67.0.9", servers: [], mtu: 1350), networks: Self.all)
        #expect(leases.addresses.map { "\($0)" } == ["10.67.0.9"])
        #expect(leases.mtu(most: 1416) == 1350 && leases.servers.isEmpty)
        // What an old number does is nobody's business by now.
        leases.lose(1)
        #expect(leases.addresses.count == 1)
        leases.keep(["another"])
        #expect(leases == HeldLeases() && leases.mtu(most: 1416) == 1416)
    }

    @Test func aSourceIsOfTheFamilyOfItsRoute() throws {
        var leases = HeldLeases()
        leases.grant(1, "exit", Self.lease("10.66.0.2"), networks: Self.all)
        #expect(leases.sources == [try IPPrefix("0.0.0.0/0"): IPAddress("10.66.0.2")!])
    }

    @Test(arguments: [(576, 1280), (1279, 1280), (1280, 1280), (1415, 1415), (1416, 1416), (9000, 1416), (0, 1280)])
    func noExitTakesIPv6FromTheInterface(_ said: Int, _ becomes: Int) {
        var leases = HeldLeases()
        leases.grant(1, "exit", Self.lease(mtu: said), networks: Self.all)
        #expect(leases.mtu(most: 1416) == becomes)
    }

    @Test func anInterfaceThatIsShorterStaysSo() {
        var leases = HeldLeases()
        leases.grant(1, "exit", Self.lease(mtu: 1400), networks: Self.all)
        #expect(leases.mtu(most: 900) == 900)
    }

    @Test func serversBesideTheCircuitAreNotAsked() {
        var leases = HeldLeases()
        leases.grant(
            1, "narrow", Self.lease(servers: ["8.8.8.8", "10.66.0.1", "fd66::1"]),
            networks: Self.networks("10.66.0.0/16"))
        #expect(leases.servers.map { "\($0)" } == ["10.66.0.1"])
        leases.grant(1, "narrow", Self.lease(servers: ["8.8.8.8"]), networks: Self.networks("10.66.0.0/16"))
        #expect(leases.servers.isEmpty)
    }

    @Test func theExitThatMostLeadsToIsAsked() {
        var leases = HeldLeases()
        leases.grant(1, "a", Self.lease(servers: ["10.1.0.1"]), networks: Self.networks("10.1.0.0/16"))
        leases.grant(2, "z", Self.lease("10.2.0.2", servers: ["10.2.0.1"]), networks: Self.all)
        #expect(leases.servers.map { "\($0)" } == ["10.2.0.1"])
        // One that has none leaves it to the next.
        leases.grant(2, "z", Self.lease("10.2.0.2", servers: []), networks: Self.all)
        #expect(leases.servers.map { "\($0)" } == ["10.1.0.1"])
        #expect(leases.mtu(most: 1500) == 1400 && leases.addresses.count == 2)
    }
}
