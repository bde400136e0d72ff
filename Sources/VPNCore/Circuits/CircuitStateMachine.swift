// SPDX-License-Identifier: Apache-2.0
// One path of a circuit as its builder sees it (§8): hop by hop EXTEND, EXTENDED and a handshake, then use, then the end. It
// decides what comes next and when it is too late; it sends nothing and knows no keys.
internal import VPNCrypto

/// Why a path could not be built, or is no more.
public enum CircuitFailure: Error, Hashable, Sendable {
    /// There is no session with the first hop.
    case noEntry
    /// The relay before said no.
    case refused(ExtendRefusal)
    /// The relay before said nothing for 8 s.
    case noAnswer
    /// The hop's handshake took too long, or brought a session that ends too early for a circuit.
    case handshake
    /// The hop's session is gone.
    case lost
    /// Nothing comes from its end any more: some node of the way is gone.
    case silent
    /// A relay ended it.
    case ended(CircuitEnd)
    /// It carries no handshake.
    case tooNarrow
    /// No keys could be made here, or the hop is not believed any more.
    case local
}

/// What a path wants done; in order.
enum CircuitEffect: Equatable {
    /// A session with the first hop.
    case enter
    /// An EXTEND for this hop, to the one before; the same one again if it was sent before.
    case extend(hop: Int)
    /// Throwaway keys for this hop.
    case identify(hop: Int)
    /// A handshake with this hop.
    case greet(hop: Int)
    case ready
    case failed(CircuitFailure, hop: Int)
    /// A replaced path has had its time.
    case drained
}

/// The building, use and end of one path.
struct CircuitStateMachine {
    enum Stage: Equatable {
        case entering
        case extending(hop: Int, repeats: Int)
        case identifying(hop: Int)
        case greeting(hop: Int)
        case ready
        case draining
        case over
    }

    /// The nodes of the path, the first of them met directly.
    let hops: Int
    /// How long each hop is waited for before it has said anything; a whole handshake where it is not said.
    private let firstWords: [TimeSpan]
    /// The last hop is not met: there is a session with it already (§9).
    private let endsUnmet: Bool
    private(set) var stage = Stage.entering
    /// When `timeout` has something to do; nil while it is ready.
    private(set) var deadline: Instant?
    /// When this stage began.
    private var since = Instant.origin

    init(hops: Int, firstWords: [TimeSpan] = [], endsUnmet: Bool = false) {
        self.hops = hops
        self.endsUnmet = endsUnmet
        self.firstWords = firstWords
    }

    var isBuilding: Bool {
        switch stage {
        case .entering, .extending, .identifying, .greeting: true
        case .ready, .draining, .over: false
        }
    }

    /// - Parameter isEntered: there is a session with the first hop already.
    mutating func start(isEntered: Bool, now: Instant) -> [CircuitEffect] {
        if isEntered { return advance(to: 1, now: now) }
        awaitFirstWord(of: 0, now: now)
        return [.enter]
    }

    /// The session with the first hop is there.
    mutating func entered(now: Instant) -> [CircuitEffect] {
        stage == .entering ? advance(to: 1, now: now) : []
    }

    /// From now on a hop has its handshake to do.
    private mutating func awaitFirstWord(of hop: Int, now: Instant) {
        since = now
        deadline = now + (firstWords.indices.contains(hop) ? firstWords[hop] : Limits.circuitHandshake)
    }

    private mutating func advance(to hop: Int, now: Instant) -> [CircuitEffect] {
        guard hop < hops else {
            stage = .ready
            deadline = nil
            return [.ready]
        }
        stage = .extending(hop: hop, repeats: 0)
        since = now
        deadline = now + Limits.extendRepeats[0]
        return [.extend(hop: hop)]
    }

    /// The relay before this hop answered.
    mutating func extended(hop: Int, _ outcome: ExtendedMessage.Outcome, now: Instant) -> [CircuitEffect] {
        guard case .extending(hop, _) = stage else { return [] }
        switch outcome {
        case .refused(let refusal): return fail(.refused(refusal), hop: hop)
        case .ready(let largest):
            guard Int(largest) >= Limits.smallestCircuitDatagram else { return fail(.tooNarrow, hop: hop) }
            if endsUnmet, hop == hops - 1 { return advance(to: hops, now: now) }
            stage = .identifying(hop: hop)
            deadline = now + Limits.circuitHandshake
            return [.identify(hop: hop)]
        }
    }

    /// The throwaway keys are there, or cannot be had.
    mutating func identified(hop: Int, _ isMade: Bool, now: Instant) -> [CircuitEffect] {
        guard stage == .identifying(hop: hop) else { return [] }
        guard isMade else { return fail(.local, hop: hop) }
        stage = .greeting(hop: hop)
        awaitFirstWord(of: hop, now: now)
        return [.greet(hop: hop)]
    }

    /// There is a session with this hop.
    mutating func greeted(hop: Int, now: Instant) -> [CircuitEffect] {
        stage == .greeting(hop: hop) ? advance(to: hop + 1, now: now) : []
    }

    /// - Parameter hasAnswered: the hop whose handshake is under way has said something.
    mutating func timeout(hasAnswered: Bool = false, now: Instant) -> [CircuitEffect] {
        guard let due = deadline, due <= now else { return [] }
        switch stage {
        case .entering, .greeting:
            // A slow one that has begun to answer has its time.
            if hasAnswered, now < since + Limits.circuitHandshake {
                deadline = since + Limits.circuitHandshake
                return []
            }
            if case .greeting(let hop) = stage { return fail(.handshake, hop: hop) }
            return fail(.noEntry, hop: 0)
        case .extending(let hop, let repeats):
            let next = repeats + 1
            guard now.since(since) < Limits.extendWait else { return fail(.noAnswer, hop: hop) }
            stage = .extending(hop: hop, repeats: next)
            deadline =
                since + (next < Limits.extendRepeats.count ? Limits.extendRepeats[next] : Limits.extendWait)
            return repeats < Limits.extendRepeats.count ? [.extend(hop: hop)] : []
        case .identifying(let hop): return fail(.local, hop: hop)
        case .draining:
            (stage, deadline) = (.over, nil)
            return [.drained]
        case .ready, .over: return []
        }
    }

    /// Another path has taken over: this one takes what is under way.
    mutating func drain(now: Instant) {
        stage = .draining
        deadline = now + Limits.circuitDrain
    }

    /// Something outside of it went wrong.
    mutating func fail(_ failure: CircuitFailure, hop: Int) -> [CircuitEffect] {
        guard stage != .over else { return [] }
        (stage, deadline) = (.over, nil)
        return [.failed(failure, hop: hop)]
    }
}
