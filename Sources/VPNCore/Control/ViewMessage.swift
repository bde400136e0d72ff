// SPDX-License-Identifier: Apache-2.0
// The payload of PROBE and of PROBE_REPORT (§7) of kind 1: where the other end sees this node, and what time it has. It is for
// people who look for what is wrong; no decision of the protocol goes by it.

/// `kind 1 │ reserved 3 │ nonce 8 │ address 16 │ port 2 │ Unix seconds 8`. In the question all behind the nonce is zero, so that
/// no answer is longer than what it answers.
struct ViewMessage: Hashable {
    static var kind: UInt8 { 1 }
    static var size: Int { 38 }

    /// Random, so that only whoever got the question can answer it.
    var nonce: UInt64
    /// Nil in a question.
    var seen: Endpoint?
    /// Of the one that answers.
    var unixSeconds: UInt64

    init(nonce: UInt64, seen: Endpoint? = nil, unixSeconds: UInt64 = 0) {
        self.nonce = nonce
        self.seen = seen
        self.unixSeconds = unixSeconds
    }

    /// Nil for any other length, kind or reserved byte. An address of zeros is none.
    init?(_ payload: [UInt8]) {
        guard payload.count == ViewMessage.size, payload[0] == ViewMessage.kind, payload[1..<4].allSatisfy({ $0 == 0 })
        else { return nil }
        nonce = payload.u64(at: 4)
        let (high, low, port) = (payload.u64(at: 12), payload.u64(at: 20), payload.u16(at: 28))
        seen = high | low == 0 ? nil : Endpoint(high: high, low: low, port: port)
        unixSeconds = payload.u64(at: 30)
        guard seen != nil || (port == 0 && unixSeconds == 0) else { return nil }
    }

    var encoded: [UInt8] {
        var bytes: [UInt8] = [ViewMessage.kind, 0, 0, 0]
        bytes.append(bigEndian: nonce)
        bytes.append(bigEndian: seen?.high ?? 0)
        bytes.append(bigEndian: seen?.low ?? 0)
        bytes.append(bigEndian: seen?.port ?? 0)
        bytes.append(bigEndian: unixSeconds)
        return bytes
    }

    /// Whether a payload of PROBE or PROBE_REPORT is of this kind.
    static func isOne(_ payload: [UInt8]) -> Bool { payload.first == kind }
}
