// SPDX-License-Identifier: Apache-2.0
// The frame inside a DATA datagram (§7): `type 1 │ flags 1 │ length 2 │ payload │ zero padding`. Framing only: what a
// payload means is somebody else's business.

/// The types of frames (§7). Any other type closes the session.
public enum FrameType: UInt8, CaseIterable, Sendable {
    case pad = 0x00
    case ip = 0x01
    case keepalive = 0x02
    case pathChallenge = 0x03
    case pathResponse = 0x04
    case close = 0x06
    case configRequest = 0x07
    case config = 0x08
    case extend = 0x10
    case extended = 0x11
    case relay = 0x12
    case end = 0x13
    case directory = 0x14
    case probe = 0x20
    case probeReport = 0x21
    case repair = 0x22
}

/// A frame found in a plaintext: its type and where its payload lies in the buffer.
public struct FrameView: Hashable, Sendable {
    public var type: FrameType
    /// Of an inner packet on a quilt: so many counters before its own bring no packet (§9); else 0.
    var skipped: UInt8 = 0
    public var payload: Range<Int>

    init(type: FrameType, skipped: UInt8 = 0, payload: Range<Int>) {
        self.type = type
        self.skipped = skipped
        self.payload = payload
    }
}

enum Frame {
    enum Verdict {
        case frame(FrameView)
        case malformed(DropReason)
    }

    /// Reads the frame that is exactly `plaintext` of `buffer`.
    @inline(__always)
    static func decode(_ buffer: borrowing MutableSpan<UInt8>, _ plaintext: Range<Int>) -> Verdict {
        guard plaintext.count >= Limits.frameHeader else { return .malformed(.frameLength) }
        let header = buffer.load(UInt32.self, at: plaintext.lowerBound)
        let start = plaintext.lowerBound + Limits.frameHeader
        let end = start + Int(header & 0xFFFF)
        guard end <= plaintext.upperBound else { return .malformed(.frameLength) }
        let flags = UInt8(truncatingIfNeeded: header >> 16)
        // They are a number where packets are put in order, and zero elsewhere.
        guard flags == 0 || header >> 24 == FrameType.ip.rawValue else { return .malformed(.frameFlags) }
        var offset = end
        while offset < plaintext.upperBound {
            guard buffer[offset] == 0 else { return .malformed(.padding) }
            offset += 1
        }
        guard let type = FrameType(rawValue: UInt8(header >> 24)) else { return .malformed(.unknownFrameType) }
        return .frame(FrameView(type: type, skipped: flags, payload: start..<end))
    }

    /// Writes header and padding around a payload that is already in place; the room must be there.
    @inline(__always)
    static func encode(
        _ type: FrameType, _ buffer: inout MutableSpan<UInt8>, payload: Range<Int>, plaintextEnd: Int,
        skipped: UInt8 = 0
    ) {
        let header =
            UInt32(type.rawValue) << 24 | UInt32(skipped) << 16 | UInt32(truncatingIfNeeded: payload.count)
        buffer.store(header, at: payload.lowerBound - Limits.frameHeader)
        var offset = payload.upperBound
        while offset < plaintextEnd {
            buffer[offset] = 0
            offset += 1
        }
    }
}
