// SPDX-License-Identifier: Apache-2.0
// How much one client may begin at a relay (§8), what its operator hears of that, and how long what it may have relayed
// is counted.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct RelayQuotaTests {
    /// Three in a minute. The fourth is refused and the operator told, once a minute; and whoever goes on asking is
    /// heard again as soon as whoever did not.
    @Test func aClientBeginsSoManyInAMinute() throws {
        var policy = RelayPolicy()
        policy.extendsPerMinute = 3
        let scenario = CircuitScenario(seed: 501, relays: 2, policy: policy)
        let (client, relay) = (scenario.client, scenario.relays[0])
        scenario.network.run(for: .seconds(5))
        var number: UInt32 = 6
        /// Whether one more circuit is begun; it is ended again.
        func isBegun() throws -> Bool {
            number += 1
            let circuit = try #require(
                CircuitID.make(number, by: client.identity.publicKeys.peerID, for: scenario.id(1)))
            let message = ExtendMessage(id: circuit, target: scenario.id(2).bytes)
            scenario.network.say(.extend, message.encoded, to: 0, from: client)
            scenario.network.run(for: .milliseconds(100))
            let isThere = relay.footprint.relayed == 1
            scenario.network.say(.end, EndMessage(id: circuit, reason: .closed).encoded, to: 0, from: client)
            scenario.network.run(for: .milliseconds(100))
            return isThere
        }
        func told() -> Int { relay.events.count { if case .relayFull = $0.event { true } else { false } } }
        let first = try (0..<4).map { _ in try isBegun() }
        #expect(first == [true, true, true, false] && told() == 1, "\(scenario.describe())")
        scenario.network.run(for: .seconds(30))
        let second = try (0..<3).map { _ in try isBegun() }
        #expect(second == [false, false, false] && told() == 1, "\(scenario.describe())")
        // More than a minute after those that were begun, and half a minute after those that were refused.
        scenario.network.run(for: .seconds(31))
        let third = try (0..<4).map { _ in try isBegun() }
        #expect(third == [true, true, true, false] && told() == 2, "\(scenario.describe())")
        #expect(relay.controlDrops[.circuitQuota] == 5 && relay.footprint.relayed == 0)
    }

    /// So many thousand-byte payloads a circuit gets through at one moment.
    private func burst(_ traffic: RelayedTraffic, _ now: Instant) -> Int {
        var count = 0
        while count < 1000, traffic.admit(1000, now: now) { count += 1 }
        return count
    }

    /// Whoever ends a circuit and begins another one gets no fresh allowance by that, as long as there is any of his;
    /// when there is none, nothing of him is remembered.
    @Test(arguments: [true, false]) func anAllowanceLastsAsLongAsAnyOfItsCircuits(isOfClient: Bool) throws {
        var policy = RelayPolicy()
        if isOfClient { policy.bytesPerSecondPerClient = 20_000 } else { policy.bytesPerSecondPerLink = 20_000 }
        var relay = RelayStateMachine()
        _ = relay.adopt(policy)
        let now = Instant.origin + .seconds(100)
        /// One client over links of their own, or clients of their own over one link.
        func open(_ number: Int) throws -> (circuit: RelayStateMachine.Circuit, traffic: RelayedTraffic) {
            let client = CircuitPlace(outer: isOfClient ? 1 : number, id: UInt32(number))
            let onward = CircuitPlace(outer: isOfClient ? 100 + number : 100, id: UInt32(number))
            relay.begin(client, to: .zero, over: onward.outer, now: now)
            let circuit = try #require(relay[client])
            return (circuit, relay.open(circuit, onward: onward, now: now))
        }
        let (first, second) = (try open(1), try open(2))
        let alone = burst(first.traffic, now)
        relay.remove(second.circuit)
        let third = try open(3)
        let beside = burst(third.traffic, now)
        #expect(alone > 20 && beside > 0 && beside < alone, "\(alone), then \(beside)")
        relay.remove(first.circuit)
        relay.remove(third.circuit)
        let remembered = relay.remembered
        #expect(remembered == 0)
        let fourth = try open(4)
        let afresh = burst(fourth.traffic, now)
        #expect(afresh == alone, "\(afresh) of \(alone)")
    }
}
