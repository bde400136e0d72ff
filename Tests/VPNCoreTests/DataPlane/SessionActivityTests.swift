// SPDX-License-Identifier: Apache-2.0
// What a session takes for a sign of life of either end, for payload, and for a forgery: keepalives and the end of a
// key hang on it.

import Testing

@testable import VPNCore

@Suite struct SessionActivityTests {
    private let now = Fixture.now
    private let later = Fixture.now + .seconds(1)

    // MARK: - Sent

    /// §7: questions about a path, and their answers, keep no end from saying that it is there.
    @Test func questionsAboutPathsAreNoSignOfLife() throws {
        let questions: [FrameType] = [.probe, .probeReport, .pathChallenge, .pathResponse]
        for type in FrameType.allCases {
            let (a, _) = Fixture.sessionPair()
            _ = try #require(a.sealFrame(type: type, payload: [1], now: now))
            let expected: Instant? = questions.contains(type) ? nil : now
            #expect(a.lastSent == expected, "\(type)")
            #expect(a.statistics.packetsOut == 1, "\(type)")
        }
    }

    // MARK: - Received

    /// One-way traffic is answered now and then, and keepalives are no traffic: two idle ends would answer each other
    /// for ever.
    @Test func packetsAndWhatIsRelayedArePayload() throws {
        for type in FrameType.allCases {
            let (a, b) = Fixture.sessionPair()
            let datagram = try #require(a.sealFrame(type: type, payload: [1], now: now))
            let opened = b.openFrame(datagram, now: later)
            #expect(opened == .frame(type, [1]))
            let expected: Instant? = type == .ip || type == .relay ? later : nil
            #expect(b.lastReceived == later && b.lastPayloadReceived == expected, "\(type)")
        }
    }

    /// Whoever is on the path may send what he likes: the other end is silent all the same.
    @Test func forgeriesAndReplaysAreNoSignOfLife() throws {
        let (a, b) = Fixture.sessionPair()
        let datagram = try #require(a.sealFrame(type: .ip, payload: [1], now: now))
        let forged = b.openFrame(datagram.flipping(20), now: now + .seconds(1))
        #expect(forged == .drop(.authentication) && b.lastReceived == nil)
        let opened = b.openFrame(datagram, now: now + .seconds(2))
        let again = b.openFrame(datagram, now: now + .seconds(3))
        #expect(opened == .frame(.ip, [1]) && again == .drop(.replayDuplicate))
        #expect(b.lastReceived == now + .seconds(2) && b.lastPayloadReceived == now + .seconds(2))
        #expect(b.statistics.packetsIn == 1 && b.statistics.bytesIn == UInt64(datagram.count))
    }

    // MARK: - Forgeries

    /// §7 counts what does not open. On circuits, too, whoever says again what he has heard brings no key nearer to
    /// its end.
    @Test func aReplayIsNoForgery() throws {
        let (a, b) = Fixture.sessionPair()
        func open(_ datagram: [UInt8]) throws -> OpenVerdict {
            var bytes = datagram
            let header = try #require(OuterHeader(bytes))
            let count = bytes.count
            var span = bytes.mutableSpan
            return b.open(&span, datagram: 0..<count, header: header, now: now)
        }
        let first = try #require(a.sealFrame(type: .pad, payload: [], now: now))
        guard case .frame = try open(first) else { return fail("a good datagram was not opened") }
        for _ in 0..<3 {
            let again = try open(first)
            #expect(again == .drop(.replayDuplicate))
        }
        #expect(b.statistics.failedOpens == 0)
        let second = try #require(a.sealFrame(type: .pad, payload: [], now: now))
        let forged = try open(second.flipping(20))
        #expect(forged == .drop(.authentication) && b.statistics.failedOpens == 1)
    }

    /// A session's index is that of the handshake which made it: what comes late of that is no data of the session.
    @Test func aHandshakeUnderASessionsIndexIsNotOpened() throws {
        let (a, b) = Fixture.sessionPair()
        var datagram = try #require(a.sealFrame(type: .pad, payload: [], now: now))
        datagram[1] = DatagramType.s2.rawValue
        #expect(b.openFrame(datagram, now: now) == .drop(.unknownIndex))
        #expect(b.statistics.failedOpens == 0)
        datagram[1] = DatagramType.data1.rawValue
        #expect(b.openFrame(datagram, now: now) == .drop(.authentication))
        #expect(b.statistics.failedOpens == 1)
    }
}
