// SPDX-License-Identifier: Apache-2.0
// What the tables and keys of the packet path refuse: indices that are somebody's, counters and phases that cannot be,
// datagrams of others, and buffers without room.

import Testing
import VPNCrypto

@testable import VPNCore

@Suite struct TableRefusalTests {
    private let now = Fixture.now

    private static let start: UInt64 = 0x1234_5678

    // MARK: - Tables

    @Test func patchesAreOfSessionsThatAreHereAndTakeNobodysIndex() {
        var table = SessionTable()
        func session(_ index: UInt32) -> Session { Fixture.sessionPair(indexB: index).1 }
        let (one, two, absent) = (session(1), session(2), session(3))
        for present in [one, two] {
            let isNew = table.insert(present)
            #expect(isNew)
        }
        table.insert(patch: 1, of: absent, index: 9)
        #expect(table.entry(9) == nil)
        // The index of a session, and that of a patch.
        table.insert(patch: 1, of: one, index: 2)
        table.insert(patch: 1, of: one, index: 9)
        table.insert(patch: 2, of: one, index: 9)
        #expect(table.reference(2) == SessionReference(two) && table.entry(2)?.patch == 0)
        #expect(table.entry(9)?.patch == 1)
        // A session's own index is no patch, whoever says so.
        table.removePatch(1)
        #expect(table.reference(1) == SessionReference(one))
        // Nothing stands in the table twice.
        table.removePatch(9)
        let gone = table.remove(2)
        #expect(gone === two && table.entry(9) == nil && table.entry(2) == nil)
    }

    @Test func aQuiltIsOfTheSessionThatIsSentBy() {
        var table = PeerTable(mtu: 1500)
        let (session, _) = Fixture.sessionPair(seed: 1, indexA: 1, slotAtA: 3)
        let (other, _) = Fixture.sessionPair(seed: 2, indexA: 2, slotAtA: 3)
        table.quilt(Quilt(session, QuiltConfiguration()))
        #expect(!table.hasPeer(3))
        table.activate(session, Fixture.carrierToB)
        table.quilt(Quilt(other, QuiltConfiguration()))
        #expect(!table.isQuilted(3))
        table.quilt(Quilt(session, QuiltConfiguration()))
        #expect(table.isQuilted(3))
    }

    /// A session that went before what waited for it could go: that waits on for the next one, and stands in line once.
    @Test func packetsWaitOnWhereTheirSessionIsGoneAgain() throws {
        var sender = TestEnd()
        sender.plane.apply(.routes(try Fixture.routes([("10.77.0.2/32", 0)])))
        let packet = Fixture.packet(from: "10.77.0.1", to: "10.77.0.2")
        _ = sender.send(packet)
        let (first, _) = Fixture.sessionPair(seed: 1, indexA: 1, indexB: 101)
        let (second, peer) = Fixture.sessionPair(seed: 2, indexA: 2, indexB: 102)
        sender.plane.apply(.activate(first, Fixture.carrierToB))
        sender.plane.apply(.retire(1))
        let early = sender.drainStaged()
        #expect(early.isEmpty && sender.plane.sender.stagedCount(of: 0) == 1)
        for session in [first, second] { sender.plane.apply(.activate(session, Fixture.carrierToB)) }
        let datagrams = sender.drainStaged()
        try #require(datagrams.count == 1)
        #expect(peer.openFrame(datagrams[0], now: now) == .frame(.ip, packet))
    }

    // MARK: - Counters and phases

    /// §7: no counter beyond the hard stop, for a worker that has taken none of the phase before either.
    @Test func aSpentPhaseGivesNoFirstBlock() {
        for (used, counter) in [(Limits.framesPerPhase - 1, Self.start + Limits.framesPerPhase - 1), (1 << 30, nil)]
            as [(UInt64, UInt64?)]
        {
            let (a, _) = Fixture.sessionPair()
            a.skipCounters(used)
            var block = CounterBlock()
            let turn = block.take(of: a, now: now)
            #expect(turn?.counter == counter, "after \(used)")
        }
    }

