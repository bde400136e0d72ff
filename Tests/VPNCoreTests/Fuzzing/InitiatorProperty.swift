// SPDX-License-Identifier: Apache-2.0
// The initiator's side of a handshake (§4–§6) against a responder that answers late, twice, wrongly or not at all: one session at
// most, only of an S2 that came whole, and a session in the end where the responder does what it should.
import Synchronization
import VPNCrypto
import VPNTesting

@testable import VPNCore

enum InitiatorProperty {
    static func check(_ input: inout FuzzInput) throws {
        let shape = input.byte()
        var run = InitiatorRun(knowsResponder: shape & 1 == 0, isFull: shape & 2 != 0)
        try run.begin()
        for step in 0..<80 where !input.isEmpty && run.sessions == 0 { try run.step(&input, "step \(step)") }
        try run.finish()
    }
}

/// What public-key work makes of the same question is always the same here, and made once.
private struct Answers {
    struct Key: Hashable {
        let cookie: [UInt8]
        let kind: InitiatorKind
    }

    struct Answer {
        let composed: ComposedS1
        /// The fragments of the right S2, what asks for a full S1, and what opening the S2 gives.
        let s2: [[UInt8]]
        let needFull: [UInt8]
        let opened: Result<OpenedS2, HandshakeFailure>
    }

    static let index: UInt32 = 0x0102_0304
    static let offers = Offers(hasAESHardware: true)
    static let cryptography = RehearsalCryptography(seed: 77)
    static let initiator = RehearsalIdentity(seed: 1)
    static let responder = RehearsalIdentity(seed: 2)
    static let cookies = (0..<4).map { [1, 0, 0, 0] + [UInt8](repeating: UInt8($0), count: 28) }
    static let descriptor: Descriptor = {
        do {
            return try Descriptor.make(signer: responder, nickname: "bob", notBefore: 0, notAfter: .max, serial: 1)
        } catch { preconditionFailure("\(error)") }
    }()
    private static let all = Mutex<[Key: Answer]>([:])

    static func to(_ work: S1Composition) -> Answer {
        let key = Key(cookie: work.cookie, kind: work.kind)
        if let known = all.withLock({ $0[key] }) { return known }
        do {
            let answer = try make(work)
            all.withLock { $0[key] = answer }
            return answer
        } catch { preconditionFailure("\(error)") }
    }

    private static func make(_ work: S1Composition) throws -> Answer {
        let composed = try work.perform(cryptography).get()
        let opened = try S1Opening(signer: responder, cookie: work.cookie, message: composed.message).perform().get()
        let composedS2 = try S2Composition(
            signer: responder, opened: opened, pinnedKeys: initiator.publicKeys, senderIndex: 0x0A0B_0C0D,
            offers: offers, token: [UInt8](repeating: 7, count: 32), mtu: 1436, keepaliveSeconds: 0,
            lifetimeSeconds: 3600
        ).perform(cryptography).get()
        let s2 = S2Fragment.datagrams(
            of: composedS2.message, shape: FragmentShape(total: composedS2.message.count, count: 7),
            receiverIndex: index, senderIndex: 0x0A0B_0C0D, key: composed.ephemerals.fragmentKey)
        let result = S2Opening(
            signer: initiator, ephemerals: composed.ephemerals, responder: responder.publicKeys, senderIndex: index,
            offers: offers, offersInRetry: offers, message: composedS2.message
        ).perform(cryptography)
        return Answer(
            composed: composed, s2: s2,
            needFull: NeedFull.encoded(receiverIndex: index, key: composed.ephemerals.needFullKey), opened: result)
    }
}

private struct InitiatorRun {
    var machine: InitiatorStateMachine
    var now = Instant.origin + .seconds(10)
    var jobs: [CryptoJob.Work] = []
    var wantsRestart = false
    var sessions = 0
    /// The S0 that waits for a RETRY.
    private var s0: [UInt8] = []
    /// S1 compositions that came back.
    private var composed: [Answers.Key] = []
    private var judged: Descriptor?

