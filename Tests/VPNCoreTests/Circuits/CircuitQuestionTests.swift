// SPDX-License-Identifier: Apache-2.0
// The questions by which a builder notices that a path leads nowhere any more (§8): whom it asks, what it learns from
// answers, and when it trusts its entry again.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct CircuitQuestionTests {
    /// A question to the farthest hop is on its way by all others: these are asked themselves where it had no answer
    /// alone.
    @Test func theFarthestHopIsAskedForAll() throws {
        let scenario = CircuitScenario(seed: 531, relays: 3)
        _ = try scenario.connect([1, 2, 3])
        scenario.network.run(for: .seconds(20))
        let slots = try #require(scenario.client.circuits(now: scenario.network.now).first).slots
        try #require(slots.count == 3)
        /// Datagrams that went in the session with each hop, those that lie in each other among them.
        func sent() throws -> [Int] {
            try slots.map { slot in
                let held = try #require(scenario.client.machine.peers[slot]?.ring.current)
                return Int(held.session.statistics.packetsOut)
            }
        }
        let before = try sent()
        scenario.network.run(for: .seconds(100))
        let counts = zip(try sent(), before).map { $0 - $1 }
        // One in five seconds and a few keepalives; and to each hop before how long packets may be, every fifteen
        // seconds.
        #expect((12...40).contains(counts[2]), "\(counts)")
        #expect(counts[1] - counts[2] <= 26 && counts[0] - counts[1] <= 26, "\(counts)")
    }

    /// How long answers take is known from the last of them.
    @Test func anAnswerTellsHowLongTheWayIs() throws {
        let scenario = CircuitScenario(seed: 532, relays: 2)
        _ = try scenario.connect([1, 2])
        let client = scenario.client
        let hop = try #require(client.circuits(now: scenario.network.now).first).destination
        func roundTrip(_ slot: PeerSlot) -> TimeSpan { client.machine.peers[slot]?.roundTrip ?? .zero }
        scenario.network.run(for: .seconds(5))
        // Questions alone are answered now; there and back by two links.
        scenario.relays[1].deafTo = [.keepalive]
        #expect(roundTrip(hop) < .milliseconds(100))
        scenario.network.conditions.latency = .milliseconds(60)
        scenario.network.run(for: .seconds(15))
        #expect(roundTrip(hop) >= .milliseconds(240) && client.circuitFailures.isEmpty, "\(scenario.describe())")
        // A hop before that has heard the question from the last one answers nothing by it.
        guard let question = client.machine.circuits.paths.values.first?.question else {
            Issue.record("nothing was asked: \(scenario.describe())")
            return
        }
        #expect(question.slot == hop)
        let (before, last) = (roundTrip(0), roundTrip(hop))
        let answer = ProbeMessage(packet: 0, nonce: question.nonce)
        let later = question.sent + .seconds(9)
        let isTaken = client.machine.heardAnswer(answer, slot: 0, now: later)
        #expect(isTaken && roundTrip(0) == before && roundTrip(hop) == last)
        _ = client.machine.heardAnswer(answer, slot: hop, now: later)
        #expect(roundTrip(hop) == .seconds(9))
    }

    /// Whoever is behind the entry may die: the entry answers, and the next circuit begins with it at once.
    @Test(arguments: [1, 2, 3]) func theEntryIsDoubtedWhereItIsSilentItself(relay: Int) throws {
        let scenario = CircuitScenario(seed: 533, relays: 3)
        _ = try scenario.connect([1, 2, 3])
        let client = scenario.client
        scenario.network.suspend(scenario.relays[relay - 1])
        scenario.network.run(for: .seconds(15)) { !client.circuitFailures.isEmpty }
        #expect(client.circuitFailures.map(\.hop) == [relay - 1], "\(scenario.describe())")
        let doubted = client.machine.peers[0]?.suspected
        #expect((doubted == nil) == (relay > 1))
        let isDoubted = client.machine.peers[0]?.isSuspect
        #expect(isDoubted == (relay == 1))
    }

    /// The entry was out of reach for a while. It is asked in the session that there is, and entered with its answer:
    /// the handshake that is begun as well, in case that it has forgotten all, may take its time.
    @Test func anEntryIsTrustedAgainWithItsAnswer() throws {
        let scenario = CircuitScenario(seed: 534, relays: 2)
        _ = try scenario.connect([1, 2])
        let (client, entry) = (scenario.client, scenario.relays[0])
        let address = entry.endpoint
        scenario.network.intervene = { $0.source == address || $0.destination == address ? .drop : .pass }
        scenario.network.run(for: .seconds(15)) { !client.circuitFailures.isEmpty }
        #expect(client.circuitFailures.map(\.failure) == [.lost], "\(scenario.describe())")
        let isDoubted = client.machine.peers[0]?.isSuspect
        #expect(isDoubted == true)
        scenario.network.intervene = nil
        entry.jobDuration = .seconds(60)
        let number = try scenario.build([1, 2], name: "next")
        #expect(scenario.network.run(for: .seconds(3)) { scenario.isReady(number) }, "\(scenario.describe())")
        let doubted = client.machine.peers[0]?.suspected
        #expect(doubted == nil && client.establishedSessions.count { $0.carrier.place == nil } == 1)
    }
}
