// SPDX-License-Identifier: Apache-2.0
// The search for a path's MTU at its bounds (§7): answers that are late or about less, an idle path, and when a search
// is made anew and when not.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct PathSearchTests {
    /// A search, and when it is asked for questions: milliseconds after its beginning.
    private struct Run {
        var search: PathMTUSearch
        private var nonce: UInt64 = 0

        init(narrows: Bool = true) {
            search = PathMTUSearch(ceiling: 1436, isV4: true, narrows: narrows, now: Fixture.now)
        }

        mutating func ask(at milliseconds: Int, isBusy: Bool = true) -> [ProbeMessage] {
            var next = nonce
            let messages = search.advance(
                now: Fixture.now + .milliseconds(milliseconds), isBusy: { _ in isBusy },
                nonce: {
                    next += 1
                    return next
                })
            nonce = next
            return messages
        }

        mutating func answer(_ message: ProbeMessage, at milliseconds: Int) -> Bool {
            search.answered(message, now: Fixture.now + .milliseconds(milliseconds))
        }

        /// The first questions, of which the longest is answered after 20 ms: the search is over. The shortest one.
        mutating func settle() throws -> ProbeMessage {
            let first = ask(at: 0)
            let longest = try #require(first.max { $0.packet < $1.packet })
            let isTaken = answer(longest, at: 20)
            #expect(isTaken && longest.packet == 1436)
            return try #require(first.min { $0.packet < $1.packet })
        }
    }

    private func settled(at milliseconds: Int) -> Instant { Fixture.now + .milliseconds(milliseconds) }

    private func connected(_ seed: UInt64, largestDatagram: Int = 1472) -> Scenario {
        var conditions = LinkConditions()
        conditions.largestDatagram = largestDatagram
        let scenario = Scenario(seed: seed, conditions: conditions)
        #expect(scenario.connect(within: .seconds(5)))
        scenario.network.run(for: .seconds(10))
        return scenario
    }

    private func look(_ scenario: Scenario) -> PeerSnapshot { scenario.alice.snapshot(now: scenario.network.now)[0] }

    private func told(_ host: VirtualHost) -> [Int] {
        host.events.compactMap { if case .pathMTU(_, _, let mtu) = $0.event { mtu } else { nil } }
    }

    // MARK: - The search alone

    /// What is proven is said at once; where nothing arrives nothing is, however long it was looked for.
    @Test func whatArrivedIsProvenAndNothingElseIs() throws {
        var run = Run()
        #expect(run.search.found == nil)
        _ = try run.settle()
        #expect(run.search.found == 1436)
        var deaf = Run()
        for milliseconds in [0, 300, 900, 2100] { _ = deaf.ask(at: milliseconds) }
        #expect(deaf.search.found == nil && deaf.search.current == 1436)
        // It is over: on a busy path a question about what is taken for granted.
        let question = deaf.ask(at: 17_100).map(\.packet)
        #expect(question == [1436])
    }

    /// That less arrives does not show that the packets of now do.
    @Test func anAnswerAboutLessPostponesNoQuestion() throws {
        var run = Run()
        let shortest = try run.settle()
        let due = run.search.deadline
        let isTaken = run.answer(shortest, at: 5000)
        #expect(isTaken && shortest.packet < 1436)
        #expect(run.search.deadline == due && due == settled(at: 15_020))
    }

    /// On a path of half a second the answer comes when the question was said again.
    @Test func anAnswerThatIsLateConfirms() throws {
        var run = Run()
        _ = try run.settle()
        let (first, second) = (run.ask(at: 15_020), run.ask(at: 15_320))
        #expect(first.count == 1 && second.count == 1)
        let isTaken = run.answer(first[0], at: 15_520)
        #expect(isTaken && run.search.deadline == settled(at: 30_520))
    }

    @Test func anAnswerFromBeforeTheSearchWasOverIsNoneInTheEnd() throws {
        var run = Run()
        let shortest = try run.settle()
        let questions = run.ask(at: 15_020, isBusy: false)
        let isTaken = run.answer(shortest, at: 15_030)
        #expect(questions.isEmpty && !isTaken)
    }

    /// Three questions without an answer tell more than one, even if no more packets go meanwhile.
    @Test func aCheckThatWasBegunIsFinished() throws {
        var run = Run()
        _ = try run.settle()
        let first = run.ask(at: 15_020)
        let rest = [15_320, 15_620].map { run.ask(at: $0, isBusy: false) }
        #expect(first.count == 1 && rest.map(\.count) == [1, 1])
        let survey = run.ask(at: 15_920, isBusy: false)
        #expect(survey.count > 5)
    }

    /// RFC 8899 §5.1.1: a path is tried upwards after ten minutes, but not for nobody.
    @Test func anIdlePathIsNotTriedUpwards() {
        var run = Run(narrows: false)
        for message in run.ask(at: 0) where message.packet <= 1356 { _ = run.answer(message, at: 20) }
        for milliseconds in [300, 900, 2100] { _ = run.ask(at: milliseconds) }
        #expect(run.search.current == 1356 && run.search.found == 1356)
        let early = run.ask(at: 590_000, isBusy: false)
        let idle = run.ask(at: 650_000, isBusy: false)
        #expect(early.isEmpty && idle.isEmpty)
        let survey = run.ask(at: 700_000)
        #expect(survey.contains { $0.packet == 1436 })
    }

    // MARK: - Two nodes

    /// The other end's interface may take less, or more again, with each handshake.
    @Test func aPeerThatTakesLessIsSentLess() {
        let scenario = connected(795)
        let (network, alice) = (scenario.network, scenario.alice)
        #expect(look(scenario).pathMTU == 1436)
        for mtu in [1300, 1436] {
            scenario.bob.composing { $0.mtu = UInt16(mtu) }
            let count = alice.establishedSessions.count
            network.renew(0, at: alice)
            #expect(network.run(for: .seconds(3)) { alice.establishedSessions.count > count })
            network.run(for: .seconds(3))
            #expect(look(scenario).pathMTU == mtu && look(scenario).provenMTU == mtu, "\(scenario.describe())")
            let refused = alice.exceeded.count
            network.sendInner(Scenario.packet(from: 1, to: 2, tag: 1, count: mtu + 1), from: alice)
            #expect(alice.exceeded.count == refused + 1 && alice.exceeded.last?.mtu == mtu)
        }
    }

    /// A session that is lost and soon made again on the same path goes on with what is known of that.
    @Test func aSessionThatComesBackSoonNeedsNoSearch() throws {
        let scenario = connected(796, largestDatagram: 1392)
        let (network, alice) = (scenario.network, scenario.alice)
        #expect(told(alice) == [1356])
        let deadline = alice.machine.peers[0]?.path?.search.deadline
        let due = try #require(deadline)
        network.run(for: due.since(network.now))
        network.run(for: .milliseconds(100))
        let start = network.now
        #expect(network.drop(0, of: alice))
        #expect(network.run(for: .seconds(10)) { alice.confirmedSessions.count == 2 }, "\(scenario.describe())")
        network.run(for: .seconds(2))
        let probes = network.capture.count {
            $0.at >= start && $0.datagram.source == Scenario.aliceEndpoint && $0.datagram.type?.isData == true
                && $0.datagram.bytes.count > 1000
        }
        #expect(probes == 0 && told(alice) == [1356] && look(scenario).provenMTU == 1356)
    }

    /// What does not change is not told again, whatever is asked and answered.
    @Test func aSizeIsToldWhenItChanges() {
        let scenario = connected(797)
        for tag in 0..<20 as Range<UInt8> {
            #expect(scenario.carriesTraffic(tag))
            scenario.network.run(for: .seconds(1))
        }
        #expect(told(scenario.alice).isEmpty && told(scenario.bob).isEmpty)
        #expect(look(scenario).pathMTU == 1436)
    }
}
