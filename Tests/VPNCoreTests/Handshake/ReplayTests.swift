// SPDX-License-Identifier: Apache-2.0
// Replayed handshakes: nothing changes, whoever repeats them, whenever, wherever.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct ReplayTests {
    private func recordedS1(_ scenario: Scenario) -> [VirtualDatagram] {
        scenario.network.capture.map(\.datagram).filter { $0.type == .s1 }
    }

    private func session(_ host: VirtualHost) -> [UInt8]? { host.confirmedSessions.last?.sessionID }

    @Test(arguments: Primitives.allCases, [0, 20, 45, 130, 250, 4000])
    func s1ReplayedFromTheSameAddress(_ primitives: Primitives, _ seconds: Int) {
        let scenario = Scenario(seed: 21, primitives: primitives)
        #expect(scenario.connect())
        let recorded = recordedS1(scenario)
        scenario.network.run(for: .seconds(seconds))
        let before = scenario.bob.establishedSessions.count
        let jobs = scenario.bob.jobsRun
        for datagram in recorded { scenario.network.inject(datagram) }
        scenario.network.run(for: .seconds(5))
        #expect(scenario.bob.establishedSessions.count == before, "\(scenario.describe())")
        // Within the answer's life a repeat costs nothing; within the cookie's, one opening; after it, nothing.
        #expect(scenario.bob.jobsRun - jobs <= (seconds > 30 && seconds < 250 ? 1 : 0), "\(scenario.describe())")
        // After 4,000 s the old session is gone by age and traffic makes a new one; before, it goes on.
        if seconds < 4000 { #expect(scenario.carriesTraffic()) }
    }

    @Test func s1ReplayedFromAnotherAddress() {
        let scenario = Scenario(seed: 22)
        #expect(scenario.connect())
        let before = session(scenario.bob)
        let sent = scenario.bob.bytesSent
        for var datagram in recordedS1(scenario) {
            datagram.source = Endpoint(v4: 0x0A00_0099, port: 4444)
            scenario.network.inject(datagram)
        }
        scenario.network.run(for: .milliseconds(500))
        #expect(scenario.bob.controlDrops[.cookie] == 7)
        #expect(session(scenario.bob) == before)
        #expect(scenario.bob.bytesSent == sent, "a replay from elsewhere got an answer")
        #expect(scenario.carriesTraffic())
    }

    @Test func s1ReplayedAfterTheResponderRestarted() {
        let scenario = Scenario(seed: 23)
        #expect(scenario.connect())
        let recorded = recordedS1(scenario)
        scenario.network.detach(scenario.bob)
        scenario.network.detach(scenario.alice)
        let reborn = Scenario.host(
            "bob", Scenario.bobEndpoint, scenario.bob.identity, peer: scenario.alice.identity,
            peerEndpoint: Scenario.aliceEndpoint, Scenario.answering, seed: 555, .rehearsal, now: scenario.network.now)
        scenario.network.attach(reborn)
        for datagram in recorded { scenario.network.inject(datagram) }
        scenario.network.run(for: .seconds(2))
        #expect(reborn.controlDrops[.cookie] == 7 && reborn.jobsRun == 0)
        #expect(reborn.footprint.inboundHandshakes == 0 && reborn.bytesSent == 0)
    }

    @Test func everyDatagramOfAConnectionReplayedBothWays() {
        let scenario = Scenario(seed: 24)
        #expect(scenario.connect())
        #expect(scenario.carriesTraffic())
        let everything = scenario.network.capture.map(\.datagram)
        let sessions = (session(scenario.alice), session(scenario.bob))
        let delivered = (scenario.alice.delivered.count, scenario.bob.delivered.count)
        for datagram in everything + everything.shuffledBy(24) {
            scenario.network.inject(datagram)
            // Reflection: the same bytes back to who sent them.
            scenario.network.inject(
                VirtualDatagram(bytes: datagram.bytes, source: datagram.destination, destination: datagram.source))
        }
        scenario.network.run(for: .seconds(5))
        #expect(session(scenario.alice) == sessions.0 && session(scenario.bob) == sessions.1)
        #expect(scenario.alice.delivered.count == delivered.0 && scenario.bob.delivered.count == delivered.1)
        #expect(scenario.carriesTraffic(2))
    }

    /// A fresh, authentic datagram that an attacker caught and sends on from its own address steals nothing.
    @Test func dataFromAnotherAddressMovesNoEndpoint() throws {
        let scenario = Scenario(seed: 26)
        #expect(scenario.connect())
        var caught: VirtualDatagram?
        scenario.network.intervene = { datagram in
            guard caught == nil, datagram.source == Scenario.aliceEndpoint, datagram.type == .data0 else {
                return .pass
            }
            caught = datagram
            return .drop
        }
        scenario.network.sendInner(Scenario.packet(from: 1, to: 2, tag: 77), from: scenario.alice)
        var stolen = try #require(caught)
        let thief = Endpoint(v4: 0x0A00_0097, port: 6666)
        stolen.source = thief
        scenario.network.inject(stolen)
        scenario.network.run(for: .milliseconds(100))
        #expect(scenario.bob.delivered.contains(Scenario.packet(from: 1, to: 2, tag: 77)), "it is authentic")
        scenario.network.sendInner(Scenario.packet(from: 2, to: 1, tag: 78), from: scenario.bob)
        scenario.network.run(for: .seconds(30))
        #expect(scenario.alice.delivered.contains(Scenario.packet(from: 2, to: 1, tag: 78)))
        // What went there is the question whether alice is there now, and no more bytes than came.
        let sent = scenario.network.capture.map(\.datagram).filter { $0.destination == thief }
        #expect(sent.reduce(0) { $0 + $1.bytes.count } <= stolen.bytes.count)
        #expect(scenario.bob.carrier(of: 0) == .udp(Scenario.aliceEndpoint))
    }

    /// A token serves one message from one address.
    @Test func aTokenSparesARoundTripOnceAndOnlyThere() {
        let scenario = Scenario(seed: 25)
        #expect(scenario.connect())
        let before = scenario.network.capture.count { $0.datagram.type == .s0 }
        // Renewal uses the token of the first S2: no S0.
        scenario.network.run(for: .seconds(2100))
        #expect(scenario.alice.establishedSessions.count == 2, "\(scenario.describe())")
        #expect(scenario.network.capture.count { $0.datagram.type == .s0 } == before)
        // The same S1 again, now that its answer is forgotten: the token is spent or the message known, either way silence.
        let renewed = scenario.network.capture.map(\.datagram).filter { $0.type == .s1 }.suffix(7)
        let sessions = scenario.bob.establishedSessions.count
        for datagram in renewed { scenario.network.inject(datagram) }
        for var datagram in renewed {
            datagram.source = Endpoint(v4: 0x0A00_0098, port: 1)
            scenario.network.inject(datagram)
        }
        scenario.network.run(for: .seconds(2))
        #expect(scenario.bob.establishedSessions.count == sessions)
        #expect(scenario.bob.controlDrops[.cookie] == 7)
    }

    @Test func aFullHistoryRefusesWhatItCannotRemember() {
        var history = InitiationHistory(capacity: 4)
        func hash(_ first: UInt8) -> [UInt8] { [first] + [UInt8](repeating: 0xA5, count: 63) }
        for index in 0..<4 as Range<UInt8> {
            #expect(history.admit(hash(index), issued: UInt32(index) + 10) == .fresh)
        }
        #expect(history.admit(hash(2), issued: 12) == .replayed)
        #expect(history.admit(hash(9), issued: 13) == .fresh)
        // That of second 10 was evicted: whatever claims to be as old might be it.
        #expect(history.admit(hash(0), issued: 10) == .forgotten)
        #expect(history.admit(hash(8), issued: 10) == .forgotten)
        #expect(history.admit(hash(7), issued: 14) == .fresh)
    }

    /// Tokens in use are remembered up to a limit; past it none is taken, rather than one twice.
    @Test func noTokenIsTakenThatCannotBeRemembered() {
        let cryptography = RehearsalCryptography(seed: 1)
        let now = Instant.origin + .seconds(5)
        var jar = CookieJar(cryptography: cryptography, now: now)
        let address = ProvenAddress(Endpoint(v4: 1, port: 2))
        func token(_ number: Int) -> [UInt8] {
            jar.makeToken(for: address, nonce: (0..<8).map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) }, now: now)
        }
        func verdict(_ number: Int, message: UInt64) -> CookieJar.Verdict {
            jar.check(token(number), from: address, senderIndex: 7, message: message, now: now)
        }
        for number in 0..<Limits.spentTokens {
            if number % 512 == 0 { #expect(verdict(number, message: 1) == .valid(issued: 0, difficulty: 0)) }
            jar.spend(token(number), for: 1)
        }
        #expect(verdict(Limits.spentTokens, message: 1) == .spent)
        // Those that are remembered serve their messages as before.
        #expect(verdict(3, message: 1) == .valid(issued: 0, difficulty: 0))
        #expect(verdict(3, message: 2) == .spent)
        #expect(jar.check([], from: address, senderIndex: 7, message: 1, now: now) == .invalid)
    }

    @Test func cookiesAreBoundToAddressPortIndexAndTime() {
        let cryptography = RehearsalCryptography(seed: 1)
        var now = Instant.origin + .seconds(5)
        var jar = CookieJar(cryptography: cryptography, now: now)
        let carrier = ProvenAddress(Endpoint(v4: 1, port: 2))
        func cookie() -> [UInt8] {
            jar.makeCookie(for: carrier, senderIndex: 7, difficulty: 0, nonce: [1, 2, 3, 4, 5, 6, 7, 8], now: now)
        }
        func verdict(_ bytes: [UInt8], _ from: ProvenAddress = carrier, _ index: UInt32 = 7) -> CookieJar.Verdict {
            jar.check(bytes, from: from, senderIndex: index, message: 1, now: now)
        }
        let made = cookie()
        #expect(verdict(made) == .valid(issued: 0, difficulty: 0))
        #expect(verdict(made, ProvenAddress(Endpoint(v4: 1, port: 3))) == .invalid)
        #expect(verdict(made, ProvenAddress(Endpoint(v4: 3, port: 2))) == .invalid)
        #expect(verdict(made, carrier, 8) == .invalid)
        #expect(verdict(made, ProvenAddress(association: [1], circuit: 2)) == .invalid)
        for offset in made.indices { #expect(verdict(made.flipping(offset)) == .invalid, "byte \(offset)") }
        for (seconds, isValid) in [(100, true), (100, true), (45, false)] {
            now += .seconds(seconds)
            jar.rotate(cryptography: cryptography, now: now)
            if case .valid = verdict(made) { #expect(isValid) } else { #expect(!isValid) }
        }
        // Ten years of silence, in either direction of any wall clock: secrets are new, time is only the issuer's.
        now += .seconds(315_360_000)
        jar.rotate(cryptography: cryptography, now: now)
        #expect(verdict(made) == .invalid)
        #expect(verdict(cookie()) != .invalid)
    }
}

extension Array {
    func shuffledBy(_ seed: UInt64) -> [Element] {
        var random = SeededRandom(seed: seed)
        return shuffled(using: &random)
    }
}
