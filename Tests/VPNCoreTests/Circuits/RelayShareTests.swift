// SPDX-License-Identifier: Apache-2.0
// What the circuits of one link have of a relay (§8): none takes the others' part, and many guests that go at once cost no more
// than one.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct RelayShareTests {
    /// A relay with a guest that has a lease, and the circuit by which that came.
    private func scene(seed: UInt64, policy: RelayPolicy = RelayPolicy(), others: Int = 0) throws -> (
        scenario: CircuitScenario, exit: VirtualHost, guest: PeerSlot, place: CircuitPlace
    ) {
        let scenario = CircuitScenario(seed: seed, relays: 2, policy: policy, others: others)
        let number = try scenario.connect([1, 2])
        try #require(scenario.isReady(number), "\(scenario.describe())")
        let exit = scenario.relays[1]
        let guest = try #require(exit.guests.last)
        let place = try #require(exit.machine.peers[guest]?.arrival)
        return (scenario, exit, guest, place)
    }

    /// One more guest by a circuit, with a lease if it is to have one: as if its handshake had come.
    private func addGuest(_ number: Int, to host: VirtualHost, like guest: PeerSlot, on place: CircuitPlace) throws {
        let model = try #require(host.machine.peers[guest]?.ring.current)
        let prefix = IPPrefix(containing: IPAddress(v4: 0x0A50_0000 + UInt32(number)), length: 32)
        let slot = host.machine.addPeer(
            PeerConfiguration(name: "g\(number)", peerID: nil, endpoint: nil, allowedIPs: [prefix]),
            isConfigured: false, identity: nil, place: .guest)
        func ratchet() -> KeyRatchet {
            KeyRatchet(
                .aes256GCM, key: Secret(copying: [UInt8](repeating: 1, count: 32)),
                iv: Secret(copying: [UInt8](repeating: 2, count: 12)))
        }
        let session = Session(
            id: [UInt8](repeating: 3, count: 16), localIndex: 0x7000_0000 + UInt32(number), remoteIndex: 1, peer: slot,
            role: .responder, cipher: .aes256GCM, sendKeys: ratchet(), receiveKeys: ratchet(), counterStart: 1,
            isConfirmed: true, establishedAt: model.installed, place: place)
        host.machine.peers[slot]?.ring.current = HeldSession(
            session: session, summary: model.summary, installed: model.installed, renew: model.renew,
            expires: model.expires, leaves: 0, mixed: 0)
        host.machine.peers[slot]?.carrier = .circuit(place)
    }

    /// Everything that a node wants done, as words for what this suite looks at.
    private func actions(_ host: VirtualHost) -> [String] {
        var words: [String] = []
        while let action = host.machine.nextAction() {
            guard case .dataPlane(let command) = action else { continue }
            switch command {
            case .retire: words.append("retire")
            case .routes: words.append("routes")
            case .removePeer: words.append("remove")
            default: break
            }
        }
        return words
    }

    /// Five hundred guests with leases go by one END, or with the link that brought them: one table of routes, and their slots
    /// are nobody's before it.
    @Test(arguments: [false, true]) func manyGuestsThatGoCostOneTableOfRoutes(byLink: Bool) throws {
        let (scenario, exit, guest, place) = try scene(seed: 1)
        let now = scenario.network.now
        for number in 1..<500 { try addGuest(number, to: exit, like: guest, on: place) }
        #expect(exit.machine.guestCount == 500 && exit.footprint.guests == 500)
        #expect(actions(exit).isEmpty)
        if byLink {
            let isDropped = exit.machine.drop(place.outer, now: now)
            #expect(isDropped && !actions(exit).contains("routes"))
            exit.machine.timeout(now: now)
        } else {
            let end = EndMessage(id: place.id, reason: .closed)
            exit.machine.receive(end: end.encoded, slot: place.outer, now: now)
        }
        let words = actions(exit)
        #expect(words.count { $0 == "routes" } == 1, "\(words.count)")
        #expect(words.count { $0 == "retire" } == 500 && words.count { $0 == "remove" } >= 500)
        let routes = try #require(words.firstIndex(of: "routes"))
        #expect(!words[routes...].contains("retire") && words[routes...].count { $0 == "remove" } == 500)
        #expect(exit.machine.guestCount == 0)
        exit.machine.timeout(now: now)
        #expect(!actions(exit).contains("routes"))
    }

    @Test func theNinthOfOneCircuitIsRefused() throws {
        let (_, exit, guest, place) = try scene(seed: 2)
        let stranger = RehearsalIdentity(seed: 999).publicKeys.peerID
        let known = try #require(exit.machine.peers[guest]?.identity)
        func isHeard(_ id: PeerID, on place: CircuitPlace) -> Bool {
            exit.machine.refusal(ofGuest: id, kind: .anonymous, on: .circuit(place)) == nil
        }
        for number in 1..<8 {
            #expect(isHeard(stranger, on: place), "\(number)")
            try addGuest(number, to: exit, like: guest, on: place)
        }
        #expect(!isHeard(stranger, on: place))
        // Who is there comes again, and others by other circuits.
        #expect(isHeard(known, on: place))
        #expect(isHeard(stranger, on: CircuitPlace(outer: place.outer, id: place.id ^ 1)))
    }

    @Test func oneLinkHasHalfOfWhatOthersLeave() throws {
        var policy = RelayPolicy()
        policy.guests = 20
        policy.guestsPerCircuit = 20
        let (_, exit, guest, place) = try scene(seed: 3, policy: policy)
        let stranger = RehearsalIdentity(seed: 999).publicKeys.peerID
        let elsewhere = CircuitPlace(outer: place.outer + 1000, id: place.id)
        func isHeard(on place: CircuitPlace) -> Bool {
            exit.machine.refusal(ofGuest: stranger, kind: .anonymous, on: .circuit(place)) == nil
        }
        var number = 1
        while isHeard(on: place), number < 30 {
            try addGuest(number, to: exit, like: guest, on: place)
            number += 1
        }
        #expect(exit.machine.guestCount == 10)
        while isHeard(on: elsewhere), number < 30 {
            try addGuest(number, to: exit, like: guest, on: elsewhere)
            number += 1
        }
        #expect(exit.machine.guestCount == 15)
        #expect(isHeard(on: CircuitPlace(outer: place.outer + 1001, id: place.id)))
    }

    /// Two clients behind one relay: what one says on its circuit, all that the link may bring and more, keeps the other from
    /// nothing.
    @Test(arguments: 1...3 as ClosedRange<UInt64>) func aFloodOnOneCircuitIsNotTheOthers(seed: UInt64) throws {
        var policy = RelayPolicy()
        policy.handshakesPerMinutePerLink = 20
        let scenario = CircuitScenario(seed: seed, relays: 2, policy: policy, others: 1)
        let exit = scenario.relays[1]
        scenario.network.run(for: .seconds(2))
        let prefix = IPPrefix(containing: IPAddress(v4: 0x0A64_0001), length: 32)
        let request = CircuitRequest(name: "flood", hops: [1, 2].map(scenario.id), allowedIPs: [prefix])
        _ = try scenario.network.build(request, at: scenario.others[0])
        let isThere = scenario.network.run(for: .seconds(15)) { !exit.guests.isEmpty }
        try #require(isThere, "\(scenario.describe())")
        let place = try #require(exit.machine.peers[exit.guests[0]]?.arrival)
        func flood() {
            for _ in 0..<100 { _ = exit.machine.rate.admit(.circuit(place), now: scenario.network.now) }
        }
        flood()
        let number = try scenario.build([1, 2])
        let isReady = scenario.network.run(for: .seconds(15)) {
            flood()
            return scenario.isReady(number)
        }
        #expect(isReady, "\(scenario.describe())")
    }
}
