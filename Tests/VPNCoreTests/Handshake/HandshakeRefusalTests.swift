// SPDX-License-Identifier: Apache-2.0
// What both ends of a handshake refuse: the responder what is right in all but one thing, the initiator what answers
// nothing that it said, or says no more.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

/// A caller whose messages a test writes: right in all that it does not spoil. Its cookies come straight from the jar.
struct HandMadeCaller {
    let identity: any IdentitySigner
    let responder: VirtualHost
    let network: VirtualNetwork
    var endpoint = Scenario.aliceEndpoint
    var index: UInt32 = 0x0102_0304

    var target: IdentityPublicKeys { responder.identity.publicKeys }
    var peerID: PeerID { identity.publicKeys.peerID }

    func cookie(difficulty: UInt8 = 0) -> [UInt8] {
        responder.machine.cookies.makeCookie(
            for: ProvenAddress(endpoint), senderIndex: index, difficulty: difficulty,
            nonce: [1, 2, 3, 4, 5, 6, 7, 8], now: network.now)
    }

    /// The fragments of one S1.
    ///
    /// - Parameters:
    ///   - inner: the index inside the message, if not theirs.
    ///   - solution: nil for the right one.
    func s1(
        under cookie: [UInt8], kind: InitiatorKind = .brief, inner: UInt32? = nil, solution: [UInt8]? = nil
    ) throws -> [[UInt8]] {
        let work = S1Composition(
            signer: identity, responder: target, cookie: cookie, ciphers: 1, senderIndex: inner ?? index, kind: kind,
            mtu: 1436, keepaliveSeconds: 0, puzzleSolution: solution)
        let composed = try work.perform(RehearsalCryptography(seed: endpoint.low &+ UInt64(index))).get()
        let shape = try #require(FragmentShape.ofS1(total: composed.message.count, isAnonymous: kind == .anonymous))
        return S1Fragment.datagrams(
            of: composed.message, shape: shape, senderIndex: index, cookie: cookie,
            puzzleSolution: composed.puzzleSolution, macKey: MAC1Key(responder: target.peerID))
    }

    func say(_ datagrams: [[UInt8]], to destination: Endpoint = Scenario.bobEndpoint) {
        for bytes in datagrams {
            network.inject(VirtualDatagram(bytes: bytes, source: endpoint, destination: destination))
        }
    }
}

@Suite struct HandshakeRefusalTests {
    // MARK: - The responder

    /// Bob alone, who knows Alice, and somebody who has her keys and her address.
    private func bobAlone(
        _ seed: UInt64, _ change: (inout NodeOptions) -> Void = { _ in }
    ) -> (scenario: Scenario, bob: VirtualHost, caller: HandMadeCaller) {
        var options = Scenario.answering
        change(&options)
        let scenario = Scenario(seed: seed, bob: options, starting: false)
        scenario.network.attach(scenario.bob)
        let (alice, bob) = (scenario.alice, scenario.bob)
        return (scenario, bob, HandMadeCaller(identity: alice.identity, responder: bob, network: scenario.network))
    }

    /// A cookie alone buys no descriptor: whoever asks names whom it asks, or nobody where that is allowed.
    @Test(arguments: [false, true]) func aQuestionUnderAnotherKeyIsNotAnswered(isStealthy: Bool) {
        let (scenario, bob, caller) = bobAlone(701) { $0.isStealthy = isStealthy }
        let question = InfoRequest(index: 0, senderIndex: caller.index, cookie: caller.cookie())
        let wrong = isStealthy ? MAC1Key.unknownResponder : MAC1Key(responder: caller.peerID)
        caller.say([question.encoded(macKey: wrong)])
        scenario.network.run(for: .seconds(1))
        #expect(bob.controlDrops[.mac1] == 1 && bob.bytesSent == 0, "\(scenario.describe())")
        caller.say([question.encoded(macKey: MAC1Key(responder: caller.target.peerID))])
        scenario.network.run(for: .seconds(1))
        #expect(bob.bytesSent == InfoResponse.size, "the question itself was right: \(scenario.describe())")
    }

