// SPDX-License-Identifier: Apache-2.0
// What the inbound half of a worker tells and counts, and against whom: first datagrams in each other, handshakes
// amid data, sources that are another's, and slots that have somebody else.

import Testing
import VPNCrypto

@testable import VPNCore

extension Fixture {
    /// One end of a session; `place` is the circuit that it was made on.
    static func end(
        _ local: UInt32, _ remote: UInt32, seals: UInt8, opens: UInt8, _ role: SessionRole, peer: PeerSlot = 0,
        on place: CircuitPlace? = nil
    ) -> Session {
        func key(_ fill: UInt8) -> KeyRatchet {
            KeyRatchet(
                .aes256GCM, key: Secret(copying: [UInt8](repeating: fill, count: 32)),
                iv: Secret(copying: [UInt8](repeating: fill, count: 12)))
        }
        return Session(
            id: [UInt8](repeating: 1, count: 16), localIndex: local, remoteIndex: remote, peer: peer, role: role,
            cipher: .aes256GCM, sendKeys: key(seals), receiveKeys: key(opens), counterStart: 100,
            isConfirmed: role == .initiator, establishedAt: now, place: place)
    }
}

@Suite struct InboundPlaneTests {
    private let now = Fixture.now

    // MARK: - Trains

    /// A responder sends once it has heard its initiator: were one of the two not told of, it would be mute.
    @Test func twoSessionsWithTheirFirstDataInOneDatagramAreBothTold() throws {
        let place = CircuitPlace(outer: 1, id: 8)
        let farOuter = Fixture.end(1, 2, seals: 1, opens: 2, .initiator)
        let outer = Fixture.end(2, 1, seals: 2, opens: 1, .responder, peer: 1)
        let farInner = Fixture.end(3, 4, seals: 3, opens: 4, .initiator)
        let inner = Fixture.end(4, 3, seals: 4, opens: 3, .responder, on: place)
        var plane = InboundPlane(mtu: 1500)
        plane.apply(.routes(try Fixture.routes([("10.77.0.1/32", 0)])))
        for own in [outer, inner] { plane.apply(.install(own)) }
        let packet = Fixture.packet(from: "10.77.0.1", to: "10.77.0.2")
        let carried = try #require(farInner.sealFrame(type: .ip, payload: packet, now: now))
        let payload = RelayMessage.encoded(id: place.id, datagram: carried)
        var bytes = try #require(farOuter.sealFrame(type: .relay, payload: payload, now: now))
        plane.begin(Train(bytes.indices))
        var (told, delivered): ([UInt32], [[UInt8]]) = ([], [])
        while true {
            var span = bytes.mutableSpan
            guard let verdict = plane.next(&span, now: now) else { break }
            if verdict.hasNews, let first = plane.takeNews().firstData { told.append(first.localIndex) }
            if case .deliver(let range) = verdict.outcome { delivered.append(Array(bytes[range])) }
        }
        #expect(told == [outer.localIndex, inner.localIndex] && delivered == [packet])
        #expect(plane.drops.total == 0)
    }

