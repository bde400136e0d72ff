// SPDX-License-Identifier: Apache-2.0
// Routes that are wanted while there is no interface: they are remembered for the one to come, and nothing is asked of
// the kernel meanwhile.
import Testing
import VPNCore
import VPNEngine

@testable import VPNNode

@Suite struct KernelRoutesTests {
    private func tunnel(_ routes: [IPPrefix], table: UInt32? = nil) throws -> EngineConfiguration.Tunnel {
        EngineConfiguration.Tunnel(
            name: "pqvpn0", addresses: [try InterfaceAddress("10.77.0.1/24")], mtu: 1420, routes: routes, table: table)
    }

    @Test func whatIsWantedIsRememberedForTheInterfaceToCome() throws {
        let own = try IPPrefix("10.77.0.0/24")
        let (first, second, third) = (
            try IPPrefix("10.88.0.0/16"), try IPPrefix("fd88::/32"), try IPPrefix("10.89.0.0/16")
        )
        var routes = KernelRoutes(try tunnel([first, own, second]), interface: nil)
        // The kernel itself leads to the interface's own network.
        #expect(routes.routes == [first, second])
        let words = try routes.replace(by: [second, own, third, third])
        #expect(words.isEmpty && routes.routes == [second, third])
        let complaints = routes.prefer([third: try #require(IPAddress("10.66.0.9"))])
        #expect(complaints.isEmpty && routes.sources.isEmpty, "nothing has a source that is not there")
        routes.loseInterface()
        #expect(routes.routes == [second, third])
    }

    /// The kernel's own route is in its main table: in another one nobody makes it.
    @Test func inATableOfTheTunnelsTheOwnNetworkIsNoException() throws {
        let (own, other) = (try IPPrefix("10.77.0.0/24"), try IPPrefix("10.88.0.0/16"))
        var routes = KernelRoutes(try tunnel([own, other], table: 28_785), interface: nil)
        #expect(routes.routes == [own, other])
        _ = try routes.replace(by: [own])
        #expect(routes.routes == [own])
    }

    /// A relay has no tunnel, and wants nothing of the kernel.
    @Test func withoutATunnelThereAreNone() throws {
        var routes = KernelRoutes(nil, interface: nil)
        #expect(routes.routes.isEmpty)
        let words = try routes.replace(by: [])
        #expect(words.isEmpty && routes.routes.isEmpty)
    }
}
