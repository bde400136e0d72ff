// SPDX-License-Identifier: Apache-2.0
// What stood on the cable between two hosts, by kind: tunnel, neighbour discovery, or something that should not be there.

/// A count of the packets of an Ethernet capture.
struct OuterTraffic: Sendable, Equatable {
    /// UDP from or to the port of the tunnel.
    var tunnelPackets = 0
    /// Bytes of these, headers included.
    var tunnelBytes = 0
    /// How many of them there are of each size, in bytes of UDP payload.
    var tunnelSizes: [Int: Int] = [:]
    /// ARP, and the ICMPv6 messages with which IPv6 hosts find each other.
    var neighbourPackets = 0
    /// All else, by what it is.
    var foreign: [String: Int] = [:]

    init(_ capture: PacketCapture, port: UInt16) {
        for packet in capture.packets {
            switch Self.kind(capture.bytes[packet], linkType: capture.linkType, port: port) {
            case .tunnel(let size):
                tunnelPackets += 1
                tunnelSizes[size, default: 0] += 1
                tunnelBytes += packet.count
            case .neighbour: neighbourPackets += 1
            case .foreign(let name): foreign[name, default: 0] += 1
            }
        }
    }

    private enum Kind {
        case tunnel(Int)
        case neighbour
        case foreign(String)
    }

    private static func kind(_ packet: ArraySlice<UInt8>, linkType: PacketCapture.LinkType, port: UInt16) -> Kind {
        let reader = Reader(bytes: packet)
        guard linkType == .ethernet, let type = reader.word(12) else { return .foreign("no Ethernet frame") }
        switch type {
        case 0x0806: return .neighbour
        case 0x0800: return ipv4(reader, port: port)
        case 0x86DD: return ipv6(reader, port: port)
        default: return .foreign("Ethernet type 0x" + String(type, radix: 16))
        }
    }

    private static func ipv4(_ reader: Reader, port: UInt16) -> Kind {
        guard let first = reader.byte(14), let fragment = reader.word(20), let next = reader.byte(23) else {
            return .foreign("truncated IPv4")
        }
        // A datagram in IP fragments is one that the tunnel should not have sent: it has its own fragments (§3).
        guard fragment & 0x3FFF == 0 else { return .foreign("IPv4 fragment") }
        guard next == 17 else { return .foreign("IPv4 protocol \(next)") }
        return udp(reader, at: 14 + Int(first & 0x0F) * 4, port: port)
    }

    private static func ipv6(_ reader: Reader, port: UInt16) -> Kind {
        guard var next = reader.byte(20) else { return .foreign("truncated IPv6") }
        var offset = 54
        // Multicast listener reports carry a router alert in a hop-by-hop header.
        if next == 0 {
            guard let inner = reader.byte(offset), let length = reader.byte(offset + 1) else {
                return .foreign("truncated IPv6")
            }
            next = inner
            offset += (Int(length) + 1) * 8
        }
        switch next {
        case 17: return udp(reader, at: offset, port: port)
        case 58:
            guard let type = reader.byte(offset) else { return .foreign("truncated ICMPv6") }
            // Router and neighbour discovery (RFC 4861), multicast listener reports (RFC 2710, RFC 3810).
            return (130...137).contains(type) || type == 143 ? .neighbour : .foreign("ICMPv6 type \(type)")
        default: return .foreign("IPv6 next header \(next)")
        }
    }

    private static func udp(_ reader: Reader, at offset: Int, port: UInt16) -> Kind {
        guard let source = reader.word(offset), let destination = reader.word(offset + 2),
            let length = reader.word(offset + 4), length >= 8
        else { return .foreign("truncated UDP") }
        return source == port || destination == port
            ? .tunnel(Int(length) - 8) : .foreign("UDP \(source) to \(destination)")
    }
}

/// Bytes of one packet by their distance from its beginning; nil behind its end.
private struct Reader {
    let bytes: ArraySlice<UInt8>

    func byte(_ offset: Int) -> UInt8? {
        offset < bytes.count ? bytes[bytes.startIndex + offset] : nil
    }

    func word(_ offset: Int) -> UInt16? {
        guard let high = byte(offset), let low = byte(offset + 1) else { return nil }
        return UInt16(high) << 8 | UInt16(low)
    }
}
