// SPDX-License-Identifier: Apache-2.0
// Which names wait for an address, and whose they are, also after a reload while they are looked up.
import Testing
import VPNCore

@testable import VPNNode

@Suite struct NameResolverTests {
    private static let network = NodeConfiguration.Network(
        bindHost: IPAddress("127.0.0.1")!, listenPort: 0, maximumConcurrentDatagrams: 1, socketBufferSize: 0,
        workers: 1, mark: nil)

    private func resolver(
        _ names: [String: EndpointName], unresolved: [EndpointName]
    ) throws -> NameResolver {
        try NameResolver(names, unresolved: unresolved, network: Self.network) { _, _ in }
    }

    @Test func aNameWaitsUntilItIsFound() throws {
        let shared = try EndpointName("vpn.example:9000")
        let (other, literal) = (try EndpointName("b.example:9000"), try EndpointName("192.0.2.1:9000"))
        var names = try resolver(
            ["bob": shared, "anna": shared, "carol": other, "dave": literal], unresolved: [shared, literal])
        defer { names.stop() }
        // An address waits for nobody.
        #expect(names.unresolvedNames == ["vpn.example:9000"] && !names.isComplete)
        let none = names.finish(shared, isFound: false)
        #expect(none == ["anna", "bob"] && names.unresolvedNames == ["vpn.example:9000"])
        let found = names.finish(shared, isFound: true)
        #expect(found == ["anna", "bob"] && names.isComplete)
        let single = names.finish(other, isFound: true)
        #expect(single == ["carol"])
        let nobodys = names.finish(literal, isFound: true)
        #expect(nobodys == [])
    }

    @Test func anAnswerForANameOfBeforeIsNobodys() throws {
        let (old, new) = (try EndpointName("old.example:9000"), try EndpointName("new.example:9000"))
        var names = try resolver(["bob": old], unresolved: [old])
        defer { names.stop() }
        names.replace(by: ["bob": new, "carol": new], unresolved: [new, old])
        #expect(names.unresolvedNames == ["new.example:9000"], "what nobody is behind is not asked for")
        let late = names.finish(old, isFound: true)
        #expect(late == [] && !names.isComplete)
        let found = names.finish(new, isFound: true)
        #expect(found == ["bob", "carol"] && names.isComplete)
    }

    @Test func afterTheEndNothingIsAsked() throws {
        let name = try EndpointName("vpn.example:9000")
        var names = try resolver(["bob": name], unresolved: [name])
        names.stop()
        // Refused by the pool, and still due.
        names.askAgain()
        names.ask(forPeer: "bob")
        names.ask(forPeer: "nobody")
        #expect(names.unresolvedNames == ["vpn.example:9000"])
    }
}