    init(knowsResponder: Bool, isFull: Bool) {
        machine = InitiatorStateMachine(
            signer: Answers.initiator, cryptography: RehearsalCryptography(seed: 1), offers: Answers.offers, mtu: 1436,
            keepaliveSeconds: 0, expected: knowsResponder ? Answers.responder.publicKeys.peerID : nil,
            responder: knowsResponder ? Answers.responder.publicKeys : nil, acceptsPartial: false,
            kind: isFull ? .full : .brief, index: Answers.index, now: now)
    }

    mutating func begin() throws {
        (wantsRestart, composed, judged) = (false, [], nil)
        jobs = []
        try take(machine.begin(token: nil, index: Answers.index, now: now))
    }

    private mutating func take(_ effects: [InitiatorEffect]) throws {
        try FuzzFinding.unless(effects.count <= 64, "\(effects.count) effects")
        for effect in effects {
            switch effect {
            case .transmit(let datagram):
                guard datagram.count <= 1232, let header = OuterHeader(datagram), header.receiverIndex == 0 else {
                    throw FuzzFinding("sends \(datagram)")
                }
                switch header.type {
                case .s0: s0 = datagram
                case .s1: try FuzzFinding.unless(S1Fragment(datagram) != nil, "sends \(datagram)")
                case .infoRequest: try FuzzFinding.unless(InfoRequest(datagram) != nil, "sends \(datagram)")
                default: throw FuzzFinding("sends \(header)")
                }
            case .run(let work):
                jobs.append(work)
                try FuzzFinding.unless(jobs.count <= 8, "\(jobs.count) jobs at once")
            case .judge(let descriptor): judged = descriptor
            case .restart: wantsRestart = true
            case .established(let opened, let responder, let index):
                sessions += 1
                try FuzzFinding.unless(
                    sessions == 1 && index == Answers.index && responder == Answers.responder.publicKeys
                        && opened.senderIndex == 0x0A0B_0C0D, "session \(sessions)")
            case .drop, .refused: break
            }
        }
    }

    // MARK: - What the responder and the wire do

    mutating func step(_ input: inout FuzzInput, _ place: String) throws {
        let kind = input.byte()
        switch kind & 7 {
        case 0: try retry(Int(kind >> 3 & 3), spoilt: kind >= 0xE0 ? input.byte() : nil)
        case 1: try info(Int(kind >> 3), change: kind >= 0xC0 ? input.number(below: 1232) : nil)
        case 2, 3: try s2(kind, input.byte(), change: kind >= 0xC0 ? input.number(below: 1232) : nil)
        case 4: if let key = pick(kind) { try take(machine.receive(needFull: answer(key).needFull, now: now)) }
        case 5: try wait(.milliseconds(input.number(below: 8000)))
        case 6: try finishJob(Int(kind >> 4), fails: kind & 8 != 0)
        default:
            if wantsRestart || kind >= 0xC0 {
                try begin()
            } else if let descriptor = judged {
                judged = nil
                try take(machine.believe(descriptor.keys, acceptsPartial: false, now: now))
            }
        }
        try FuzzFinding.unless(machine.deadline.since(now) <= .seconds(20), "\(place): deadline \(machine.deadline)")
    }

    private func pick(_ kind: UInt8) -> Answers.Key? {
        composed.isEmpty ? nil : composed[Int(kind >> 3) % composed.count]
    }

    private func answer(_ key: Answers.Key) -> Answers.Answer {
        Answers.to(
            S1Composition(
                signer: Answers.initiator, responder: Answers.responder.publicKeys, cookie: key.cookie, ciphers: 1,
                senderIndex: Answers.index, kind: key.kind, mtu: 1436, keepaliveSeconds: 0))
    }

    private mutating func retry(_ number: Int, spoilt: UInt8?) throws {
        guard s0.count == 128 else { return }
        // To whom the S0 was said: mac1 tells.
        let id = Answers.responder.publicKeys.peerID
        let isNamed = S0Message.isAuthentic(s0, macKey: MAC1Key(responder: id))
        var datagram = RetryMessage.encoded(
            offers: Answers.offers, cookie: Answers.cookies[number], salt: [UInt8](repeating: 3, count: 16),
            answering: s0, senderIndex: Answers.index, sealingID: (isNamed ? id : .zero).bytes)
        if let spoilt { datagram[16 + Int(spoilt) % 112] ^= spoilt | 1 }
        try take(machine.receive(retry: datagram, now: now))
    }

