// SPDX-License-Identifier: Apache-2.0
// Who is heard by a responder (§5, §6, §8) and who is not: the line for public-key work and its price, what is
// remembered of refusals, who of two that call at once begins, and who is met on a circuit.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct HandshakeLineTests {
    // MARK: - The line

    /// Bob, whose public-key work never ends: eight are at it, and as many have room behind them.
    private func busyBob(_ seed: UInt64) -> (scenario: Scenario, bob: VirtualHost) {
        var options = Scenario.answering
        options.maximumJobs = 8
        let scenario = Scenario(seed: seed, bob: options, starting: false)
        scenario.bob.jobDuration = .seconds(1000)
        scenario.network.attach(scenario.bob)
        return (scenario, scenario.bob)
    }

    /// One of many, each in a network of its own.
    private func caller(_ number: Int, _ scenario: Scenario) -> HandMadeCaller {
        HandMadeCaller(
            identity: scenario.alice.identity, responder: scenario.bob, network: scenario.network,
            endpoint: Endpoint(v4: 0x0B00_0001 + UInt32(number) << 8, port: 9000))
    }

    /// What a cookie costs that is given out now.
    private func price(_ scenario: Scenario) throws -> UInt8 {
        let (network, id) = (scenario.network, scenario.bob.identity.publicKeys.peerID)
        let s0 = S0Message(
            offers: Offers(hasAESHardware: true), senderIndex: 99,
            nonce: [UInt8](repeating: 1, count: S0Message.nonceSize)
        ).encoded(macKey: MAC1Key(responder: id))
        let from = network.capture.count
        network.inject(
            VirtualDatagram(
                bytes: s0, source: Endpoint(v4: 0x0C00_0001, port: 1), destination: Scenario.bobEndpoint))
        network.run(for: .milliseconds(20))
        let answer = try #require(network.capture[from...].last { $0.datagram.type == .retry })
        let retry = try #require(RetryMessage(answer.datagram.bytes))
        let cookie = try #require(retry.openCookie(answering: s0, sealingID: id.bytes))
        return cookie[1]
    }

    private func fill(_ scenario: Scenario, after each: () throws -> Void = {}) throws {
        for number in 1...16 {
            let stranger = caller(number, scenario)
            stranger.say(try stranger.s1(under: stranger.cookie()))
            scenario.network.run(for: .milliseconds(20))
            try each()
        }
    }

    /// §4: nothing while there is room, more above half of the work, most above half of the line; and the line takes
    /// all that it has room for.
    @Test func cookiesCostMoreTheLongerTheLineIs() throws {
        let (scenario, bob) = busyBob(781)
        var prices = [try price(scenario)]
        try fill(scenario) { prices.append(try price(scenario)) }
        let load = [UInt8](repeating: Limits.puzzleDifficultyUnderLoad, count: 8)
        let attack = [UInt8](repeating: Limits.puzzleDifficultyUnderAttack, count: 4)
        #expect(prices == [UInt8](repeating: 0, count: 5) + load + attack)
        #expect(bob.machine.inbound.waitingCount == 8 && bob.controlDrops[.jobsFull] == 0, "\(scenario.describe())")
    }

    /// §5: where the line is full, whoever paid less than is asked now leaves no trace; whoever paid takes a place, and
    /// a token is worth more than any puzzle.
    @Test func whereTheLineIsFullOnlyWhoPaidIsHeard() throws {
        let (scenario, bob) = busyBob(782)
        try fill(scenario)
        func say(_ stranger: HandMadeCaller, under cookie: [UInt8]) throws -> [UInt64] {
            stranger.say(try stranger.s1(under: cookie))
            scenario.network.run(for: .milliseconds(20))
            return [bob.controlDrops[.unpaid], bob.controlDrops[.jobsFull]]
        }
        let (free, paying, known) = (caller(17, scenario), caller(18, scenario), caller(19, scenario))
        let ignored = try say(free, under: free.cookie())
        #expect(ignored == [7, 0] && bob.footprint.reassemblies == 0, "\(scenario.describe())")
        let heard = try say(paying, under: paying.cookie(difficulty: Limits.puzzleDifficultyUnderAttack))
        #expect(heard == [7, 1], "\(scenario.describe())")
        let token = bob.machine.cookies.makeToken(
            for: ProvenAddress(known.endpoint), nonce: [8, 7, 6, 5, 4, 3, 2, 1], now: scenario.network.now)
        let preferred = try say(known, under: token)
        #expect(preferred == [7, 2] && bob.machine.inbound.waitingCount == 8, "\(scenario.describe())")
        let first = bob.machine.inbound.waiting(.first)?.carrier.fromAnyAddress
        #expect(first == .udp(known.endpoint))
    }

    // MARK: - What is remembered

    /// The first fragment of one more S1, from an address of its own.
    private func add(_ number: Int, to table: inout InboundHandshakes) throws -> InboundKey {
        let bytes = S1Fragment.datagrams(
            of: [UInt8](repeating: 0, count: S1Message.briefSize),
            shape: FragmentShape(total: S1Message.briefSize, count: 7), senderIndex: 1,
            cookie: [UInt8](repeating: 1, count: 32), puzzleSolution: [UInt8](repeating: 0, count: 8),
            macKey: .unknownResponder)[0]
        let fragment = try #require(S1Fragment(bytes))
        let carrier = Carrier.udp(Endpoint(v4: 0x0A00_0000 + UInt32(number), port: 5))
        _ = table.add(fragment, size: 1232, issued: 0, from: carrier, now: .origin + .milliseconds(number))
        return InboundKey(carrier: carrier, senderIndex: fragment.senderIndex, message: fragment.messageHash)
    }

    /// Whoever paid most is served next, then who asked least lately, then who waits longest; who is last gives way.
    @Test func theLineGoesByWhatWasPaidFirst() throws {
        var table = InboundHandshakes()
        var keys: [InboundKey] = []
        for (paid, load) in [(0, 1), (15, 9), (15, 2), (12, 1), (255, 30), (0, 1)] as [(UInt8, Int)] {
            let key = try add(keys.count, to: &table)
            table.setStage(.waiting([], paid: paid, load: load), of: key, until: .origin + .seconds(100))
            keys.append(key)
        }
        #expect(table.waiting(.last) == keys[5])
        var served: [InboundKey] = []
        while let next = table.waiting(.first) {
            served.append(next)
            table.remove(next)
        }
        #expect(served == [4, 2, 1, 3, 0, 5].map { keys[$0] })
    }

    /// What was refused costs nothing when it is said again. Of too many refusals the oldest is forgotten, and no
    /// answer for them.
    @Test func theOldestOfTooManyRefusalsGoes() throws {
        var table = InboundHandshakes()
        let until = Instant.origin + .seconds(100)
        let answered = try add(0, to: &table)
        table.setStage(.answered([]), of: answered, until: until)
        var keys: [InboundKey] = []
        for number in 1...Limits.answersKept + 5 {
            let key = try add(number, to: &table)
            table.setStage(.ignored, of: key, until: until)
            keys.append(key)
        }
        let kept = keys.filter { table[$0] != nil }
        let isAnswerKept = table[answered] != nil
        #expect(kept == Array(keys.suffix(Limits.answersKept)) && isAnswerKept)
    }

    /// Neither its /64 nor its /48 is remembered for one that had to give way.
    @Test func whatGaveWayIsNotInTheTableOfRates() {
        var rate = HandshakeRate(limit: 10)
        let caller = Carrier.udp(Endpoint(high: 0x2001_0DB8_0001_0001, low: 1, port: 7))
        let isAdmitted = rate.admit(caller, now: .origin + .seconds(1))
        #expect(isAdmitted && rate.count == 2)
        rate.refund(caller)
        #expect(rate.count == 0)
    }

    // MARK: - Two at once

    /// §6: the larger id answers at once, the smaller one does not while its own call is young: one session comes of
    /// both.
    @Test(arguments: 1...8 as ClosedRange<UInt64>) func ofTwoThatCallAtOnceTheSmallerIdBegins(seed: UInt64) {
        let scenario = Scenario(seed: seed, alice: NodeOptions(), bob: NodeOptions())
        #expect(scenario.connect(within: .seconds(1)), "\(scenario.describe())")
        scenario.network.run(for: .seconds(5))
        let (alice, bob) = (scenario.alice, scenario.bob)
        let isAliceSmaller = alice.identity.publicKeys.peerID < bob.identity.publicKeys.peerID
        let (smaller, larger) = isAliceSmaller ? (alice, bob) : (bob, alice)
        #expect(smaller.controlDrops[.simultaneousOpen] > 0 && larger.controlDrops[.simultaneousOpen] == 0)
        #expect(smaller.establishedSessions.map(\.role) == [.initiator], "\(scenario.describe())")
        #expect(larger.establishedSessions.map(\.role) == [.responder], "\(scenario.describe())")
    }

    // MARK: - On circuits

    /// §8: on a circuit nobody is met as whom he is elsewhere, be his signature ever so good.
    @Test func whoIsKnownIsNotMetOnACircuit() throws {
        let scenario = CircuitScenario(seed: 786, relays: 2)
        scenario.network.run(for: .seconds(3))
        let (client, exit, insider) = (scenario.client, scenario.relays[1], scenario.relays[0].identity)
        client.alterJob = { job in
            guard case .composeS1(var work) = job.work, work.kind == .anonymous else { return job }
            work.signer = insider
            work.kind = .brief
            return CryptoJob(id: job.id, work: .composeS1(work))
        }
        let number = try scenario.build([1, 2])
        scenario.network.run(for: .seconds(5))
        #expect(Set(exit.trustRefusals) == [.anonymousPeer], "\(scenario.describe())")
        #expect(exit.establishedSessions.allSatisfy { $0.carrier.place == nil } && !scenario.isReady(number))
        // By throwaway keys it is met.
        client.alterJob = nil
        scenario.network.closeCircuit(number, at: client)
        let next = try scenario.connect([1, 2])
        #expect(scenario.isReady(next) && exit.footprint.guests == 1, "\(scenario.describe())")
    }

    /// What a relay does for guests is looked at again when an answer is ready: by then it may have stopped.
    @Test(arguments: [false, true]) func aRelayThatHasStoppedAnswersNoGuest(stops: Bool) throws {
        let scenario = CircuitScenario(seed: 787, relays: 2)
        scenario.network.run(for: .seconds(3))
        let exit = scenario.relays[1]
        exit.jobDurations[.composeS2] = .milliseconds(500)
        _ = try scenario.build([1, 2])
        let isAnswering = scenario.network.run(for: .seconds(5)) {
            exit.machine.jobs.values.contains { if case .answer(_, _, _, .guest, _, _) = $0 { true } else { false } }
        }
        #expect(isAnswering && exit.footprint.guests == 0, "\(scenario.describe())")
        if stops { scenario.network.enableRelay(nil, of: exit) }
        scenario.network.run(for: .seconds(2))
        #expect(exit.footprint.guests == (stops ? 0 : 1), "\(scenario.describe())")
        #expect(exit.trustRefusals == (stops ? [.anonymousPeer] : []), "\(scenario.describe())")
    }
}