    /// A token is good for an S1, for an hour and from any port: descriptors are not to be had for it.
    @Test func aTokenBuysNoDescriptor() {
        let scenario = Scenario(seed: 702)
        var token: [UInt8] = []
        scenario.bob.composing { token = $0.token }
        #expect(scenario.connect())
        #expect(token.count == CookieJar.size && token[0] & 0x80 != 0)
        let drops = scenario.bob.controlDrops[.cookie]
        let caller = HandMadeCaller(
            identity: scenario.alice.identity, responder: scenario.bob, network: scenario.network)
        let question = InfoRequest(index: 0, senderIndex: caller.index, cookie: token)
        caller.say([question.encoded(macKey: MAC1Key(responder: caller.target.peerID))])
        scenario.network.run(for: .milliseconds(100))
        #expect(scenario.bob.controlDrops[.cookie] == drops + 1, "\(scenario.describe())")
        #expect(!scenario.network.capture.contains { $0.datagram.type == .infoResponse })
    }

    @Test func anS1WithoutItsWorkIsRefusedBeforeAnyState() throws {
        let (scenario, bob, caller) = bobAlone(703)
        let cookie = caller.cookie(difficulty: Limits.puzzleDifficultyUnderLoad)
        let guesses = (0..<255 as Range<UInt8>).map { [UInt8](repeating: $0, count: 8) }
        let wrong: [UInt8] = try #require(
            guesses.first {
                !Puzzle.verifies($0, cookie: cookie, senderIndex: caller.index, difficulty: cookie[1])
            })
        caller.say(try caller.s1(under: cookie, solution: wrong))
        scenario.network.run(for: .seconds(1))
        #expect(bob.controlDrops[.puzzle] == 7 && bob.bytesSent == 0, "\(scenario.describe())")
        #expect(bob.jobsRun == 0 && bob.footprint.inboundHandshakes == 0)
        caller.say(try caller.s1(under: cookie))
        scenario.network.run(for: .seconds(1))
        #expect(bob.establishedSessions.count == 1, "the work itself is enough: \(scenario.describe())")
    }

    /// The session would be answered under an index whose cookie nobody has shown.
    @Test func theIndexInsideIsThatOfTheFragments() throws {
        let (scenario, bob, caller) = bobAlone(704)
        caller.say(try caller.s1(under: caller.cookie(), inner: caller.index ^ 1))
        scenario.network.run(for: .seconds(1))
        #expect(bob.handshakeFailures == [.malformed] && bob.jobsRun == 1, "\(scenario.describe())")
        #expect(bob.establishedSessions.isEmpty && bob.bytesSent == 0)
    }

    /// §2: even one whose keys are pinned is nobody that way.
    @Test func anonymousInitiatorsComeByCircuitsAlone() throws {
        let (scenario, bob, caller) = bobAlone(705)
        scenario.network.enableRelay(RelayPolicy(), of: bob)
        caller.say(try caller.s1(under: caller.cookie(), kind: .anonymous))
        scenario.network.run(for: .seconds(1))
        #expect(bob.trustRefusals == [.anonymousPeer] && bob.jobsRun == 1, "\(scenario.describe())")
        #expect(bob.establishedSessions.isEmpty && bob.bytesSent == 0)
    }

    /// A message that came by two of Bob's addresses is two on their way in, until the first of them is answered.
    @Test func theSameS1ByTwoAddressesIsAnsweredOnce() throws {
        let (scenario, bob, caller) = bobAlone(706)
        let other = Endpoint(v4: 0x0A00_002A, port: 9000)
        bob.interfaces = [other]
        // One after the other, and so far apart that the first session is not protected by its age any more.
        bob.processors = 1
        bob.jobDurations = [.openS1: .milliseconds(1), .composeS2: .seconds(6)]
        let datagrams = try caller.s1(under: caller.cookie())
        caller.say(datagrams)
        caller.say(datagrams, to: other)
        scenario.network.run(for: .seconds(14))
        #expect(bob.jobsRun == 4, "both were opened and composed: \(scenario.describe())")
        #expect(bob.controlDrops[.s1Replay] == 1 && bob.establishedSessions.count == 1, "\(scenario.describe())")
        #expect(scenario.network.capture.count { $0.datagram.type == .s2 } == 7)
    }

    /// §8: no key was ever agreed on with a throwaway identity.
    @Test func aGuestThatNamesAPresharedKeyIsRefused() throws {
        let scenario = CircuitScenario(seed: 707, relays: 2)
        scenario.network.run(for: .seconds(3))
        scenario.client.alterJob = { job in
            guard case .composeS1(var work) = job.work, work.kind == .anonymous else { return job }
            work.presharedKeyID = 5
            return CryptoJob(id: job.id, work: .composeS1(work))
        }
        let number = try scenario.build([1, 2])
        scenario.network.run(for: .seconds(10))
        #expect(scenario.relays[1].handshakeFailures.contains(.presharedKey), "\(scenario.describe())")
        #expect(!scenario.isReady(number) && scenario.relays[1].footprint.guests == 0)
    }

    // MARK: - The initiator, as a node

    /// A token is spent with its message: a full S1 under it would wait 20 s in vain.
    @Test func whoIsAskedForItsKeysUnderATokenBeginsAnew() {
        var answering = Scenario.answering
        answering.trust = TrustPolicy(trustsOnFirstUse: true, isStrict: false)
        let scenario = Scenario(seed: 708, bob: answering)
        #expect(scenario.connect())
        // Bob knows her no more; she comes with the token of his last S2.
        scenario.network.updatePins([], of: scenario.bob)
        let from = scenario.network.capture.count
        scenario.network.renew(0, at: scenario.alice)
        #expect(
            scenario.network.run(for: .seconds(5)) { scenario.bob.establishedSessions.count == 2 },
            "\(scenario.describe())")
        let types = scenario.network.capture[from...].compactMap(\.datagram.type).filter { !$0.isData }
        #expect(types.first == .s1 && types.contains(.needFull) && types.contains(.s0), "\(types)")
        #expect(scenario.bob.controlDrops[.tokenSpent] == 0)
    }

    @Test func aDescriptorThatIsBeingReadIsNotAskedForAgain() {
        var caller = NodeOptions()
        caller.trust = TrustPolicy(trustsOnFirstUse: true, isStrict: false)
        (caller.knowsPeer, caller.namesPeer) = (false, false)
        let scenario = Scenario(seed: 709, alice: caller)
        scenario.alice.jobDurations[.readDescriptor] = .seconds(4)
        #expect(scenario.connect(within: .seconds(10)), "\(scenario.describe())")
        let questions = scenario.network.capture.count { $0.datagram.type == .infoRequest }
        #expect(questions == 8, "\(questions)")
    }

    // MARK: - The initiator alone

    private struct Missing: Error {}

    private let bench = Bench(.rehearsal)
    private let now = Instant.origin + .seconds(10)

    private func attempt(knowsResponder: Bool = true) -> InitiatorStateMachine {
        InitiatorStateMachine(
            signer: bench.initiator, cryptography: RehearsalCryptography(seed: 5), offers: bench.offers, mtu: 1436,
            keepaliveSeconds: 0, expected: nil, responder: knowsResponder ? bench.responder.publicKeys : nil,
            acceptsPartial: false, index: 7, now: now)
    }

    private var token: [UInt8] { [0x80, 0, 0, 0] + bench.cookie[4...] }

    private func words(_ effects: [InitiatorEffect]) -> [String] {
        effects.map { effect -> String in
            switch effect {
            case .transmit(let bytes): return OuterHeader(bytes).map { "\($0.type)" } ?? "no datagram"
            case .run: return "run"
            case .established: return "established"
            case .drop(let reason): return "drop \(reason)"
            case .judge, .restart, .refused: return "something else"
            }
        }
    }

    private func retry(to s0: [UInt8], index: UInt32) -> [UInt8] {
        RetryMessage.encoded(
            offers: bench.offers, cookie: bench.cookie, salt: [UInt8](repeating: 3, count: 16), answering: s0,
            senderIndex: index, sealingID: bench.responder.publicKeys.peerID.bytes)
    }

    /// Begins under an index and answers the S0, always with the same cookie; the S1 that is to be composed then.
    private func begin(_ machine: inout InitiatorStateMachine, index: UInt32) throws -> S1Composition {
        let begun = machine.begin(token: nil, index: index, now: now)
        guard case .transmit(let s0)? = begun.first else { throw Missing() }
        let answered = machine.receive(retry: retry(to: s0, index: index), now: now)
        guard case .run(.composeS1(let request))? = answered.first else { throw Missing() }
        return request
    }

    /// Anybody who knows the responder's id can seal a RETRY that answers nothing.
    @Test func aRetryWhereNoS0WasSaidIsRefused() {
        var machine = attempt()
        let begun = words(machine.begin(token: token, index: 7, now: now))
        let answered = words(machine.receive(retry: retry(to: [], index: 7), now: now))
        #expect(begun == ["run"] && answered == ["drop retryMalformed"])
        // Without a responder's keys there is nothing that a token could save.
        var stranger = attempt(knowsResponder: false)
        let met = words(stranger.begin(token: token, index: 7, now: now))
        #expect(met == ["s0"])
    }

    /// Cookie and kind of two attempts are the same here, so that nothing but the index tells whose work it is.
    @Test func workForAnAttemptThatIsOverIsForNothing() throws {
        var machine = attempt()
        let (old, new) = (try begin(&machine, index: 7), try begin(&machine, index: 8))
        func finish(_ request: S1Composition) -> [String] {
            let outcome = CryptoJobResult.Outcome.composedS1(request.perform(bench.cryptography))
            return words(machine.jobFinished(outcome, work: .composeS1(request), now: now))
        }
        let (stale, fresh, again) = (finish(old), finish(new), finish(new))
        #expect(stale.isEmpty && fresh == [String](repeating: "s1", count: 7))
        #expect(again.isEmpty, "a job that runs twice does no harm: what was sent counts")
    }

    @Test func anAnswerToAnAttemptThatIsOverMakesNoSession() throws {
        var machine = attempt()
        let request = try begin(&machine, index: 7)
        let s1 = try request.perform(bench.cryptography).get()
        _ = machine.jobFinished(.composedS1(.success(s1)), work: .composeS1(request), now: now)
        let s2 = try bench.composeS2(bench.openS1(s1.message).get(), pinned: bench.initiator.publicKeys).get()
        let shape = FragmentShape(total: s2.message.count, count: 7)
        var effects: [InitiatorEffect] = []
        for datagram in S2Fragment.datagrams(
            of: s2.message, shape: shape, receiverIndex: 7, senderIndex: 0x0A0B_0C0D, key: s2.fragmentKey)
        {
            effects += machine.receive(s2: datagram, now: now)
        }
        guard case .run(.openS2(let opening))? = effects.first else { throw Missing() }
        let result = opening.perform(bench.cryptography)
        #expect(result.isSuccess)
        // It had to begin anew while the job ran: the keys are those of an index that nobody listens at any more.
        var later = machine
        _ = later.begin(token: nil, index: 8, now: now)
        let late = words(later.jobFinished(.openedS2(result), work: .openS2(opening), now: now))
        let inTime = words(machine.jobFinished(.openedS2(result), work: .openS2(opening), now: now))
        #expect(late.isEmpty && inTime == ["established"])
    }

    /// §1: the cipher follows from both offers; a responder cannot choose as if the initiator had said otherwise.
    @Test func aCipherThatTheOffersDoNotImplyIsADowngrade() throws {
        let weak = Offers(hasAESHardware: false)
        for (ciphers, failure) in [(1, nil), (3, .downgrade)] as [(UInt8, HandshakeFailure?)] {
            let work = S1Composition(
                signer: bench.initiator, responder: bench.responder.publicKeys, cookie: bench.cookie, ciphers: ciphers,
                senderIndex: 0x0102_0304, kind: .brief, mtu: 1436, keepaliveSeconds: 0)
            let s1 = try work.perform(bench.cryptography).get()
            let opened = try bench.openS1(s1.message).get()
            let s2 = try bench.composeS2(opened, pinned: bench.initiator.publicKeys, offers: weak).get()
            #expect(bench.openS2(s2.message, s1, retry: weak).failure == failure, "offered \(ciphers)")
        }
    }
}