    /// The end of a handshake that comes in one piece with data, under the index that the session has of it, goes to
    /// the control side, and is nothing that failed to open.
    @Test func aHandshakeAmidDataIsNotOpened() throws {
        let (a, b) = Fixture.sessionPair()
        var frames: [[UInt8]] = []
        for mark in 0..<3 as Range<UInt8> {
            frames.append(try #require(a.sealFrame(type: .keepalive, payload: [mark], now: now)))
        }
        frames[1][1] = DatagramType.s2.rawValue
        var plane = InboundPlane(mtu: 1500)
        plane.apply(.install(b))
        var bytes = frames.flatMap { $0 }
        plane.begin(Train(bytes.indices, segment: frames[0].count))
        var outcomes: [String] = []
        while true {
            var span = bytes.mutableSpan
            guard let verdict = plane.next(&span, now: now) else { break }
            switch verdict.outcome {
            case .control(_, .keepalive, let range): outcomes.append("keepalive \(bytes[range.lowerBound])")
            case .handshake(let range): outcomes.append("handshake of \(range.count)")
            default: outcomes.append("another")
            }
        }
        #expect(outcomes == ["keepalive 0", "handshake of \(frames[1].count)", "keepalive 2"])
        #expect(b.statistics.failedOpens == 0 && plane.drops.total == 0)
    }

    /// RFC 6040: a mark that is there already changes nothing, not even a header's checksum of 0xFFFF, which is as
    /// good as 0.
    @Test func aPacketThatIsMarkedAlreadyStaysAsItIs() throws {
        var pair = try TestPair()
        var packet = Fixture.packet(from: "10.77.0.1", to: "10.77.0.2")
        (packet[1], packet[10], packet[11]) = (3, 0xFF, 0xFF)
        let datagram = try #require(pair.a.send(packet).datagram)
        let outcome = pair.b.receive(datagram, congestion: .experienced)
        #expect(outcome == .deliver(packet))
    }

    // MARK: - Guests and others

    /// §8: so many packets with a foreign source in a minute end the session of a guest, and of nobody else.
    @Test func aPeerThatIsNoGuestMayErrInItsSource() throws {
        var pair = try TestPair()
        let packet = Fixture.packet(from: "10.99.0.1", to: "10.77.0.2")
        func outcomes(_ count: Int) throws -> [Outcome] {
            var outcomes: [Outcome] = []
            for _ in 0..<count {
                let datagram = try #require(pair.a.send(packet).datagram)
                outcomes.append(pair.b.receive(datagram))
            }
            return outcomes
        }
        let most = Limits.exitForeignSources
        let dropped = [Outcome](repeating: .drop(.innerSource), count: 2 * most)
        let plain = try outcomes(2 * most)
        #expect(plain == dropped)
        pair.b.plane.apply(.fence(0))
        let guest = try outcomes(most)
        #expect(guest.dropLast() == dropped[..<(most - 1)] && guest.last == .violation(.innerSource))
    }

    /// Nothing of the fence around a guest stays around whoever has its slot next, neither way.
    @Test func aSlotThatIsGivenAnewHasNoFence() throws {
        var pair = try TestPair()
        let surroundings = ExitSurroundings(addresses: [], port: 9000, closed: [])
        pair.b.plane.apply(.exit(ExitFence(.denyAll, surroundings)))
        pair.b.plane.apply(.fence(0))
        let there = Fixture.packet(from: "10.77.0.1", to: "10.77.0.2")
        let back = Fixture.packet(from: "10.77.0.2", to: "10.77.0.1")
        let first = try #require(pair.a.send(there).datagram)
        let refused = pair.b.receive(first)
        guard case .drop(.exitRefused) = pair.b.send(back).verdict else { return fail("sent to a guest") }
        #expect(refused != .deliver(there) && pair.b.plane.drops[.exitRefused] == 2)

        pair.b.plane.apply(.removePeer(0))
        let (a, b) = Fixture.sessionPair(seed: 2, indexA: 0xA000_0002, indexB: 0xB000_0002)
        pair.a.plane.apply(.activate(a, Fixture.carrierToB))
        pair.b.plane.apply(.activate(b, Fixture.carrierToA))
        let second = try #require(pair.a.send(there).datagram)
        let passed = pair.b.receive(second)
        let answer = try #require(pair.b.send(back).datagram)
        let returned = pair.a.receive(answer)
        #expect(passed == .deliver(there) && returned == .deliver(back))
        #expect(pair.b.plane.drops.total == 2)
    }

    /// Nor is whoever has the slot of an exit bound to the addresses that the exit gave.
    @Test func aSlotThatIsGivenAnewHasNoLease() throws {
        var pair = try TestPair()
        pair.a.plane.apply(.sources(0, [IPAddress("10.77.0.9")!]))
        let packet = Fixture.packet(from: "10.77.0.1", to: "10.77.0.2")
        guard case .drop(.innerSource) = pair.a.send(packet).verdict else { return fail("sent from no lease") }
        pair.a.plane.apply(.removePeer(0))
        let (session, _) = Fixture.sessionPair(seed: 2, indexA: 0xA000_0002)
        pair.a.plane.apply(.activate(session, Fixture.carrierToB))
        let datagram = pair.a.send(packet).datagram
        #expect(datagram != nil && pair.a.plane.drops[.innerSource] == 1)
    }
}
