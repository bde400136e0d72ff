// SPDX-License-Identifier: Apache-2.0
// Decoders of headers: what is accepted says what stands there, nothing else is accepted, and the encoder gives the same bytes.

import VPNTesting

@testable import VPNCore

enum HeaderProperty {
    enum Kind: UInt8 { case inner, outer, frame, offload }

    /// - Parameter only: the one kind of header; nil: the input says which.
    static func check(_ input: inout FuzzInput, only: Kind? = nil) throws {
        let choice = input.byte()
        let kind = only ?? Kind(rawValue: choice & 3)!
        var bytes = input.rest(upTo: 200)
        // A fuzzer does not guess lengths.
        if choice & 4 == 0, bytes.count >= 4 { mend(&bytes, kind) }
        let front = Int(choice >> 5)
        switch kind {
        case .inner: try checkInner(bytes, front)
        case .outer: try checkOuter(bytes, front)
        case .frame: try checkFrame(bytes, front)
        case .offload: try checkOffload(bytes, front)
        }
    }

    private static func mend(_ bytes: inout [UInt8], _ kind: Kind) {
        switch kind {
        case .inner:
            let isV4 = bytes[0] >> 4 == 4
            guard isV4 || bytes.count >= 40 else { return }
            bytes.replaceSubrange(isV4 ? 2..<4 : 4..<6, with: PacketModel.bytes(UInt16(bytes.count - (isV4 ? 0 : 40))))
        case .outer where bytes.count >= 16:
            bytes[0] = 1
            bytes.replaceSubrange(2..<4, with: PacketModel.bytes(UInt16(bytes.count - 16)))
        case .frame: bytes[2] = 0
        default: break
        }
    }

    private static func checkInner(_ bytes: [UInt8], _ front: Int) throws {
        var guarded = GuardedPacket(bytes, front: front)
        let inner = guarded.access { InnerPacket($0, $1) }
        let header = bytes.isEmpty ? 0 : Int(bytes[0] & 15) * 4
        let isV4 =
            bytes.count >= 20 && bytes[0] >> 4 == 4 && header >= 20 && header <= bytes.count
            && PacketModel.number(bytes, 2) == bytes.count
        let isV6 = bytes.count >= 40 && bytes[0] >> 4 == 6 && PacketModel.number(bytes, 4) == bytes.count - 40
        func number<Number: FixedWidthInteger>(_ range: Range<Int>) -> Number {
            bytes[range].reduce(0) { $0 << 8 | Number($1) }
        }
        switch inner {
        case .v4(let source, let destination):
            try FuzzFinding.unless(
                isV4 && source == number(12..<16) && destination == number(16..<20), "IPv4 of \(bytes)")
        case .v6(let source, let destination):
            try FuzzFinding.unless(
                isV6 && source == number(8..<24) && destination == number(24..<40), "IPv6 of \(bytes)")
        case nil: try FuzzFinding.unless(!isV4 && !isV6, "refused: \(bytes)")
        }
    }

    private static func checkOuter(_ bytes: [UInt8], _ front: Int) throws {
        var guarded = GuardedPacket(bytes, front: front)
        let verdict = guarded.access { OuterHeader.decode($0, $1) }
        try FuzzFinding.unless(verdict == OuterHeader.decode(bytes), "two decoders of \(bytes)")
        let isGood =
            bytes.count >= 16 && bytes[0] == 1 && ((1...7).contains(bytes[1]) || (0x10...0x11).contains(bytes[1]))
            && PacketModel.number(bytes, 2) == bytes.count - 16
        guard case .header(let header) = verdict else { return try FuzzFinding.unless(!isGood, "refused: \(bytes)") }
        try FuzzFinding.unless(isGood && bytes.starts(with: header.encoded), "\(header) of \(bytes)")
        guarded.access { span, _ in header.encode(into: &span, at: front) }
        try FuzzFinding.unless(guarded.isGuardIntact && guarded.packet == bytes, "\(header) of \(bytes), encoded")
    }

    private static func checkFrame(_ bytes: [UInt8], _ front: Int) throws {
        var guarded = GuardedPacket(bytes, front: front)
        let verdict = guarded.access { Frame.decode($0, $1) }
        let length = bytes.count >= 4 ? PacketModel.number(bytes, 2) : 0
        let isGood =
            bytes.count >= 4 + length && (bytes[1] == 0 || bytes[0] == FrameType.ip.rawValue)
            && FrameType(rawValue: bytes[0]) != nil
            && bytes[(4 + length)...].allSatisfy { $0 == 0 }
        guard case .frame(let frame) = verdict else { return try FuzzFinding.unless(!isGood, "refused: \(bytes)") }
        try FuzzFinding.unless(
            isGood && frame.type.rawValue == bytes[0] && frame.skipped == bytes[1]
                && frame.payload == front + 4..<front + 4 + length,
            "\(frame) of \(bytes)")
        // Header and padding come again where they are written again.
        for place in guarded.range where !frame.payload.contains(place) { guarded.buffer[place] = 0xDD }
        guarded.access {
            Frame.encode(
                frame.type, &$0, payload: frame.payload, plaintextEnd: $1.upperBound, skipped: frame.skipped)
        }
        try FuzzFinding.unless(guarded.isGuardIntact && guarded.packet == bytes, "\(frame) of \(bytes), encoded")
    }

    private static func checkOffload(_ bytes: [UInt8], _ front: Int) throws {
        guard bytes.count >= OffloadHeader.size else { return }
        var guarded = GuardedPacket(Array(bytes.prefix(OffloadHeader.size)), front: front)
        let isKnown = [0, 1, 4, 5].contains(bytes[1] & 0x7F)
        guard let header = guarded.access({ span, _ in OffloadHeader(span, at: front) }) else {
            return try FuzzFinding.unless(!isKnown, "refused: \(bytes)")
        }
        try FuzzFinding.unless(
            isKnown && header.segmentation.rawValue == bytes[1] & 0x7F && header.needsChecksum == (bytes[0] & 1 == 1),
            "\(header) of \(bytes)")
        guarded.access { span, _ in header.encode(into: &span, at: front) }
        try FuzzFinding.unless(guarded.isGuardIntact && guarded.packet[2...] == bytes[2..<10], "\(header), encoded")
        let again = guarded.access { span, _ in OffloadHeader(span, at: front) }
        try FuzzFinding.unless(again == header, "\(header), decoded again")
    }
}
