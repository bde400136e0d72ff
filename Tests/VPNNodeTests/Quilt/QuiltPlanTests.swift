// SPDX-License-Identifier: Apache-2.0
// From paths to carriers on made-up hosts: which one is the handshake's, what is missing, and what that is worth saying.
import Testing
import VPNCore

@testable import VPNNode

@Suite struct QuiltPlanTests {
    private let near = try! EndpointName("192.0.2.1:9000")
    private let far = try! EndpointName("198.51.100.1:9000")
    private let named = try! EndpointName("bob.example.org:9000")

    private func host(_ interfaces: [String: UInt32] = ["a": 2, "b": 3, "c": 4], usual: String? = "a")
        -> QuiltSurroundings
    {
        QuiltSurroundings(index: { interfaces[$0] }, routeInterface: { _ in usual })
    }

    private func plan(
        _ endpoints: [EndpointName] = [], _ interfaces: [String] = [], paths: Int? = nil, calls: Bool = true,
        found: [EndpointName: Endpoint] = [:], on host: QuiltSurroundings
    ) -> QuiltPlan {
        var quilt = NodeConfiguration.Quilt()
        (quilt.endpoints, quilt.interfaces, quilt.paths) = (endpoints, interfaces, paths)
        return QuiltPlan(
            quilt, name: "bob", first: calls ? (near, near.literal) : nil, found: { found[$0] ?? $0.literal }, host)
    }

    private func place(_ name: EndpointName, _ scope: UInt32 = 0) -> Endpoint {
        var endpoint = name.literal!
        endpoint.scope = scope
        return endpoint
    }

    @Test func otherEndpointsAreOtherWays() {
        let plan = plan([far, near], on: host())
        #expect(plan.configuration.ways == [place(far)] && plan.notes == [])
    }

    @Test func theUsualInterfaceIsTheFirstPaths() {
        for (usual, others) in [("a", [3, 4]), ("b", [2, 4]), ("c", [2, 3])] as [(String, [UInt32])] {
            let plan = plan([], ["a", "b", "c"], on: host(usual: usual))
            #expect(plan.configuration.ways == others.map { place(near, $0) } && plan.notes == [], "\(usual)")
        }
    }

    @Test func listsThatEndBeginAnew() {
        let two = plan([far], ["a", "b"], on: host())
        #expect(two.configuration.ways == [place(far, 3)] && two.notes == [])
        let three = plan([far], ["a", "b", "c"], on: host())
        #expect(three.configuration.ways == [place(far, 3), place(near, 4)])
        let six = plan([far], ["a", "b", "c"], paths: 6, on: host())
        #expect(
            six.configuration.ways == [place(far, 3), place(near, 4), place(far, 2), place(near, 3), place(far, 4)])
    }

    @Test func anotherRouteThanTheFilesIsSaid() throws {
        let other = plan([], ["a", "b"], on: host(usual: "eth9"))
        #expect(other.configuration.ways == [place(near, 2), place(near, 3)])
        #expect(try #require(other.notes.first).contains("by eth9, which the file does not choose"))
        let unknown = plan([], ["a", "b"], on: host(usual: nil))
        #expect(unknown.configuration.ways.count == 2)
        #expect(try #require(unknown.notes.first).contains("cannot be told by which interface"))
    }

    @Test func whatIsMissingIsWaitedFor() throws {
        let gone = plan([], ["a", "b", "c"], on: host(["a": 2, "c": 4]))
        #expect(gone.configuration.ways == [place(near, 4)])
        #expect(gone.notes == ["the quilt of 'bob' waits for the interface b, which is not there"])
        let alone = plan([], ["a", "b"], on: host(["a": 2]))
        #expect(alone.configuration.ways == [] && alone.notes.last == "the quilt of 'bob' has one path alone")
        let nameless = plan([named], on: host())
        #expect(nameless.configuration.ways == [])
        #expect(nameless.notes.first == "the quilt of 'bob' waits for the address of bob.example.org:9000")
        let known = plan([named], found: [named: place(far)], on: host())
        #expect(known.configuration.ways == [place(far)] && known.notes == [])
    }

    @Test func aPeerThatCallsHasNoWaysOfOurs() {
        let plan = plan(calls: false, on: host())
        #expect(plan.configuration.ways == [] && plan.notes == [])
    }

    private func wanted(_ quilt: String) throws -> WantedQuilts {
        let text = """
            peers: [{ name: bob, peer_id: "\(String(repeating: "a", count: 64))", endpoint: "192.0.2.1:9000", quilt: \(quilt) }]

            """
        return WantedQuilts(try LoadedConfiguration(text: text, file: "n").configuration.peers) { $0.literal }
    }

    private func ways(_ wanted: inout WantedQuilts, on host: QuiltSurroundings) throws -> QuiltConfiguration {
        let plan = wanted.plan("bob", endpoint: near.literal, host)
        return try #require(plan).configuration
    }

    @Test func newsAreToldOnceAndAgainWhenTheyComeBack() {
        var wanted = WantedQuilts()
        let told = [["x", "y"], ["x", "y"], ["y"], ["x", "y"]].map { wanted.news($0) }
        #expect(told == [["x", "y"], [], [], ["x"]])
    }

    @Test func whatIsOnlyMissingIsNoNews() throws {
        var wanted = try wanted("{ interfaces: [a, b] }")
        let first = try ways(&wanted, on: host())
        // No route for a while, and an interface that is pulled out.
        let routeless = try ways(&wanted, on: host(usual: nil))
        let without = try ways(&wanted, on: host(["a": 2]))
        #expect(routeless == first && without.ways == [])
        let small = [first, first, without, first].map { wanted.isNews($0, for: "bob") }
        #expect(small == [true, false, false, false])
        // It is another one when it comes back; and routes go elsewhere.
        let back = try ways(&wanted, on: host(["a": 2, "b": 7]))
        let moved = try ways(&wanted, on: host(["a": 2, "b": 7], usual: "b"))
        #expect(back.ways == [place(near, 7)] && moved.ways == [place(near, 2)])
        let large = [back, moved, moved].map { wanted.isNews($0, for: "bob") }
        #expect(large == [true, true, false])
        // A file that is read again counts, whatever was before.
        wanted.replace(by: try self.wanted("{ interfaces: [a, b] }"))
        let anew = wanted.isNews(without, for: "bob")
        #expect(anew)
    }

    @Test func namesAreLookedUpAndKept() throws {
        let keys = "{ endpoints: [\"bob.example.org:9000\", \"198.51.100.1:9000\"] }"
        var wanted = try wanted(keys)
        #expect(Set(wanted.names.values) == [named, far])
        let before = try ways(&wanted, on: host())
        #expect(before.ways == [place(far)])
        let other = Endpoint(IPAddress("203.0.113.4")!, port: 9000)
        let found = [(near, [place(near)]), (named, []), (named, [other, place(far)]), (named, [place(far)])]
            .map { wanted.resolved($0.0, $0.1) }
        #expect(found == [false, false, true, false], "an address that was found stays")
        let after = try ways(&wanted, on: host())
        #expect(after.ways == [other, place(far)])
        wanted.replace(by: try self.wanted(keys))
        let reread = try ways(&wanted, on: host())
        #expect(reread.ways == [other, place(far)])
        let nobody = wanted.plan("carol", endpoint: nil, host())
        #expect(nobody?.configuration == nil)
    }
}
