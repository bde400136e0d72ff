// SPDX-License-Identifier: Apache-2.0
// Nodes with several addresses: who was called at one answers from it, whatever routes prefer.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct SourceAddressTests {
    private static let preferred = Endpoint(v4: 0x0A00_002A, port: 9000)

    /// Bob has one more address, which his routes prefer.
    private func scenario(_ seed: UInt64) -> Scenario {
        let scenario = Scenario(seed: seed)
        scenario.bob.interfaces = [Self.preferred, Scenario.bobEndpoint]
        return scenario
    }

    private func sources(_ scenario: Scenario) -> Set<Endpoint> {
        let toAlice = scenario.network.capture.map(\.datagram).filter { $0.destination == Scenario.aliceEndpoint }
        return Set(toAlice.map(\.source))
    }

    private func moves(_ host: VirtualHost) -> Int {
        host.events.count { if case .pathMoved = $0.event { true } else { false } }
    }

    @Test(arguments: 1...5 as ClosedRange<UInt64>) func whoWasCalledAnswersFromThere(seed: UInt64) {
        let scenario = scenario(seed)
        #expect(scenario.connect(within: .seconds(5)))
        #expect(scenario.carriesTraffic())
        scenario.network.renew(0, at: scenario.bob)
        scenario.network.run(for: .seconds(30))
        #expect(scenario.carriesTraffic(10))
        #expect(scenario.bob.establishedSessions.count == 2)
        #expect(sources(scenario) == [Scenario.bobEndpoint])
        #expect(moves(scenario.alice) == 0 && moves(scenario.bob) == 0)
    }

    /// The caller is told of another address of the same node: it is spoken from as soon as the caller has shown to hear it.
    @Test func anotherAddressThatIsCalledIsSpokenFrom() {
        let scenario = scenario(6)
        #expect(scenario.connect(within: .seconds(5)))
        #expect(scenario.carriesTraffic())
        // Nothing comes through from where nobody was called, as behind a NAT.
        var called: Set<Endpoint> = [Scenario.bobEndpoint]
        scenario.network.intervene = { datagram in
            guard datagram.source != Scenario.aliceEndpoint else {
                called = [datagram.destination]
                return .pass
            }
            return called.contains(datagram.source) ? .pass : .drop
        }
        let bob = PeerConfiguration(
            name: "bob", peerID: scenario.bob.identity.publicKeys.peerID, endpoint: Self.preferred,
            allowedIPs: [IPPrefix(containing: IPAddress(v4: 0x0A4D_0002), length: 32)])
        scenario.network.updatePeers([bob], moved: ["bob"], of: scenario.alice)
        scenario.network.sendInner(Scenario.packet(from: 1, to: 2, tag: 7), from: scenario.alice)
        scenario.network.run(for: .seconds(2))
        #expect(scenario.carriesTraffic(10))
        #expect(moves(scenario.bob) == 1)
        #expect(sources(scenario).contains(Self.preferred))
    }

    /// Who is answered from the address that routes choose anyway is not held to it.
    @Test func whereRoutesChangeWhatIsSentFollows() {
        let scenario = Scenario(seed: 8)
        #expect(scenario.connect(within: .seconds(5)))
        #expect(scenario.carriesTraffic())
        #expect(sources(scenario) == [Scenario.bobEndpoint])
        scenario.bob.interfaces = [Self.preferred]
        #expect(scenario.carriesTraffic(10))
        scenario.network.run(for: .seconds(2))
        #expect(sources(scenario).contains(Self.preferred))
        #expect(scenario.carriesTraffic(20))
    }

    /// Who was called and calls the next time goes the same way, and knows what it carries.
    @Test func whatIsKnownOfThePathStays() {
        let scenario = Scenario(seed: 10)
        #expect(scenario.connect(within: .seconds(5)))
        scenario.network.run(for: .seconds(30))
        for host in [scenario.bob, scenario.alice, scenario.bob] {
            let (begin, before) = (scenario.network.capture.count, host.confirmedSessions.count)
            scenario.network.renew(0, at: host)
            scenario.network.run(for: .seconds(10))
            #expect(host.confirmedSessions.count == before + 1)
            let probed = scenario.network.capture[begin...].contains { $0.datagram.bytes.count > 1300 }
            #expect(!probed)
        }
    }

    /// Answers that come to an address which a host has only since its question.
    @Test func aCallerThatMovesIsAnswered() {
        let scenario = scenario(9)
        #expect(scenario.connect(within: .seconds(5)))
        let elsewhere = Endpoint(v4: 0x0A00_0051, port: 4500)
        scenario.bob.interfaces = []
        scenario.network.move(scenario.bob, to: elsewhere)
        scenario.network.renew(0, at: scenario.bob)
        let before = scenario.bob.confirmedSessions.count
        #expect(scenario.network.run(for: .seconds(10)) { scenario.bob.confirmedSessions.count > before })
        #expect(scenario.carriesTraffic(10))
    }

    @Test func anAddressThatIsGoneIsNoEnd() {
        let scenario = scenario(7)
        #expect(scenario.connect(within: .seconds(5)))
        #expect(scenario.carriesTraffic())
        scenario.bob.interfaces = [Self.preferred]
        scenario.network.move(scenario.bob, to: Self.preferred)
        scenario.network.sendInner(Scenario.packet(from: 2, to: 1, tag: 7), from: scenario.bob)
        scenario.network.run(for: .seconds(2))
        #expect(scenario.alice.carrier(of: 0) == .udp(Self.preferred))
        #expect(scenario.carriesTraffic(10))
        #expect(scenario.alice.establishedSessions.count == 1, "no handshake was needed")
    }

    @Test func callersDoNotMindWhichOfTheirAddressesIsAnswered() {
        let plain = Endpoint(v4: 0x0A00_0002, port: 9000)
        var (one, two) = (plain, plain)
        (one.source, two.source) = (1, 2)
        #expect(Carrier.udp(plain).isHeard(as: .udp(one)) && Carrier.udp(one).isHeard(as: .udp(one)))
        #expect(!Carrier.udp(one).isHeard(as: .udp(two)) && !Carrier.udp(one).isHeard(as: .udp(plain)))
        #expect(!Carrier.udp(plain).isHeard(as: .udp(Self.preferred)))
        let circuit = Carrier.circuit(CircuitPlace(outer: 1, id: 7))
        #expect(circuit.isHeard(as: circuit) && !circuit.isHeard(as: .udp(plain)))
        #expect(!Carrier.udp(plain).isHeard(as: circuit))
        #expect(MemoryLayout<Carrier>.size == 24, "sessions, circuits and paths have one each, or several")
    }
}
