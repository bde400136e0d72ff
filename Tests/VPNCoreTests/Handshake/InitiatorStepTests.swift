// SPDX-License-Identifier: Apache-2.0
// The steps of one attempt (§4–§6) by themselves: which of many answers an initiator follows, what it asks for again
// and when, and how much of itself it shows.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct InitiatorStepTests {
    private struct Missing: Error {}

    private let bench = Bench(.rehearsal)
    private let start = Instant.origin + .seconds(10)

    private var responder: IdentityPublicKeys { bench.responder.publicKeys }

    private func attempt(knows: Bool = true, kind: InitiatorKind = .brief) -> InitiatorStateMachine {
        InitiatorStateMachine(
            signer: bench.initiator, cryptography: RehearsalCryptography(seed: 5), offers: bench.offers, mtu: 1436,
            keepaliveSeconds: 0, expected: nil, responder: knows ? responder : nil, acceptsPartial: false, kind: kind,
            index: 7, now: start)
    }

    private func words(_ effects: [InitiatorEffect]) -> [String] {
        effects.map { effect -> String in
            switch effect {
            case .transmit(let bytes): return OuterHeader(bytes).map { "\($0.type)" } ?? "no datagram"
            case .run: return "run"
            case .restart: return "restart"
            case .drop(let reason): return "drop \(reason)"
            case .judge, .established, .refused: return "something else"
            }
        }
    }

    private func datagram(_ effects: [InitiatorEffect]) throws -> [UInt8] {
        guard case .transmit(let bytes)? = effects.first else { throw Missing() }
        return bytes
    }

    /// - Parameter isNamed: the S0 named the responder.
    private func retry(to s0: [UInt8], cookie: UInt8 = 1, isNamed: Bool = true) -> [UInt8] {
        RetryMessage.encoded(
            offers: bench.offers, cookie: [0, 0, 0, 0] + [UInt8](repeating: cookie, count: 28),
            salt: [UInt8](repeating: cookie, count: 16), answering: s0, senderIndex: 7,
            sealingID: (isNamed ? responder.peerID : PeerID.zero).bytes)
    }

    /// Does the work for an S1, and lets its receiver read it.
    private func compose(
        _ effects: [InitiatorEffect], for machine: inout InitiatorStateMachine
    ) throws -> OpenedS1 {
        guard case .run(.composeS1(let request))? = effects.first else { throw Missing() }
        let s1 = try request.perform(bench.cryptography).get()
        _ = machine.jobFinished(.composedS1(.success(s1)), work: .composeS1(request), now: start)
        return try bench.openS1(s1.message, cookie: request.cookie).get()
    }

    /// An attempt whose S1 is out, and what its receiver reads.
    private func asked(_ kind: InitiatorKind = .brief) throws -> (InitiatorStateMachine, OpenedS1) {
        var machine = attempt(kind: kind)
        let s0 = try datagram(machine.begin(token: nil, index: 7, now: start))
        let effects = machine.receive(retry: retry(to: s0), now: start)
        let opened = try compose(effects, for: &machine)
        return (machine, opened)
    }

    // MARK: - S0 and RETRY

    /// After 20 s without an answer it asks who is there. Whoever is anonymous does not: the path says who it is.
    @Test(arguments: [false, true]) func whoIsAnonymousAsksForNoName(isAnonymous: Bool) throws {
        var machine = attempt(kind: isAnonymous ? .anonymous : .brief)
        let first = try datagram(machine.begin(token: nil, index: 7, now: start))
        let second = try datagram(machine.begin(token: nil, index: 8, now: start + .seconds(20)))
        let named = MAC1Key(responder: responder.peerID)
        #expect(S0Message.isAuthentic(first, macKey: named))
        #expect(S0Message.isAuthentic(second, macKey: isAnonymous ? named : .unknownResponder))
    }

    /// The same answer said twice takes no place of another, and there are three.
    @Test func aCookieThatCameTwiceIsTriedOnce() throws {
        var machine = attempt()
        let s0 = try datagram(machine.begin(token: nil, index: 7, now: start))
        var answers: [[String]] = []
        for cookie: UInt8 in [1, 1, 2, 2, 3, 3, 4] {
            answers.append(words(machine.receive(retry: retry(to: s0, cookie: cookie), now: start)))
        }
        let (followed, left) = (["run"], ["drop retryUnexpected"])
        #expect(answers == [followed, left, followed, left, followed, left, left])
    }

    // MARK: - INFO

    private func descriptor() throws -> [[UInt8]] {
        let bytes = try Descriptor.make(
            signer: bench.responder, nickname: "bob", notBefore: 0, notAfter: .max, serial: 1
        ).encoded
        let hash = Hash.sha256(bytes).u64(at: 0)
        return try (0..<8).map { index in
            let request = InfoRequest(index: index, senderIndex: 7, cookie: bench.cookie)
            return try #require(InfoResponse.encoded(bytes, hash: hash, answering: request))
        }
    }

    /// An attempt that asks for a descriptor, and when it began.
    private func asking(knows: Bool) throws -> (InitiatorStateMachine, Instant) {
        var machine = attempt(knows: knows)
        var s0 = try datagram(machine.begin(token: nil, index: 7, now: start))
        var begun = start
        if knows {
            // Nobody answered to the id that is known.
            begun = start + .seconds(20)
            s0 = try datagram(machine.begin(token: nil, index: 7, now: begun))
        }
        let questions = words(machine.receive(retry: retry(to: s0, isNamed: false), now: begun))
        #expect(questions == [String](repeating: "infoRequest", count: 8))
        return (machine, begun)
    }

    /// Repeats of its parts are no second descriptor: reading one is public-key work.
    @Test func aDescriptorIsCollectedOnceAndReadOnce() throws {
        let (asking, _) = try asking(knows: false)
        var machine = asking
        let parts = try descriptor()
        func take(_ index: Int) -> [String] { words(machine.receive(infoResponse: parts[index], now: start)) }
        let (first, again) = (take(0), take(0))
        #expect(first.isEmpty && again == ["drop fragmentDuplicate"])
        var rest: [[String]] = []
        for index in 1..<8 { rest.append(take(index)) }
        #expect(rest == [[String]](repeating: [], count: 6) + [["run"]])
        // While it is read nothing more of it is heard, or asked for.
        let late = take(3)
        let due = machine.deadline
        let repeats = words(machine.timeout(now: due))
        #expect(late == ["drop infoUnexpected"] && repeats.isEmpty)
    }

    /// Seconds after which an attempt begins anew that was shown so many parts of a descriptor.
    private func patience(knows: Bool, shown: Int) throws -> Double {
        let (asking, begun) = try asking(knows: knows)
        var machine = asking
        let parts = try descriptor()
        for index in 0..<shown {
            let effects = machine.receive(infoResponse: parts[index], now: begun)
            #expect(effects.isEmpty)
        }
        while true {
            let due = machine.deadline
            let effects = words(machine.timeout(now: due))
            if effects == ["restart"] { return due.since(begun).seconds }
            #expect(effects == [String](repeating: "infoRequest", count: 8 - shown))
            try #require(due < begun + .seconds(30))
        }
    }

    /// One that shows nothing may be the one that it is taken for: after 5 s it is called as such. Whoever is not
    /// known, or has begun to show itself, is asked on.
    @Test func onlyWhoIsKnownIsNotAskedForLong() throws {
        let known = try patience(knows: true, shown: 0)
        #expect(known >= Limits.descriptorPatience.seconds && known < 8, "\(known)")
        let others = [try patience(knows: true, shown: 1), try patience(knows: false, shown: 0)]
        #expect(others == [20, 20])
    }

    /// A responder that is met for the first time hardly knows this end; to one that is known the id is enough.
    @Test(arguments: [false, true]) func keysAreShownToStrangersAlone(knows: Bool) throws {
        let (asking, begun) = try asking(knows: knows)
        var machine = asking
        let effects = machine.believe(responder, acceptsPartial: false, now: begun)
        guard case .run(.composeS1(let request))? = effects.first else { throw Missing() }
        #expect(request.kind == (knows ? .brief : .full))
    }

    // MARK: - NEED_FULL

    /// §6: once, and never of whoever showed them unasked.
    @Test func keysThatWereShownAreNotAskedForAgain() throws {
        let (answered, brief) = try asked()
        var machine = answered
        let effects = machine.receive(needFull: brief.needFullDatagram(), now: start)
        let full = try compose(effects, for: &machine)
        #expect(brief.payload.kind == .brief && full.payload.kind == .full)
        let again = words(machine.receive(needFull: full.needFullDatagram(), now: start))
        #expect(again == ["drop needFullUnexpected"])
        let (other, shown) = try asked(.full)
        machine = other
        let unasked = words(machine.receive(needFull: shown.needFullDatagram(), now: start))
        #expect(shown.payload.kind == .full && unasked == ["drop needFullUnexpected"])
    }

    // MARK: - S2

    private func fragments(answering opened: OpenedS1) throws -> [[UInt8]] {
        let s2 = try bench.composeS2(opened, pinned: bench.initiator.publicKeys).get()
        return S2Fragment.datagrams(
            of: s2.message, shape: FragmentShape(total: s2.message.count, count: 7), receiverIndex: 7,
            senderIndex: 0x0A0B_0C0D, key: s2.fragmentKey)
    }

    /// §5: the first fragment shows that S1 is there: what is missing is asked for as eagerly as anything new. Further
    /// ones and repeats change nothing about that, and repeats are no bytes of the answer.
    @Test func theFirstFragmentOfAnAnswerMakesTheRestUrgent() throws {
        let (sent, opened) = try asked()
        var machine = sent
        let parts = try fragments(answering: opened)
        // By now S1 is repeated every two seconds.
        var now = start
        for _ in 0..<5 {
            now = machine.deadline
            let repeated = words(machine.timeout(now: now))
            #expect(repeated == [String](repeating: "s1", count: 7))
        }
        #expect(machine.deadline.since(now) >= .milliseconds(1800))
        let first = machine.receive(s2: parts[0], now: now)
        let eager = machine.deadline
        #expect(first.isEmpty && (TimeSpan.milliseconds(225)...TimeSpan.milliseconds(275)).contains(eager.since(now)))
        let second = machine.receive(s2: parts[1], now: now + .milliseconds(100))
        let bytes = machine.bytesReceived
        #expect(second.isEmpty && machine.deadline == eager && bytes == parts[0].count + parts[1].count)
        let again = words(machine.receive(s2: parts[1], now: now + .milliseconds(100)))
        #expect(again == ["drop fragmentDuplicate"] && machine.deadline == eager && machine.bytesReceived == bytes)
        let wanted = words(machine.timeout(now: eager))
        #expect(wanted == [String](repeating: "s1", count: 5))
    }
}
