// SPDX-License-Identifier: Apache-2.0
// Packets as a guest of an exit might make them, whole and correct: kernels drop what has a wrong checksum before anybody judges it.
import VPNTesting

@testable import VPNCore

/// One packet of a guest's, in as many fragments as it has.
struct GuestPacket {
    enum Content: Hashable {
        case tcp(UInt16)
        case udp(UInt16)
        case echo
        /// ICMP that is neither a question nor an error.
        case signal
        case gre
    }

    enum Form: Hashable {
        case plain
        /// IPv4 options, or IPv6 destination options.
        case extended
        /// IPv6 hop-by-hop options, then destination options.
        case chained
        case fragmented
        /// Without the first fragment.
        case laterFragment
    }

    var source: IPAddress
    var destination: IPAddress
    var content: Content
    var form = Form.plain
    /// Source port, ICMP id and fragments' id.
    var number: UInt16
    /// Text in each fragment by which it is found again.
    var marker: String

    private static let options: [UInt8] = [1, 1, 1, 0]
    /// Of an options header, behind its first byte.
    private static let padding: [UInt8] = [0, 1, 4, 0, 0, 0, 0]

    private var isV4: Bool { destination.family == .v4 }

    /// What each fragment holds of the marker: 32 bytes.
    func mark(_ fragment: Int) -> [UInt8] {
        let text = Array("\(marker)/\(fragment)".utf8)
        return text + [UInt8](repeating: UInt8(ascii: "."), count: 32 - text.count)
    }

    /// The marks of the fragments that there are.
    var marks: [[UInt8]] {
        switch form {
        case .fragmented: [mark(0), mark(1)]
        case .laterFragment: [mark(1)]
        case .plain, .extended, .chained: [mark(0)]
        }
    }

    var bytes: [[UInt8]] {
        let whole = segment(form == .fragmented || form == .laterFragment ? mark(0) + mark(1) : mark(0))
        switch form {
        case .plain: return [packet(whole)]
        case .extended: return [isV4 ? packet(whole, options: Self.options) : packet(whole, chain: [60])]
        case .chained: return [packet(whole, chain: [0, 60])]
        case .fragmented, .laterFragment:
            let cut = whole.count - 32
            let parts = [fragment(Array(whole[..<cut]), at: 0), fragment(Array(whole[cut...]), at: cut)]
            return form == .fragmented ? parts : [parts[1]]
        }
    }

    // MARK: Layers

    private var transport: UInt8 {
        switch content {
        case .tcp: 6
        case .udp: 17
        case .echo, .signal: isV4 ? 1 : 58
        case .gre: 47
        }
    }

    private static func word(_ value: Int) -> [UInt8] { [UInt8(value >> 8 & 0xFF), UInt8(value & 0xFF)] }

    /// The transport's header and content; of a length that is a multiple of eight, so that it can be cut.
    private func segment(_ content: [UInt8]) -> [UInt8] {
        let own = Self.word(Int(number))
        var bytes: [UInt8]
        let place: Int
        switch self.content {
        case .tcp(let port):
            // A first segment, with four bytes of options that say nothing.
            bytes = own + Self.word(Int(port)) + [0, 0, 0, 1, 0, 0, 0, 0, 0x60, 2, 0x10, 0, 0, 0, 0, 0, 1, 1, 1, 0]
            place = 16
        case .udp(let port):
            bytes = own + Self.word(Int(port)) + Self.word(8 + content.count) + [0, 0]
            place = 6
        case .echo:
            bytes = [isV4 ? 8 : 128, 0, 0, 0] + own + [0, 1]
            place = 2
        case .signal:
            bytes = [isV4 ? 13 : 139, 0, 0, 0] + own + [0, 1]
            place = 2
        case .gre: return [0, 0, 8, 0, 0, 0, 0, 0] + content
        }
        bytes += content
        var covered = bytes
        if transport != 1 {
            covered += source.bytes + destination.bytes + [0, transport] + Self.word(bytes.count)
        }
        bytes.replaceSubrange(place..<place + 2, with: Self.checksum(covered))
        return bytes
    }

    private func packet(_ content: [UInt8], options: [UInt8] = [], chain: [UInt8] = []) -> [UInt8] {
        if isV4 { return v4(content, options: options, flags: 0) }
        var (body, next) = (content, transport)
        for header in chain.reversed() { (body, next) = ([next] + Self.padding + body, header) }
        return v6(body, next: next)
    }

    private func fragment(_ content: [UInt8], at offset: Int) -> [UInt8] {
        let isFirst = offset == 0
        if isV4 { return v4(content, flags: (isFirst ? 0x2000 : 0) | offset / 8) }
        return v6(
            [transport, 0] + Self.word(offset | (isFirst ? 1 : 0)) + [0, 0] + Self.word(Int(number)) + content,
            next: 44)
    }

    private func v4(_ content: [UInt8], options: [UInt8] = [], flags: Int) -> [UInt8] {
        let length = 20 + options.count
        var header: [UInt8] =
            [UInt8(0x40 + length / 4), 0] + Self.word(length + content.count) + Self.word(Int(number))
            + Self.word(flags) + [64, transport, 0, 0] + source.bytes + destination.bytes + options
        header.replaceSubrange(10..<12, with: Self.checksum(header))
        return header + content
    }

    private func v6(_ content: [UInt8], next: UInt8) -> [UInt8] {
        [0x60, 0, 0, 0] + Self.word(content.count) + [next, 64] + source.bytes + destination.bytes + content
    }

    private static func checksum(_ bytes: [UInt8]) -> [UInt8] { word(Int(~PlainChecksum.sum(bytes))) }
}
