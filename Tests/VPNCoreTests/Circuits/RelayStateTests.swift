// SPDX-License-Identifier: Apache-2.0
// What a relay and a builder hold of circuits (§8), table by table: all of it goes with the circuit, however that ends.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct RelayStateTests {
    /// The sizes of all tables in which something of a circuit may be, of the control side and of the packet path.
    private func tables(_ host: VirtualHost) -> [String: Int] {
        [
            "circuits that pass": host.machine.relay.count,
            "peers that are counted": host.machine.relay.remembered,
            "circuits of its own": host.machine.circuits.all.count,
            "paths": host.machine.circuits.paths.count,
            "places": host.machine.circuits.origins.count,
            "peers": host.machine.peers.count,
            "identities": host.machine.slotsByIdentity.count,
            "guests": host.machine.peers.values.count(where: \.isGuest),
            "sessions": host.machine.peers.values.reduce(0) { $0 + $1.ring.all.count },
            "initiations": host.machine.peers.values.count { $0.initiation != nil },
            "answers and reassemblies": host.machine.inbound.count,
            "indices": host.machine.indices.count,
            "jobs": host.machine.jobs.count,
            "touched": host.machine.touched.count,
            "links that are waited for": host.machine.relay.deadline == nil ? 0 : 1,
            "circuits that wait": host.machine.circuits.deadline == nil ? 0 : 1,
            "places of the packet path": host.plane.receiver.relays.count,
            "sessions of the packet path": host.plane.receiver.sessions.owners.count,
        ]
    }

    /// What is of circuits alone, and not of the links that they came by, nor a timer that looks once more at nothing.
    private func ofCircuits(_ host: VirtualHost) -> [String: Int] {
        tables(host).filter {
            [
                "circuits that pass", "circuits of its own", "paths", "places", "guests", "initiations", "jobs",
                "touched", "circuits that wait", "places of the packet path",
            ].contains($0.key) && $0.value != 0
        }
    }

    private func inUse(seed: UInt64) throws -> (scenario: CircuitScenario, number: Int, before: [[String: Int]]) {
        let scenario = CircuitScenario(seed: seed, relays: 3)
        scenario.network.run(for: .seconds(40))
        let before = ([scenario.client] + scenario.relays).map(tables)
        let number = try scenario.connect([1, 2, 3])
        try #require(scenario.isReady(number) && scenario.carriesTraffic(to: 3), "\(scenario.describe())")
        // There is something to lose, everywhere.
        #expect(!ofCircuits(scenario.client).isEmpty && scenario.relays.allSatisfy { !ofCircuits($0).isEmpty })
        #expect(scenario.relays.dropLast().allSatisfy { tables($0)["places of the packet path"] == 2 })
        return (scenario, number, before)
    }

    private func expectNothing(_ scenario: CircuitScenario, _ before: [[String: Int]], _ hosts: [VirtualHost]) {
        let all = [scenario.client] + scenario.relays
        for (host, before) in zip(all, before) where hosts.contains(where: { $0 === host }) {
            let left = tables(host).filter { before[$0.key] != $0.value }
            #expect(left.isEmpty, "\(host.name): \(left), at first \(before)")
        }
    }

    @Test func endTakesAllWithIt() throws {
        let (scenario, number, before) = try inUse(seed: 1)
        #expect(scenario.network.closeCircuit(number, at: scenario.client))
        scenario.network.run(for: .milliseconds(200))
        for host in [scenario.client] + scenario.relays {
            #expect(ofCircuits(host).isEmpty, "\(host.name): \(ofCircuits(host))")
        }
        // The links between relays, and the answers kept for repeats, go with their time.
        scenario.network.run(for: .seconds(130))
        expectNothing(scenario, before, [scenario.client] + scenario.relays)
    }

    /// A relay that relays no more: as the first, in the middle, and as the last hop, whose silence is all that is heard of it.
    @Test(arguments: 1...3) func aRelayThatStopsTakesAllWithIt(relay: Int) throws {
        let (scenario, _, before) = try inUse(seed: 2)
        scenario.network.enableRelay(nil, of: scenario.relays[relay - 1])
        scenario.network.run(for: relay < 3 ? .milliseconds(500) : .seconds(10))
        for host in [scenario.client] + scenario.relays {
            #expect(ofCircuits(host).isEmpty, "\(host.name): \(ofCircuits(host))")
        }
        scenario.network.run(for: .seconds(130))
        expectNothing(scenario, before, [scenario.client] + scenario.relays)
    }

    /// Nobody says anything: the client is gone, and each relay notices by itself.
    @Test func silenceTakesAllWithIt() throws {
        let (scenario, _, before) = try inUse(seed: 3)
        scenario.network.detach(scenario.client)
        scenario.network.run(for: .seconds(80))
        #expect(scenario.relays.contains { !ofCircuits($0).isEmpty })
        scenario.network.run(for: .seconds(160))
        expectNothing(scenario, before, Array(scenario.relays.dropFirst()))
        // The first has the client's session to give up as well.
        #expect(ofCircuits(scenario.relays[0]).isEmpty, "\(ofCircuits(scenario.relays[0]))")
    }

    /// Whoever builds, and stops anywhere: the relays forget.
    @Test(arguments: 0..<12) func unfinishedWaysAreForgotten(step: Int) throws {
        let scenario = CircuitScenario(seed: UInt64(step) + 10, relays: 3)
        scenario.network.run(for: .seconds(40))
        let before = ([scenario.client] + scenario.relays).map(tables)
        _ = try scenario.build([1, 2, 3])
        scenario.network.run(for: .milliseconds(25 * step))
        scenario.network.detach(scenario.client)
        scenario.network.run(for: .seconds(240))
        expectNothing(scenario, before, Array(scenario.relays.dropFirst()))
        #expect(ofCircuits(scenario.relays[0]).isEmpty, "\(ofCircuits(scenario.relays[0]))")
    }
}
