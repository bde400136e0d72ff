// SPDX-License-Identifier: Apache-2.0
// What nodes say to each other about circuits (§8): EXTEND, EXTENDED and END to the byte. RELAY, which packets go in, is read in
// place (InboundPlane) and written in place (OutboundPlane); here it is made whole for the control side.

/// `circuit id 4 │ peer_id 32`: asks a relay for the way to another node.
struct ExtendMessage: Equatable {
    static var size: Int { 36 }

    var id: UInt32
    /// 32 bytes.
    var target: [UInt8]

    init(id: UInt32, target: [UInt8]) {
        precondition(target.count == 32)
        self.id = id
        self.target = target
    }

    /// Nil for any other length, or an id that is none.
    init?(_ payload: [UInt8]) {
        guard payload.count == Self.size, RelayMessage.isValid(payload.u32(at: 0)) else { return nil }
        self.init(id: payload.u32(at: 0), target: payload.bytes(at: 4, count: 32))
    }

    var encoded: [UInt8] { RelayMessage.bytes(id) + target }
}

/// Why a relay opened no circuit; 0 on the wire is success. Few and coarse: who asks learns nothing about whom a relay knows
/// that it could not learn by asking for a circuit.
public enum ExtendRefusal: UInt8, Sendable, CaseIterable {
    /// Not by this relay, not for this client, or not to that node.
    case refused = 1
    /// A limit is reached.
    case busy = 2
    /// The other node did not answer in time.
    case unreachable = 3
}

/// `circuit id 4 │ status 1 │ reserved 1 │ largest datagram 2`: what came of an EXTEND.
struct ExtendedMessage: Equatable {
    static var size: Int { 8 }

    enum Outcome: Equatable {
        /// The longest datagram, in bytes, that RELAY carries on.
        case ready(largest: UInt16)
        case refused(ExtendRefusal)
    }

    var id: UInt32
    var outcome: Outcome

    init(id: UInt32, outcome: Outcome) {
        self.id = id
        self.outcome = outcome
    }

    /// Nil for any other length, an unknown status, or a reserved byte that is not zero.
    init?(_ payload: [UInt8]) {
        guard payload.count == Self.size, RelayMessage.isValid(payload.u32(at: 0)), payload[5] == 0 else { return nil }
        let largest = payload.u16(at: 6)
        if payload[4] == 0 {
            outcome = .ready(largest: largest)
        } else if let refusal = ExtendRefusal(rawValue: payload[4]), largest == 0 {
            outcome = .refused(refusal)
        } else {
            return nil
        }
        id = payload.u32(at: 0)
    }

    var encoded: [UInt8] {
        var bytes = RelayMessage.bytes(id)
        switch outcome {
        case .ready(let largest):
            bytes += [0, 0]
            bytes.append(bigEndian: largest)
        case .refused(let refusal): bytes += [refusal.rawValue, 0, 0, 0]
        }
        return bytes
    }
}

/// Why a circuit ended, as one node tells the next.
public enum CircuitEnd: UInt8, Sendable, CaseIterable {
    /// Whoever built it needs it no more.
    case closed = 0
    /// Nothing came on it for 90 s.
    case idle = 1
    /// A session that carried it is gone.
    case lost = 2
    /// Its id was used for something else.
    case misused = 3
}

/// `circuit id 4 │ reason 1 │ reserved 3`: the circuit is no more.
struct EndMessage: Equatable {
    static var size: Int { 8 }

    var id: UInt32
    var reason: CircuitEnd

    init(id: UInt32, reason: CircuitEnd) {
        self.id = id
        self.reason = reason
    }

    /// Nil for any other length, an unknown reason, or reserved bytes that are not zero.
    init?(_ payload: [UInt8]) {
        guard payload.count == Self.size, RelayMessage.isValid(payload.u32(at: 0)), payload.isZero(5..<8),
            let reason = CircuitEnd(rawValue: payload[4])
        else { return nil }
        self.init(id: payload.u32(at: 0), reason: reason)
    }

    var encoded: [UInt8] { RelayMessage.bytes(id) + [reason.rawValue, 0, 0, 0] }
}

enum RelayMessage {
    /// `circuit id 4 │ datagram`.
    static func encoded(id: UInt32, datagram: [UInt8]) -> [UInt8] { bytes(id) + datagram }

    /// The id before every message about a circuit.
    fileprivate static func bytes(_ id: UInt32) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: id)
        return bytes
    }

    /// Whether it is an id at all: the highest bit says who picked it, and the others are not all zero.
    static func isValid(_ id: UInt32) -> Bool { id & 0x7FFF_FFFF != 0 }
}
