// SPDX-License-Identifier: Apache-2.0
// One peer's way from one carrier to another (§7): who was asked what, how many bytes may go where nothing is proven yet, and who
// wins. It sends nothing.
internal import VPNCrypto

/// The payload of PATH_CHALLENGE and of its answer: `nonce 8 │ patch 1 │ op 1`.
struct PathMessage: Hashable {
    static var size: Int { 10 }
    /// A session has one patch, 0, as long as it is no quilt (§9); the others do not move.
    static var patch: UInt8 { 0 }
    /// Others are of patches (`PatchMessage`).
    static var move: UInt8 { 2 }
    /// Bytes of the datagram that carries it.
    static var datagram: Int { size + Limits.layerOverhead }

    var nonce: [UInt8]

    init(nonce: [UInt8]) { self.nonce = nonce }

    /// Nil for any other length, patch or purpose.
    init?(_ payload: [UInt8]) {
        guard payload.count == Self.size, payload[8] == Self.patch, payload[9] == Self.move else { return nil }
        nonce = Array(payload[..<8])
    }

    var encoded: [UInt8] { nonce + [Self.patch, Self.move] }
}

/// A move that is being validated.
struct PathMove {
    enum Verdict {
        /// The new carrier is proven, and the old one has said nothing: go there.
        case move
        /// The old carrier answers: stay, or go back.
        case stay
        case unknown
    }

    let old: Carrier
    let new: Carrier
    private let oldNonce: [UInt8]
    private let newNonce: [UInt8]
    /// Bytes that may still go to the new carrier: no more than came from there.
    private var allowance: Int
    /// Bytes of one question or answer.
    private let question: Int
    private var asked = 0
    private(set) var isDone = false
    /// When `advance` has something to do.
    private(set) var deadline: Instant

    /// - Parameters:
    ///   - bytes: came from the new carrier.
    ///   - question: bytes of the datagram of a question, padding included.
    ///   - nonces: 16 random bytes.
    init(
        from old: Carrier, to new: Carrier, bytes: Int, question: Int = PathMessage.datagram, nonces: [UInt8],
        now: Instant
    ) {
        self.question = question
        self.old = old
        self.new = new
        allowance = bytes
        oldNonce = Array(nonces[0..<8])
        newNonce = Array(nonces[8..<16])
        deadline = now
    }

    mutating func credit(_ bytes: Int) { allowance += bytes }

    /// An answer goes to the new carrier. A question that no report counted has brought its own bytes.
    mutating func payAnswer() { allowance = max(0, allowance - question) }

    /// Whom to ask now; nil when the time for answers is over. To be called at the deadline.
    mutating func advance(now: Instant) -> [(PathMessage, Carrier)]? {
        guard asked < Limits.pathQuestions else { return nil }
        // 300, 600 and 1,200 ms for an answer.
        deadline = now + Limits.pathQuestion * (1 << asked)
        asked += 1
        var questions = [(PathMessage(nonce: oldNonce), old)]
        if !isDone, allowance >= question {
            allowance -= question
            questions.append((PathMessage(nonce: newNonce), new))
        }
        return questions
    }

    /// An answer, which counts on the challenged carrier only.
    mutating func answered(_ message: PathMessage, on carrier: Carrier) -> Verdict {
        if old.isHeard(as: carrier), message.nonce == oldNonce { return .stay }
        guard new.isHeard(as: carrier), message.nonce == newNonce, !isDone else { return .unknown }
        isDone = true
        return .move
    }
}
