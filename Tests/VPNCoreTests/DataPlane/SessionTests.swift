// SPDX-License-Identifier: Apache-2.0
// One session's two ends: what is sealed is opened once, and nothing else is.

import Testing
import VPNCrypto

@testable import VPNCore

@Suite struct SessionTests {
    @Test(arguments: [PacketCipher.aes256GCM, .chaCha20Poly1305]) func framesArriveOnce(cipher: PacketCipher) throws {
        let (a, b) = Fixture.sessionPair(cipher: cipher)
        for length in [0, 1, 15, 16, 17, 1200, Limits.largestPayload] {
            let payload = (0..<length).map { UInt8(truncatingIfNeeded: $0) }
            let datagram = try #require(a.sealFrame(type: .keepalive, payload: payload, now: Fixture.now))
            #expect(datagram.count == length + Limits.layerOverhead)
            #expect(b.openFrame(datagram, now: Fixture.now) == .frame(.keepalive, payload))
            #expect(b.openFrame(datagram, now: Fixture.now) == .drop(.replayDuplicate))
        }
        #expect(b.statistics.packetsIn == 7 && a.statistics.packetsOut == 7)
        #expect(a.statistics.bytesOut == b.statistics.bytesIn)
        #expect(a.statistics.framesLeft == Limits.framesPerPhase - 7)
    }

    @Test func countersStartWhereToldAndGoUpByOne() throws {
        let (a, _) = Fixture.sessionPair(counterStart: 0x7FFF_FFFF)
        for step in UInt64(0)..<5 {
            let datagram = try #require(a.sealFrame(type: .pad, payload: [], now: Fixture.now))
            #expect(OuterHeader(datagram)?.word == 0x7FFF_FFFF + step)
            #expect(OuterHeader(datagram)?.receiverIndex == 0xB000_0001)
        }
    }

    @Test func aDirectionsKeyDoesNotOpenTheOther() throws {
        let (a, b) = Fixture.sessionPair(indexA: 5, indexB: 5)
        let datagram = try #require(a.sealFrame(type: .pad, payload: [], now: Fixture.now))
        #expect(a.openFrame(datagram, now: Fixture.now) == .drop(.authentication))
        #expect(b.openFrame(datagram, now: Fixture.now) == .frame(.pad, []))
    }

    /// A forged counter of any size fails to open and moves nothing: all that came before is still told apart.
    @Test func forgedFarFutureCountersNeverMoveTheWindow() throws {
        let (a, b) = Fixture.sessionPair()
        let old = try (0..<100).map { _ in try #require(a.sealFrame(type: .pad, payload: [], now: Fixture.now)) }
        #expect(b.openFrame(old[50], now: Fixture.now) == .frame(.pad, []))
        var random = SeededGenerator(7)
        for _ in 0..<1000 {
            var forged = old.randomElement(using: &random)!
            for place in 8..<16 { forged[place] = UInt8.random(in: 0...255, using: &random) }
            if forged[8] == 0 { forged[8] = 1 }
            #expect(b.openFrame(forged, now: Fixture.now) == .drop(.authentication))
        }
        #expect(b.statistics.failedOpens == 1000)
        for (place, datagram) in old.enumerated() {
            let verdict = b.openFrame(datagram, now: Fixture.now)
            #expect(verdict == (place == 50 ? .drop(.replayDuplicate) : .frame(.pad, [])))
        }
    }

    @Test func whatIsOlderThanTheWindowIsDropped() throws {
        let (a, b) = Fixture.sessionPair()
        let first = try #require(a.sealFrame(type: .pad, payload: [], now: Fixture.now))
        let second = try #require(a.sealFrame(type: .pad, payload: [], now: Fixture.now))
        for _ in 0..<Limits.replayWindow - 1 {
            let datagram = try #require(a.sealFrame(type: .pad, payload: [], now: Fixture.now))
            #expect(b.openFrame(datagram, now: Fixture.now) == .frame(.pad, []))
        }
        #expect(b.openFrame(first, now: Fixture.now) == .drop(.replayTooOld))
        #expect(b.openFrame(second, now: Fixture.now) == .frame(.pad, []))
    }

    @Test func confirmationIsSaidOnce() {
        let (a, b) = Fixture.sessionPair()
        #expect(a.isConfirmed && !a.markConfirmed())
        #expect(!b.isConfirmed && b.markConfirmed() && !b.markConfirmed() && b.isConfirmed)
    }

    @Test func timesAreThoseHandedIn() throws {
        let (a, b) = Fixture.sessionPair()
        #expect(a.lastSent == nil && b.lastReceived == nil)
        let (sent, received) = (Fixture.now + .seconds(1), Fixture.now + .seconds(2))
        let datagram = try #require(a.sealFrame(type: .pad, payload: [], now: sent))
        _ = b.openFrame(datagram, now: received)
        #expect(a.lastSent == sent && b.lastReceived == received && a.lastReceived == nil)
    }

    /// Bucket padding without a bucket that fits goes to the longest plaintext there is, and not beyond.
    @Test func paddingOfControlFramesIsBounded() throws {
        let (a, b) = Fixture.sessionPair()
        let datagram = try #require(
            a.sealFrame(type: .keepalive, payload: [1, 2, 3], padding: .buckets([]), now: Fixture.now))
        #expect(datagram.count == Limits.largestDatagram)
        #expect(b.openFrame(datagram, now: Fixture.now) == .frame(.keepalive, [1, 2, 3]))
    }

    /// §7: hard stop at 2^30 frames; the data plane then asks for a new session and keeps the packet.
    @Test func theSendingKeyStopsAtItsLimit() throws {
        var pair = try TestPair()
        let packet = Fixture.packet(from: "10.77.0.1", to: "10.77.0.2")
        pair.sessionA.skipCounters(Limits.framesPerPhase - 1)
        #expect(pair.sessionA.statistics.framesLeft == 1)
        let last = try #require(pair.a.send(packet).datagram)
        #expect(OuterHeader(last)?.word == 0x1234_5678 + Limits.framesPerPhase - 1)
        #expect(pair.b.receive(last) == .deliver(packet))
        for expected in [true, false] {
            guard case .staged(0, expected) = pair.a.send(packet).verdict else {
                return fail("sent with a spent key")
            }
        }
        #expect(pair.sessionA.sealFrame(type: .pad, payload: [], now: Fixture.now) == nil)
        #expect(pair.sessionA.statistics.framesLeft == 0)
        // It still receives.
        let answer = Fixture.packet(from: "10.77.0.2", to: "10.77.0.1")
        #expect(pair.a.receive(try #require(pair.b.send(answer).datagram)) == .deliver(answer))
        #expect(pair.a.plane.sender.stagedCount(of: 0) == 2)
    }

    /// §7: a key is dropped after 2^36 failed opens, and its session reported once.
    @Test func theReceivingKeyIsDroppedAfterTooManyForgeries() throws {
        var pair = try TestPair()
        let packet = Fixture.packet(from: "10.77.0.1", to: "10.77.0.2")
        pair.sessionB.countFailedOpens(Limits.failedOpens - 1)
        #expect(pair.b.receive(try #require(pair.a.send(packet).datagram)) == .deliver(packet))
        var forged = try #require(pair.a.send(packet).datagram)
        forged[40] ^= 1
        #expect(pair.b.receive(forged) == .drop(.authentication))
        #expect(pair.b.receive(try #require(pair.a.send(packet).datagram)) == .violation(.receiveKeySpent))
        #expect(pair.b.receive(try #require(pair.a.send(packet).datagram)) == .drop(.receiveKeySpent))
    }
}