    /// A repair brings back what was missed, once, and never moves the window on: it may cover what nobody has sealed.
    @Test func onlyWhatIsMissingCanBeMarked() throws {
        let (a, b) = Fixture.sessionPair()
        var frames: [[UInt8]] = []
        for mark in 0..<4 as Range<UInt8> {
            frames.append(try #require(a.sealFrame(type: .keepalive, payload: [mark], now: now)))
        }
        for place in [0, 2] {
            #expect(b.openFrame(frames[place], now: now) == .frame(.keepalive, [UInt8(place)]))
        }
        let marked = ([1, 1, 2, 3, 100_000] as [UInt64]).map { b.markReceived(Self.start + $0) }
        #expect(marked == [true, false, false, false, false])
        #expect(b.openFrame(frames[1], now: now) == .drop(.replayDuplicate))
        #expect(b.openFrame(frames[3], now: now) == .frame(.keepalive, [3]))
    }

    private func sendingKeys() -> SendingKeys {
        SendingKeys(
            KeyRatchet(
                .aes256GCM, key: Secret(copying: [UInt8](repeating: 1, count: 32)),
                iv: Secret(copying: [UInt8](repeating: 2, count: 12))),
            counterStart: 7, now: now)
    }

    /// Counters of a phase that is long over have no key: that of another phase would seal what nobody opens.
    @Test func aKeyIsThatOfItsPhaseAlone() {
        let keys = sendingKeys()
        let isStarted = [
            keys.start(after: 0, now: now), keys.start(after: 1, now: now), keys.start(after: 1, now: now),
        ]
        let phases = (0...3 as ClosedRange<UInt64>).map { keys.key(of: $0)?.phase }
        #expect(isStarted == [true, true, false] && phases == [nil, 1, 2, nil])
    }

    /// An end is followed into the next phase alone, after something was sealed in this one, and not beyond the last.
    @Test func onlyTheNextPhaseIsFollowed() {
        let keys = sendingKeys()
        let early = keys.follow(to: 1, now: now)
        _ = keys.reserve(1)
        let (ahead, next) = (keys.follow(to: 2, now: now), keys.follow(to: 1, now: now))
        #expect(!early && !ahead && next)
        var isStarted = true
        for phase in 1..<PhasedCounter.lastPhase where !keys.start(after: phase, now: now) { isStarted = false }
        _ = keys.reserve(1)
        let beyond = keys.follow(to: PhasedCounter.lastPhase + 1, now: now)
        #expect(isStarted && !beyond && keys.status.phase == PhasedCounter.lastPhase)
    }

    // MARK: - Datagrams

    /// What is not for a session costs its key nothing.
    @Test func aSessionOpensItsOwnDatagramsAlone() throws {
        let (_, b) = Fixture.sessionPair()
        let (other, _) = Fixture.sessionPair(indexB: 0xB000_0002)
        let s0 = S0Message(
            offers: Offers(hasAESHardware: true), senderIndex: 5,
            nonce: [UInt8](repeating: 0, count: S0Message.nonceSize)
        ).encoded(macKey: .unknownResponder)
        let foreign = try #require(other.sealFrame(type: .pad, payload: [], now: now))
        for datagram in [s0, foreign, []] { #expect(b.openFrame(datagram, now: now) == .drop(.unknownIndex)) }
        #expect(b.statistics.failedOpens == 0)
    }

    /// §7: the same limit of forgeries where datagrams come inside others, on circuits.
    @Test func aSpentKeyOpensNothingOnCircuitsEither() throws {
        let (a, b) = Fixture.sessionPair()
        func open(flipping place: Int? = nil) throws -> OpenVerdict {
            var bytes = try #require(a.sealFrame(type: .pad, payload: [], now: now))
            if let place { bytes[place] ^= 1 }
            let header = try #require(OuterHeader(bytes))
            let count = bytes.count
            var span = bytes.mutableSpan
            return b.open(&span, datagram: 0..<count, header: header, now: now)
        }
        b.countFailedOpens(Limits.failedOpens - 1)
        guard case .frame = try open() else { return fail("a good datagram was not opened") }
        let (forged, late) = (try open(flipping: 20), try open())
        #expect(forged == .drop(.authentication) && late == .drop(.receiveKeySpent))
    }

    /// Handshakes other than S1 carry no proof of work, and a header alone has no place for one.
    @Test func onlyWholeS1AreHeldAgainstThePrice() {
        let s0 = S0Message(
            offers: Offers(hasAESHardware: true), senderIndex: 5,
            nonce: [UInt8](repeating: 0, count: S0Message.nonceSize)
        ).encoded(macKey: .unknownResponder)
        for datagram in [s0, OuterHeader.bytes(.s1, bodyLength: 0, receiverIndex: 0, word: 7)] {
            var sieve = HandshakeSieve()
            let passed = (0..<3 * Limits.unpaidLooks).count { _ in
                var buffer = datagram
                return sieve.look(buffer.mutableSpan, 0..<datagram.count, price: 15, now: now) == .handshake
            }
            #expect(passed == 3 * Limits.unpaidLooks)
        }
    }

    @Test func linkLocalAddressesAreOfTheirLink() {
        func carrier(_ high: UInt64, scope: UInt32) -> Carrier {
            .udp(Endpoint(high: high, low: 1, port: 9, scope: scope))
        }
        let local = carrier(0xFE80_0000_0000_0000, scope: 3)
        #expect(local.isHeard(as: local))
        for scope in [0, 4] as [UInt32] {
            #expect(!local.isHeard(as: carrier(0xFE80_0000_0000_0000, scope: scope)))
        }
        let global = carrier(0x2001_0DB8_0000_0000, scope: 3)
        #expect(global.isHeard(as: carrier(0x2001_0DB8_0000_0000, scope: 0)))
    }

    // MARK: - Room

    /// A worker's sending half with one peer in slot 0.
    private func sender(_ session: Session, over carrier: Carrier = Fixture.carrierToB) -> OutboundPlane {
        var plane = OutboundPlane(mtu: 1500)
        plane.apply(.activate(session, carrier))
        return plane
    }

    private func reason(_ verdict: OutboundVerdict) -> DropReason? {
        if case .drop(let reason) = verdict { reason } else { nil }
    }

    @Test func noPacketIsLongerThanADatagram() throws {
        var pair = try TestPair()
        let most = Limits.largestPayload - 20
        let packets = [most + 1, most].map { Fixture.packet(from: "10.77.0.1", to: "10.77.0.2", payload: $0) }
        let refused = reason(pair.a.send(packets[0]).verdict)
        #expect(refused == .innerTooLarge && pair.a.plane.drops[.innerTooLarge] == 1)
        guard case .exceeds(mtu: 1500) = pair.a.send(packets[1]).verdict else {
            return fail("not held against the path")
        }
    }

    /// A payload from another buffer has room for all layers or goes nowhere.
    @Test func aRelayedPayloadNeedsRoomForItsLayers() {
        var plane = sender(Fixture.sessionPair().0)
        func relay(into size: Int) -> DropReason? {
            var source = [UInt8](repeating: 7, count: 200)
            var target = [UInt8](repeating: 0, count: size)
            let from = source.mutableSpan
            var span = target.mutableSpan
            return reason(plane.relay(from, payload: 0..<200, into: &span, to: 0, now: now))
        }
        let least = Limits.headroom + 200 + Limits.tailroom
        let (tight, roomy) = (relay(into: least - 1), relay(into: least))
        #expect(tight == .sendTooLarge && roomy == nil && plane.drops[.sendTooLarge] == 1)
    }

    /// What a guest is told has room for the longest message there is.
    @Test func aMessageToAGuestNeedsRoom() {
        var plane = sender(Fixture.sessionPair().0)
        func isWritten(into size: Int) -> Bool {
            var packet = Fixture.packet(from: "10.77.0.2", to: "192.0.2.9")
            let range = 0..<packet.count
            var target = [UInt8](repeating: 0, count: size)
            let source = packet.mutableSpan
            var span = target.mutableSpan
            return plane.prohibit(source, range, from: 0, into: &span, now: now) != nil
        }
        let least = Limits.headroom + PacketProhibited.largest + Limits.tailroom
        let (tight, roomy) = (isWritten(into: least - 1), isWritten(into: least))
        #expect(!tight && roomy)
    }

    /// A layer takes 24 bytes in front of a datagram and 16 behind it.
    @Test func aLayerNeedsItsRoomOnBothSides() {
        var plane = sender(Fixture.sessionPair().0)
        func wrap(_ datagram: Range<Int>) -> DropReason? {
            var bytes = [UInt8](repeating: 0, count: 100)
            var span = bytes.mutableSpan
            return reason(plane.carry(&span, datagram, over: .circuit(CircuitPlace(outer: 0, id: 5)), now: now))
        }
        let verdicts = [wrap(24..<84), wrap(23..<84), wrap(24..<85)]
        #expect(verdicts == [nil, .innerTooLarge, .innerTooLarge])
    }

    /// Of inner layers nobody knows the path: what no datagram holds takes no counter of theirs.
    @Test func whatNoDatagramHoldsIsNotRelayed() {
        let (session, _) = Fixture.sessionPair()
        var plane = sender(session, over: .circuit(CircuitPlace(outer: 9, id: 1)))
        let reserved = session.reservedCounters
        let payload = Limits.headroom..<Limits.headroom + Limits.largestPayload + 1
        var bytes = [UInt8](repeating: 0, count: payload.upperBound + Limits.tailroom)
        var span = bytes.mutableSpan
        let refused = reason(plane.relay(&span, payload: payload, to: 0, now: now))
        #expect(refused == .circuitBroken && session.reservedCounters == reserved)
    }

    @Test func aWaitingPacketThatTheBufferDoesNotHoldIsDropped() throws {
        var end = TestEnd()
        end.plane.apply(.routes(try Fixture.routes([("10.77.0.2/32", 0)])))
        _ = end.send(Fixture.packet(from: "10.77.0.1", to: "10.77.0.2", payload: 400))
        end.plane.apply(.activate(Fixture.sessionPair().0, Fixture.carrierToB))
        var bytes = [UInt8](repeating: 0, count: Limits.headroom + 400 + Limits.tailroom)
        var span = bytes.mutableSpan
        let isNone = end.plane.sender.nextStaged(into: &span, now: now) == nil
        #expect(isNone && end.plane.drops[.innerTooLarge] == 1 && end.plane.sender.stagedCount(of: 0) == 0)
    }
}
