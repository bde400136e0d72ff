// SPDX-License-Identifier: Apache-2.0
// What a move from one carrier to another may cost and when (§7): no byte more to a place that is not proven than came
// from there, no question before its time, and nothing for a carrier that is none of the peer's.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct MoveLimitTests {
    private static let home = Carrier.udp(Scenario.aliceEndpoint)
    private static let elsewhere = Carrier.udp(Endpoint(v4: 0x0A00_0051, port: 4500))
    private static let third = Carrier.udp(Endpoint(v4: 0x0A00_0052, port: 4500))

    private let scenario: Scenario
    private let session: Session
    private var bob: VirtualHost { scenario.bob }
    private var now: Instant { scenario.network.now }

    /// Alice called Bob, and neither has anything to say; `session` is Bob's.
    init() throws {
        let scenario = Scenario(seed: 790)
        #expect(scenario.connect(within: .seconds(5)))
        scenario.network.run(for: .seconds(5))
        session = try #require(scenario.bob.sendingSession(of: 0))
        self.scenario = scenario
        #expect(scenario.bob.machine.peers[0]?.carrier == Self.home)
    }

    /// Bytes of the new carrier are reported, as the packet workers do.
    private func report(_ carrier: Carrier, bytes: Int, _ session: Session? = nil) {
        bob.machine.carrierChanged(session ?? self.session, to: carrier, bytes: bytes, now: now)
    }

    /// Where Bob's control side sends what it has to send.
    private func sent() -> [Carrier] {
        var carriers: [Carrier] = []
        while let action = bob.machine.nextAction() {
            if case .transmit(_, let carrier) = action { carriers.append(carrier) }
        }
        return carriers
    }

    /// Whom Bob asks at a time after the beginning.
    private func ask(at milliseconds: Int, since start: Instant) -> [Carrier] {
        bob.machine.advanceMove(0, now: start + .milliseconds(milliseconds))
        return sent()
    }

    @Test func theCurrentSessionAloneShowsAnotherCarrier() throws {
        scenario.network.renew(0, at: scenario.alice)
        #expect(scenario.network.run(for: .seconds(2)) { bob.confirmedSessions.count == 2 })
        let current = try #require(bob.sendingSession(of: 0))
        #expect(current !== session)
        for (shown, carrier, isMove) in [
            (session, Self.elsewhere, false), (current, Self.home, false), (current, Self.elsewhere, true),
        ] {
            report(carrier, bytes: 1000, shown)
            let move = bob.machine.peers[0]?.move
            #expect((move != nil) == isMove, "\(carrier)")
        }
    }

    /// Whoever shows a third carrier pays for no question to the second.
    @Test func onlyItsOwnBytesPayForACarrier() {
        let start = now
        report(Self.elsewhere, bytes: PathMessage.datagram - 1)
        #expect(ask(at: 0, since: start) == [Self.home])
        report(Self.third, bytes: 1000)
        #expect(ask(at: 300, since: start) == [Self.home])
        report(Self.elsewhere, bytes: 1)
        #expect(ask(at: 900, since: start) == [Self.home, Self.elsewhere])
    }

    @Test func questionsWaitForTheirTime() {
        let start = now
        report(Self.elsewhere, bytes: 1000)
        let both = [Self.home, Self.elsewhere]
        #expect(ask(at: 0, since: start) == both)
        #expect(ask(at: 299, since: start) == [] && ask(at: 300, since: start) == both)
        #expect(ask(at: 899, since: start) == [] && ask(at: 900, since: start) == both)
        #expect(ask(at: 2099, since: start) == [] && bob.machine.peers[0]?.move != nil)
        #expect(ask(at: 2100, since: start) == [] && bob.machine.peers[0]?.move == nil)
    }

    /// An answer is as long as a question, and where it goes to the new carrier it is paid from the same bytes.
    @Test(arguments: [false, true]) func anAnswerThereIsPaidFromWhatCameFromThere(isThere: Bool) {
        let start = now
        report(Self.elsewhere, bytes: PathMessage.datagram)
        let question = PathMessage(nonce: [UInt8](repeating: 3, count: 8))
        let carrier = isThere ? Self.elsewhere : Self.home
        bob.machine.controlFrame(session, .pathChallenge, question.encoded, on: carrier, now: start)
        #expect(sent() == [carrier])
        #expect(ask(at: 0, since: start) == (isThere ? [Self.home] : [Self.home, Self.elsewhere]))
    }

    /// Who is proven at the new carrier is asked at the old one alone, as long as that may still answer.
    @Test func whoHasMovedIsNotAskedThereAgain() throws {
        var move = PathMove(
            from: Self.home, to: Self.elsewhere, bytes: 1000, nonces: (0..<16).map { UInt8($0) }, now: .origin)
        let questions = move.advance(now: .origin)
        let first = try #require(questions)
        #expect(first.map(\.1) == [Self.home, Self.elsewhere])
        guard case .move = move.answered(first[1].0, on: Self.elsewhere) else { return fail("not moved") }
        let next = move.advance(now: .origin)
        #expect(next?.map(\.1) == [Self.home])
    }

    /// By then the peer may be sent to over another carrier; where it is still that one, probes go as packets do.
    @Test func routesChooseForNoCarrierThatWasLeft() {
        var endpoint = Scenario.aliceEndpoint
        endpoint.source = 1
        let bound = Carrier.udp(endpoint)
        bob.machine.peers[0]?.carrier = Self.elsewhere
        bob.machine.letRoutesChoose(0, over: bound)
        let action = bob.machine.nextAction()
        #expect(action == nil && bob.machine.peers[0]?.carrier == Self.elsewhere)
        bob.machine.peers[0]?.carrier = bound
        bob.machine.peers[0]?.path?.carrier = bound
        bob.machine.letRoutesChoose(0, over: bound)
        #expect(bob.machine.peers[0]?.carrier == Self.home && bob.machine.peers[0]?.path?.carrier == Self.home)
    }
}
