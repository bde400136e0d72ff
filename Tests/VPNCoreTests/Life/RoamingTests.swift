// SPDX-License-Identifier: Apache-2.0
// Addresses that change under a session (§7): who is followed, who is not, and what it costs whom.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct RoamingTests {
    private static let elsewhere = Endpoint(v4: 0x0A00_0051, port: 4500)
    private static let thief = Endpoint(v4: 0x0A00_0097, port: 6666)

    private func connected(_ seed: UInt64, keepalive: UInt16 = 0) -> Scenario {
        var options = NodeOptions()
        options.keepaliveSeconds = keepalive
        let scenario = Scenario(seed: seed, alice: options)
        #expect(scenario.connect(within: .seconds(5)))
        #expect(scenario.carriesTraffic())
        return scenario
    }

    private func moves(_ host: VirtualHost) -> (moved: Int, kept: Int) {
        host.events.reduce(into: (0, 0)) { count, entry in
            switch entry.event {
            case .pathMoved: count.0 += 1
            case .pathKept: count.1 += 1
            default: break
            }
        }
    }

    private func bytes(_ scenario: Scenario, to endpoint: Endpoint) -> Int {
        scenario.network.capture.filter { $0.datagram.destination == endpoint }.reduce(0) {
            $0 + $1.datagram.bytes.count
        }
    }

    private func bytes(_ scenario: Scenario, from endpoint: Endpoint) -> Int {
        scenario.network.capture.filter { $0.datagram.source == endpoint }.reduce(0) { $0 + $1.datagram.bytes.count }
    }

    // MARK: - Those who move

    /// A first word from elsewhere that is too short to pay for a question delays nothing.
    @Test func aShortFirstWordFromElsewhereDelaysNothing() {
        let scenario = connected(80)
        scenario.network.move(scenario.alice, to: Self.elsewhere)
        scenario.network.say(.pad, [], to: 0, from: scenario.alice)
        scenario.network.run(for: .milliseconds(100))
        scenario.network.sendInner(Scenario.packet(from: 1, to: 2, tag: 9), from: scenario.alice)
        #expect(scenario.network.run(for: .milliseconds(40)) { scenario.bob.carrier(of: 0) == .udp(Self.elsewhere) })
        #expect(scenario.carriesTraffic(2), "\(scenario.describe())")
    }

    @Test func aPeerThatMovedIsFollowed() {
        let scenario = connected(81)
        scenario.network.move(scenario.alice, to: Self.elsewhere)
        let tag: UInt8 = 9
        scenario.network.sendInner(Scenario.packet(from: 1, to: 2, tag: tag), from: scenario.alice)
        // There, the question, its answer: three ways of 10 ms.
        #expect(scenario.network.run(for: .milliseconds(40)) { scenario.bob.carrier(of: 0) == .udp(Self.elsewhere) })
        #expect(scenario.carriesTraffic(10))
        scenario.network.run(for: .seconds(10))
        #expect(moves(scenario.bob) == (1, 0) && moves(scenario.alice) == (0, 0))
        #expect(scenario.alice.establishedSessions.count == 1, "no handshake was needed")
        // What the new path carries is looked for anew.
        let probed = scenario.network.capture.contains {
            $0.datagram.source == Scenario.bobEndpoint && $0.datagram.destination == Self.elsewhere
                && $0.datagram.bytes.count > 1300
        }
        #expect(probed)
    }

    @Test func theRespondersMoveIsFollowedToo() {
        let scenario = connected(82)
        scenario.network.move(scenario.bob, to: Self.elsewhere)
        scenario.network.sendInner(Scenario.packet(from: 2, to: 1, tag: 9), from: scenario.bob)
        scenario.network.run(for: .milliseconds(40))
        #expect(scenario.alice.carrier(of: 0) == .udp(Self.elsewhere))
        #expect(scenario.carriesTraffic(10) && scenario.alice.establishedSessions.count == 1)
    }

    @Test(arguments: [VirtualNAT.Mapping.endpointIndependent, .endpointDependent])
    func aRebindingNATIsFollowed(_ mapping: VirtualNAT.Mapping) {
        let scenario = Scenario(seed: 83, starting: false)
        scenario.network.attach(scenario.bob)
        let outside = Endpoint(v4: 0xC633_6407, port: 40_000)
        scenario.network.attach(
            scenario.alice, nat: VirtualNAT(mapping, publicEndpoint: outside, timeout: .seconds(120)))
        #expect(scenario.connect(within: .seconds(5)))
        for round in 1...20 as ClosedRange<UInt8> {
            let before = scenario.bob.carrier(of: 0)
            scenario.network.rebindNAT(of: scenario.alice)
            scenario.network.sendInner(Scenario.packet(from: 1, to: 2, tag: round), from: scenario.alice)
            scenario.network.run(for: .seconds(3))
            #expect(scenario.bob.carrier(of: 0) != before)
            #expect(scenario.carriesTraffic(round), "round \(round): \(scenario.describe())")
        }
        #expect(moves(scenario.bob) == (20, 0) && scenario.alice.establishedSessions.count == 1)
    }

    /// Through loss, jitter and reordering, with packets both ways: each move is followed, and what was under way still opens.
    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func movesThroughABadNetwork(_ seed: UInt64) {
        let scenario = connected(seed)
        var conditions = LinkConditions(loss: 0.2, latency: .milliseconds(40))
        conditions.jitter = .milliseconds(30)
        conditions.reordering = 0.1
        conditions.duplication = 0.1
        for step in 1...5 as ClosedRange<UInt32> {
            scenario.network.conditions = conditions
            let place = Endpoint(v4: 0x0A00_0100 + step, port: 4500)
            scenario.network.move(scenario.alice, to: place)
            for _ in 0..<100 {
                scenario.network.sendInner(Scenario.packet(from: 1, to: 2, tag: 4), from: scenario.alice)
                scenario.network.sendInner(Scenario.packet(from: 2, to: 1, tag: 5), from: scenario.bob)
                scenario.network.run(for: .milliseconds(100))
            }
            scenario.network.conditions = LinkConditions()
            #expect(scenario.bob.carrier(of: 0) == .udp(place), "seed \(seed), move \(step): \(scenario.describe())")
            #expect(scenario.carriesTraffic(UInt8(10 + step)), "seed \(seed), move \(step): \(scenario.describe())")
        }
    }

    /// Neither knows where the other went, and only a name tells: what the daemon does when a peer falls silent.
    @Test(arguments: 1...10 as ClosedRange<UInt64>)
    func bothMoveAtOnce(_ seed: UInt64) {
        let scenario = connected(seed, keepalive: 10)
        let places = (Endpoint(v4: 0x0A00_0061, port: 9000), Endpoint(v4: 0x0A00_0062, port: 9000))
        scenario.network.move(scenario.alice, to: places.0)
        scenario.network.move(scenario.bob, to: places.1)
        var asked = 0
        for _ in 0..<90 {
            scenario.network.run(for: .seconds(1))
            let silent = scenario.alice.events.count { if case .peerSilent = $0.event { true } else { false } }
            if silent > asked {
                asked = silent
                scenario.network.resolve("bob", to: [places.1], at: scenario.alice)
            }
        }
        #expect(asked >= 1)
        #expect(scenario.carriesTraffic(7), "\(scenario.describe())")
        #expect(scenario.alice.carrier(of: 0) == .udp(places.1) && scenario.bob.carrier(of: 0) == .udp(places.0))
    }

    /// Renewals and moves at all moments of each other.
    @Test func aMoveMayMeetARenewal() {
        for delay in stride(from: 0, to: 120, by: 5) {
            let scenario = connected(84)
            scenario.network.renew(0, at: scenario.alice)
            scenario.network.run(for: .milliseconds(delay))
            scenario.network.move(scenario.alice, to: Self.elsewhere)
            for tag in 20..<60 as Range<UInt8> {
                scenario.network.sendInner(Scenario.packet(from: 1, to: 2, tag: tag), from: scenario.alice)
                scenario.network.run(for: .milliseconds(200))
            }
            #expect(scenario.carriesTraffic(99), "after \(delay) ms: \(scenario.describe())")
            #expect(scenario.bob.carrier(of: 0) == .udp(Self.elsewhere))
        }
    }

    // MARK: - Those who pretend

    /// Off the path: whatever was seen is repeated from elsewhere. Not a byte goes there.
    @Test func replayedDatagramsMoveNobodyAndAreNotAnswered() {
        let scenario = connected(85)
        let seen = scenario.network.capture.map(\.datagram).filter { $0.type?.isData == true }
        for var datagram in seen {
            datagram.source = Self.thief
            scenario.network.inject(datagram)
        }
        scenario.network.run(for: .seconds(5))
        #expect(bytes(scenario, to: Self.thief) == 0)
        #expect(scenario.bob.carrier(of: 0) == .udp(Scenario.aliceEndpoint))
        #expect(moves(scenario.bob) == (0, 0) && scenario.carriesTraffic(2))
    }

    /// On the path: each datagram of alice arrives first from the thief's address. It gets one question for its bytes, and alice
    /// answers where she is.
    @Test func aFasterCopyMovesNobody() {
        let scenario = connected(86)
        var caught: [[UInt8]] = []
        scenario.network.intervene = { datagram in
            guard datagram.source == Scenario.aliceEndpoint, datagram.type?.isData == true, caught.count < 50,
                datagram.bytes.count == 100
            else { return .pass }
            caught.append(datagram.bytes)
            return .drop
        }
        for tag in 1...30 as ClosedRange<UInt8> {
            scenario.network.sendInner(Scenario.packet(from: 1, to: 2, tag: tag), from: scenario.alice)
            while let bytes = caught.popLast() {
                scenario.network.inject(
                    VirtualDatagram(bytes: bytes, source: Self.thief, destination: Scenario.bobEndpoint))
            }
            scenario.network.run(for: .seconds(1))
            #expect(scenario.bob.carrier(of: 0) == .udp(Scenario.aliceEndpoint))
        }
        scenario.network.intervene = nil
        #expect(bytes(scenario, to: Self.thief) > 0)
        #expect(bytes(scenario, to: Self.thief) <= bytes(scenario, from: Self.thief))
        #expect(moves(scenario.bob).moved == 0 && moves(scenario.bob).kept >= 1)
        // After an answer from where she was, no question for ten seconds.
        #expect(moves(scenario.bob).kept <= 4)
        #expect(scenario.carriesTraffic(2))
    }

    /// On the path, and passing questions and answers on: the new address is proven, but the old one answers and wins.
    @Test func anAddressThatIsOnlyPassedThroughLoses() {
        let scenario = connected(87)
        var copies: [VirtualDatagram] = []
        var isFirst = true
        scenario.network.intervene = { datagram in
            if datagram.source == Scenario.aliceEndpoint, datagram.destination == Scenario.bobEndpoint, isFirst {
                isFirst = false
                copies.append(
                    VirtualDatagram(bytes: datagram.bytes, source: Self.thief, destination: Scenario.bobEndpoint))
                return .drop
            }
            if datagram.destination == Self.thief {
                let isBobs = datagram.source == Scenario.bobEndpoint
                copies.append(
                    VirtualDatagram(
                        bytes: datagram.bytes, source: Self.thief,
                        destination: isBobs ? Scenario.aliceEndpoint : Scenario.bobEndpoint))
                return .drop
            }
            return .pass
        }
        scenario.network.sendInner(Scenario.packet(from: 1, to: 2, tag: 9), from: scenario.alice)
        for _ in 0..<5000 {
            let batch = copies
            copies = []
            for datagram in batch { scenario.network.inject(datagram) }
            scenario.network.run(for: .milliseconds(1))
        }
        #expect(scenario.bob.carrier(of: 0) == .udp(Scenario.aliceEndpoint), "\(scenario.describe())")
        #expect(scenario.alice.carrier(of: 0) == .udp(Scenario.bobEndpoint), "\(scenario.describe())")
        #expect(moves(scenario.bob).kept >= 1)
        scenario.network.intervene = nil
        #expect(scenario.carriesTraffic(3))
    }

    /// Who shows a new address with each datagram makes no more questions than one that moved once.
    @Test func aFloodOfAddressesIsBounded() throws {
        let scenario = connected(88)
        let session = try #require(scenario.alice.sendingSession(of: 0))
        let start = scenario.network.now
        for number in 0..<2000 as Range<UInt16> {
            let bytes = try #require(session.sealFrame(type: .pad, payload: [], padding: .buckets([100]), now: start))
            let source = Endpoint(v4: 0x0A00_0200, port: 10_000 + number)
            scenario.network.inject(
                VirtualDatagram(bytes: bytes, source: source, destination: Scenario.bobEndpoint))
            scenario.network.run(for: .milliseconds(5))
        }
        let questions = scenario.network.capture.filter {
            $0.at > start && $0.datagram.source == Scenario.bobEndpoint && $0.datagram.destination.v4 == 0x0A00_0200
        }
        #expect(
            !questions.isEmpty && questions.count <= 4, "\(questions.count) in ten seconds: alice answers where she is")
        #expect(scenario.carriesTraffic(2))
    }

    // MARK: - Questions and answers

    @Test func questionsAreAnsweredInBounds() throws {
        let scenario = connected(89)
        let session = try #require(scenario.alice.sendingSession(of: 0))
        let start = scenario.network.now
        let question = PathMessage(nonce: [1, 2, 3, 4, 5, 6, 7, 8])
        for _ in 0..<1000 {
            let bytes = try #require(
                session.sealFrame(type: .pathChallenge, payload: question.encoded, now: scenario.network.now))
            #expect(bytes.count == PathMessage.datagram)
            scenario.network.inject(
                VirtualDatagram(
                    bytes: bytes, source: Scenario.aliceEndpoint, destination: Scenario.bobEndpoint))
            scenario.network.run(for: .milliseconds(1))
        }
        scenario.network.run(for: .seconds(1))
        let answers = scenario.network.capture.filter {
            $0.at > start && $0.datagram.source == Scenario.bobEndpoint
                && $0.datagram.bytes.count == PathMessage.datagram
        }
        #expect((8...16).contains(answers.count), "\(answers.count)")
        #expect(scenario.bob.controlDrops[.pathRate] == UInt64(1000 - answers.count))
        // Nobody had asked.
        #expect(scenario.alice.controlDrops[.pathUnknown] == UInt64(answers.count))
        #expect(scenario.carriesTraffic(2) && scenario.bob.footprint.sessions == 1)
    }

    @Test func malformedQuestionsAndAnswersAreDroppedAndCounted() throws {
        let scenario = connected(90)
        let session = try #require(scenario.alice.sendingSession(of: 0))
        let nonce = [UInt8](repeating: 1, count: 8)
        let payloads: [[UInt8]] = [
            [], nonce, nonce + [0], nonce + [0, 2, 0], nonce + [1, 2], nonce + [0, 1], nonce + [0, 0],
        ]
        for type in [FrameType.pathChallenge, .pathResponse] {
            for payload in payloads {
                let bytes = try #require(session.sealFrame(type: type, payload: payload, now: scenario.network.now))
                scenario.network.inject(
                    VirtualDatagram(
                        bytes: bytes, source: Scenario.aliceEndpoint, destination: Scenario.bobEndpoint))
            }
        }
        scenario.network.run(for: .seconds(1))
        #expect(scenario.bob.controlDrops[.pathMalformed] == UInt64(payloads.count * 2))
        #expect(scenario.carriesTraffic(2))
    }

    /// Both ends are rebound at once and hear each other: questions and answers cross, and neither gives more than it got.
    @Test func questionsThatCrossGoNoFurtherThanTheirBytes() {
        let scenario = connected(91)
        let (one, other) = (Endpoint(v4: 0x0A00_0081, port: 1), Endpoint(v4: 0x0A00_0082, port: 2))
        // What is sent to the old places arrives at the new ones, as behind two NATs that changed the sources only.
        var pending: [VirtualDatagram] = []
        scenario.network.intervene = { datagram in
            var forwarded = datagram
            switch datagram.destination {
            case Scenario.aliceEndpoint: forwarded.destination = one
            case Scenario.bobEndpoint: forwarded.destination = other
            default: return .pass
            }
            pending.append(forwarded)
            return .drop
        }
        scenario.network.move(scenario.alice, to: one)
        scenario.network.move(scenario.bob, to: other)
        scenario.network.sendInner(Scenario.packet(from: 1, to: 2, tag: 9), from: scenario.alice)
        for step in 0..<4000 {
            let batch = pending
            pending = []
            for datagram in batch { scenario.network.inject(datagram) }
            if step % 500 == 250 {
                scenario.network.sendInner(Scenario.packet(from: 2, to: 1, tag: 8), from: scenario.bob)
                scenario.network.sendInner(Scenario.packet(from: 1, to: 2, tag: 8), from: scenario.alice)
            }
            scenario.network.run(for: .milliseconds(1))
        }
        #expect(scenario.bob.carrier(of: 0) == .udp(one) && scenario.alice.carrier(of: 0) == .udp(other))
        scenario.network.intervene = nil
        #expect(scenario.carriesTraffic(10))
    }

    @Test func aMoveKnowsItsOwnAnswersOnly() {
        let (old, new) = (Carrier.udp(Scenario.aliceEndpoint), Carrier.udp(Self.elsewhere))
        let nonces = (0..<16).map { UInt8($0) }
        var move = PathMove(from: old, to: new, bytes: 100, nonces: nonces, now: .origin)
        let first = move.advance(now: .origin)
        #expect(first?.map(\.1) == [old, new] && first?[0].0 != first?[1].0)
        let (oldQuestion, newQuestion) = (first![0].0, first![1].0)
        // 46 of 100 bytes are spent, then 92.
        #expect(move.advance(now: .origin)?.map(\.1) == [old, new])
        #expect(move.advance(now: .origin)?.map(\.1) == [old])
        #expect(move.advance(now: .origin) == nil)
        for (message, carrier) in [
            (oldQuestion, new), (newQuestion, old), (PathMessage(nonce: [UInt8](repeating: 9, count: 8)), new),
        ] {
            guard case .unknown = move.answered(message, on: carrier) else { return fail("taken for an answer") }
        }
        guard case .move = move.answered(newQuestion, on: new) else { return fail("not moved") }
        guard case .unknown = move.answered(newQuestion, on: new) else { return fail("moved twice") }
        guard case .stay = move.answered(oldQuestion, on: old) else { return fail("the old carrier does not win") }
        // An answer is paid from the same bytes.
        var paying = PathMove(from: old, to: new, bytes: PathMessage.datagram, nonces: nonces, now: .origin)
        paying.payAnswer()
        #expect(paying.advance(now: .origin)?.map(\.1) == [old])
        paying.credit(PathMessage.datagram)
        #expect(paying.advance(now: .origin)?.map(\.1) == [old, new])
    }

    // MARK: - The packet path

    /// A train from elsewhere is told of once, with its bytes, and then not for a second; one that is old or replayed never.
    @Test func thePacketPathTellsOnceATrain() throws {
        var pair = try TestPair()
        let packet = Fixture.packet(from: "10.77.0.1", to: "10.77.0.2")
        let other = Carrier.udp(Self.elsewhere)
        func take(_ datagrams: [[UInt8]], from carrier: Carrier, at now: Instant) -> [Int] {
            var bytes = datagrams.flatMap { $0 }
            var span = bytes.mutableSpan
            let count = span.count
            pair.b.plane.receiver.begin(Train(0..<count, segment: datagrams[0].count), from: carrier)
            var told: [Int] = []
            while let verdict = pair.b.plane.receiver.next(&span, now: now) {
                if verdict.hasNews, let (session, bytes) = pair.b.plane.receiver.takeNews().changedCarrier {
                    #expect(session === pair.sessionB)
                    told.append(bytes)
                }
            }
            return told
        }
        var sealed: [[[UInt8]]] = []
        for _ in 0..<9 { sealed.append(try (0..<10).map { _ in try #require(pair.a.send(packet).datagram) }) }
        let size = sealed[0].reduce(0) { $0 + $1.count }
        let now = Fixture.now
        #expect(take(sealed[1], from: Fixture.carrierToA, at: now) == [])
        #expect(take(sealed[0], from: other, at: now) == [], "older than what came from the known carrier")
        #expect(take(sealed[1], from: other, at: now) == [], "replayed")
        #expect(take(sealed[2], from: other, at: now) == [size])
        #expect(take(sealed[3], from: other, at: now + .milliseconds(999)) == [], "told already")
        #expect(take(sealed[4], from: other, at: now + .seconds(1)) == [size])
        pair.b.plane.apply(.move(0, other))
        #expect(take(sealed[5], from: other, at: now + .seconds(5)) == [])
        // Whoever shows a new one each time is not told of each time.
        let (third, thief) = (Carrier.udp(Endpoint(v4: 0x0A00_0052, port: 4500)), Carrier.udp(Self.thief))
        #expect(take(sealed[6], from: third, at: now + .seconds(6)) == [size])
        #expect(take(sealed[7], from: thief, at: now + .seconds(6) + .milliseconds(9)) == [])
        #expect(take(sealed[8], from: thief, at: now + .seconds(6) + .milliseconds(10)) == [size])
    }
}
