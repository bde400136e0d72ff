// SPDX-License-Identifier: Apache-2.0
// What an exit must know of a packet behind its addresses: protocol, ports, what an ICMP error is about, and its place among
// fragments. It reads; whether that may pass is not its business.

/// The transport of an IP packet whose fixed header was checked (`InnerPacket`), or of the part of one that an ICMP error quotes.
struct TransportReading {
    enum Kind {
        case tcp, udp
        /// Echo and its answer: what ICMP is asked for with.
        case echo
        /// An error about the packet that begins at the place.
        case error(quoted: Int)
        /// Any other ICMP: redirects, advertisements, and what a host's neighbours say.
        case signal
        case other
        /// Not the first fragment: what it is of was in the first.
        case laterFragment
    }

    var kind: Kind
    /// Of TCP and UDP.
    var source: UInt16 = 0
    var destination: UInt16 = 0
    /// The number of the protocol.
    var number: UInt8
    /// A fragment's id; nil where the packet is whole.
    var fragment: UInt32?

    /// Nil for source routing, more than eight extension headers, a header that is not all there, and an ICMP error in fragments.
    /// Of a quoted packet eight bytes of its transport are enough (RFC 792).
    @inline(__always)
    init?(_ buffer: borrowing MutableSpan<UInt8>, _ packet: Range<Int>, isV4: Bool, isQuoted: Bool = false) {
        let chain =
            isV4
            ? TransportReading.chain4(buffer, packet)
            : TransportReading.chain6(buffer, packet)
        guard let chain else { return nil }
        (number, fragment) = (chain.number, chain.fragment)
        guard !chain.isLater else {
            kind = .laterFragment
            return
        }
        let start = chain.start
        switch number {
        case 6:
            guard start + (isQuoted ? 8 : 20) <= packet.upperBound else { return nil }
            kind = .tcp
            source = buffer.load(UInt16.self, at: start)
            destination = buffer.load(UInt16.self, at: start + 2)
        case 17:
            guard start + 8 <= packet.upperBound else { return nil }
            kind = .udp
            source = buffer.load(UInt16.self, at: start)
            destination = buffer.load(UInt16.self, at: start + 2)
        case isV4 ? 1 : 58:
            guard start + 8 <= packet.upperBound else { return nil }
            let type = buffer[start]
            if isV4 ? type == 0 || type == 8 : type == 128 || type == 129 {
                kind = .echo
            } else if isV4 ? type == 3 || type == 11 || type == 12 : (1...4).contains(type) {
                guard fragment == nil else { return nil }
                kind = .error(quoted: start + 8)
            } else {
                kind = .signal
            }
        default: kind = .other
        }
    }

    private typealias Chain = (start: Int, number: UInt8, fragment: UInt32?, isLater: Bool)

    @inline(__always)
    private static func chain4(_ buffer: borrowing MutableSpan<UInt8>, _ packet: Range<Int>) -> Chain? {
        let start = packet.lowerBound
        let length = Int(buffer[start] & 0xF) * 4
        guard length >= 20, length <= packet.count else { return nil }
        guard length == 20 || hasPlainOptions(buffer, start + 20..<start + length) else { return nil }
        let word = buffer.load(UInt16.self, at: start + 6)
        let isFragment = word & 0x3FFF != 0
        let id = isFragment ? UInt32(buffer.load(UInt16.self, at: start + 4)) : nil
        return (start + length, buffer[start + 9], id, word & 0x1FFF != 0)
    }

    /// Whether options are well formed and none of them a route (RFC 7126 §4.3, §4.4).
    @inline(never)
    private static func hasPlainOptions(_ buffer: borrowing MutableSpan<UInt8>, _ options: Range<Int>) -> Bool {
        var place = options.lowerBound
        while place < options.upperBound {
            let kind = buffer[place]
            if kind == 0 { return true }
            if kind == 1 {
                place += 1
                continue
            }
            guard kind != 131, kind != 137, place + 1 < options.upperBound else { return false }
            let length = Int(buffer[place + 1])
            guard length >= 2, place + length <= options.upperBound else { return false }
            place += length
        }
        return true
    }

    @inline(__always)
    private static func chain6(_ buffer: borrowing MutableSpan<UInt8>, _ packet: Range<Int>) -> Chain? {
        let next = buffer[packet.lowerBound + 6]
        switch next {
        case 6, 17, 58: return (packet.lowerBound + 40, next, nil, false)
        default: return walk6(buffer, packet, next)
        }
    }

    @inline(never)
    private static func walk6(_ buffer: borrowing MutableSpan<UInt8>, _ packet: Range<Int>, _ first: UInt8) -> Chain? {
        var (next, place, headers) = (first, packet.lowerBound + 40, 0)
        var fragment: UInt32?
        while true {
            let length: Int
            switch next {
            // RFC 8200 §4.1: hop-by-hop options come first or not at all.
            case 0 where headers == 0, 60, 51, 44:
                headers += 1
                guard headers <= Limits.exitExtensionHeaders, place + 8 <= packet.upperBound else { return nil }
                let units = Int(buffer[place + 1])
                length = next == 44 ? 8 : next == 51 ? (units + 2) * 4 : (units + 1) * 8
                guard place + length <= packet.upperBound else { return nil }
                if next == 44 {
                    // A fragment of a fragment is nobody's packet.
                    guard fragment == nil else { return nil }
                    let word = buffer.load(UInt16.self, at: place + 2)
                    // RFC 6946: without offset and more to come it is whole.
                    if word & 0xFFF9 != 0 { fragment = buffer.load(UInt32.self, at: place + 4) }
                    if word >> 3 != 0 { return (place + 8, buffer[place], fragment, true) }
                }
            // Routing headers of whatever type, and hop-by-hop options that are late.
            case 43, 0: return nil
            default: return (place, next, fragment, false)
            }
            next = buffer[place]
            place += length
        }
    }
}
