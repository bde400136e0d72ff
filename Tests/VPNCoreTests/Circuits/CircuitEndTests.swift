// SPDX-License-Identifier: Apache-2.0
// The end of a circuit, or of one of its paths (§8): who is told of it and who is not, and what of it is the end of
// nothing else.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct CircuitEndTests {
    private func replaced(_ client: VirtualHost) -> Int {
        client.circuitEvents.count { if case .replaced = $0 { true } else { false } }
    }

    private func notReplaced(_ client: VirtualHost) -> Int {
        client.circuitEvents.count { if case .replacementFailed = $0 { true } else { false } }
    }

    // MARK: - Who is told

    /// The first relay has said so itself, and would look among all its peers for what it does not know any more.
    @Test func whoSaysThatItIsOverIsNotToldSo() throws {
        let scenario = CircuitScenario(seed: 301, relays: 3)
        _ = try scenario.connect([1, 2, 3])
        let relay = scenario.relays[0]
        let unknown = relay.controlDrops[.circuitUnknown]
        scenario.network.enableRelay(nil, of: relay)
        scenario.network.run(for: .seconds(1))
        #expect(scenario.client.circuitFailures.map(\.failure) == [.ended(.closed)], "\(scenario.describe())")
        #expect(scenario.client.footprint.paths == 0 && relay.controlDrops[.circuitUnknown] == unknown)
    }

    /// Nobody has told the first relay that the next one says nothing any more: it keeps no circuit that leads nowhere.
    @Test func theFirstRelayIsToldOfASilenceBehindIt() throws {
        let scenario = CircuitScenario(seed: 302, relays: 2)
        _ = try scenario.connect([1, 2])
        let relay = scenario.relays[0]
        #expect(relay.footprint.relayed == 1)
        scenario.network.suspend(scenario.relays[1])
        scenario.network.run(for: .seconds(15)) { !scenario.client.circuitFailures.isEmpty }
        #expect(scenario.client.circuitFailures.map(\.failure) == [.silent], "\(scenario.describe())")
        #expect(scenario.client.circuitFailures.map(\.hop) == [1])
        scenario.network.run(for: .milliseconds(100))
        #expect(relay.footprint.relayed == 0, "\(scenario.describe())")
    }

    @Test func anEndGoesOnAndNotBack() throws {
        let scenario = CircuitScenario(seed: 303, relays: 3)
        let number = try scenario.connect([1, 2, 3])
        let unknown = scenario.client.controlDrops[.circuitUnknown]
        #expect(scenario.network.closeCircuit(number, at: scenario.client))
        scenario.network.run(for: .seconds(1))
        #expect(scenario.relays.allSatisfy { $0.footprint.relayed == 0 && $0.footprint.guests == 0 })
        #expect(scenario.client.controlDrops[.circuitUnknown] == unknown, "\(scenario.describe())")
    }

    // MARK: - What ends nothing else

    /// A path that another one has replaced takes what is under way: whoever ends it then takes nothing but that.
    @Test func theEndOfAReplacedPathIsNoLoss() throws {
        let scenario = CircuitScenario(seed: 304, relays: 3)
        let number = try scenario.connect([1, 2, 3])
        let client = scenario.client
        let old = try #require(client.machine.circuits.all[number]?.current)
        let place = try #require(client.machine.circuits.paths[old]?.places.first)
        #expect(scenario.network.replaceCircuit(number, at: client))
        scenario.network.run(for: .seconds(20)) { replaced(client) == 1 }
        try #require(client.footprint.paths == 2, "\(scenario.describe())")
        let end = EndMessage(id: place.id, reason: .lost)
        scenario.network.say(.end, end.encoded, to: 0, from: scenario.relays[0])
        scenario.network.run(for: .milliseconds(500))
        #expect(client.footprint.paths == 1 && client.circuitFailures.isEmpty, "\(scenario.describe())")
        #expect(scenario.isReady(number) && scenario.carriesTraffic(to: 3), "\(scenario.describe())")
    }

    /// The drain of one path is over while another one is built: that one is still what is to replace the path in use.
    @Test func aPathThatIsOverLeavesTheNextInItsPlace() throws {
        let scenario = CircuitScenario(seed: 305, relays: 2)
        let number = try scenario.connect([1, 2])
        let client = scenario.client
        func state() -> CircuitSnapshot.State? { client.circuits(now: scenario.network.now).first?.state }
        #expect(scenario.network.replaceCircuit(number, at: client))
        #expect(scenario.network.run(for: .seconds(20)) { replaced(client) == 1 }, "\(scenario.describe())")
        scenario.network.run(for: .seconds(7))
        // Six seconds of public-key work: the first path's ten are over in the middle of it.
        scenario.relays[1].jobDuration = .seconds(3)
        #expect(scenario.network.replaceCircuit(number, at: client) && client.footprint.paths == 3)
        scenario.network.run(for: .seconds(4))
        #expect(client.footprint.paths == 2 && state() == .replacing, "\(scenario.describe())")
        // One is being built: no third one is begun.
        #expect(!scenario.network.replaceCircuit(number, at: client) && client.footprint.paths == 2)
        #expect(scenario.network.run(for: .seconds(20)) { replaced(client) == 2 }, "\(scenario.describe())")
        #expect(state() == .ready && client.circuitFailures.isEmpty)
    }

    /// All paths of a circuit share the peer that its last hop is: a handshake there ends with the path that it goes
    /// by, and the session does not.
    @Test func aHandshakeEndsWithItsPath() throws {
        let scenario = CircuitScenario(seed: 306, relays: 2)
        let number = try scenario.connect([1, 2])
        let client = scenario.client
        scenario.relays[1].jobDuration = .seconds(100)
        #expect(scenario.network.replaceCircuit(number, at: client))
        scenario.network.run(for: .seconds(2))
        #expect(client.footprint.initiations == 1, "\(scenario.describe())")
        scenario.network.run(for: .seconds(25)) { notReplaced(client) == 1 }
        #expect(notReplaced(client) == 1 && client.footprint.initiations == 0, "\(scenario.describe())")
        #expect(client.footprint.paths == 1 && scenario.isReady(number))
        #expect(scenario.carriesTraffic(to: 2), "\(scenario.describe())")
    }
}