    private mutating func info(_ number: Int, change: Int?) throws {
        let bytes = Answers.descriptor.encoded
        let request = InfoRequest(index: number % 8, senderIndex: Answers.index, cookie: Answers.cookies[0])
        let hash = Hash.sha256(bytes).u64(at: 0)
        guard var datagram = InfoResponse.encoded(bytes, hash: hash, answering: request) else { return }
        if let change { datagram[change] ^= 4 }
        try take(machine.receive(infoResponse: datagram, now: now))
    }

    private mutating func s2(_ kind: UInt8, _ which: UInt8, change: Int?) throws {
        guard let key = pick(kind) else { return }
        let fragments = answer(key).s2
        // Some of them, one after the other.
        for place in 0..<7 where which >> UInt8(place) & 1 == 1 {
            var datagram = fragments[place]
            if let change { datagram[change % datagram.count] ^= 2 }
            try take(machine.receive(s2: datagram, now: now))
        }
    }

    private mutating func wait(_ span: TimeSpan) throws {
        now += span
        guard machine.deadline <= now else { return }
        try take(machine.timeout(now: now))
        try FuzzFinding.unless(wantsRestart || machine.deadline > now, "time does not go on")
    }

    private mutating func finishJob(_ number: Int, fails: Bool) throws {
        guard !jobs.isEmpty else { return }
        let work = jobs.remove(at: number % jobs.count)
        switch work {
        case .composeS1(let request):
            if fails {
                return try take(machine.jobFinished(.composedS1(.failure(.local)), work: work, now: now))
            }
            composed.append(Answers.Key(cookie: request.cookie, kind: request.kind))
            if composed.count > 8 { composed.removeFirst() }
            try take(machine.jobFinished(.composedS1(.success(Answers.to(request).composed)), work: work, now: now))
        case .openS2(let request):
            // A message that came is the one that was sent, whatever was changed on the way.
            let answers = composed.map { answer($0) }
            guard let answer = answers.first(where: { $0.composed.ephemerals === request.ephemerals }) else {
                throw FuzzFinding("an S2 for no S1")
            }
            try FuzzFinding.unless(request.message.count == S2Message.size, "an S2 of \(request.message.count) bytes")
            let outcome = fails ? .failure(.seal) : answer.opened
            try take(machine.jobFinished(.openedS2(outcome), work: work, now: now))
        case .readDescriptor(let bytes):
            try FuzzFinding.unless(bytes == Answers.descriptor.encoded, "another descriptor")
            let outcome: Result<Descriptor, DescriptorError> =
                fails ? .failure(.malformed("as asked")) : .success(Answers.descriptor)
            try take(machine.jobFinished(.readDescriptor(outcome), work: work, now: now))
        default: throw FuzzFinding("no work of an initiator's")
        }
    }

    // MARK: - The end

    /// From now on all goes well.
    mutating func finish() throws {
        for _ in 0..<4 where sessions == 0 {
            if wantsRestart { try begin() }
            for _ in 0..<12 where sessions == 0 && !wantsRestart {
                while !jobs.isEmpty && sessions == 0 { try finishJob(0, fails: false) }
                if let descriptor = judged {
                    judged = nil
                    try take(machine.believe(descriptor.keys, acceptsPartial: false, now: now))
                    continue
                }
                try retry(0, spoilt: nil)
                for number in 0..<8 { try info(number, change: nil) }
                while !jobs.isEmpty && sessions == 0 { try finishJob(0, fails: false) }
                for place in composed.indices where sessions == 0 {
                    for datagram in answer(composed[place]).s2 { try take(machine.receive(s2: datagram, now: now)) }
                }
            }
            if sessions == 0 { try wait(.seconds(21)) }
        }
        try FuzzFinding.unless(sessions == 1, "no session after all is well")
    }
}
