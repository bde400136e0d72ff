// SPDX-License-Identifier: Apache-2.0
// What is said to the kernel's memory of connections and comes from it (ctnetlink), to the byte. Headers are in the order of the
// machine, addresses in that of the network. Nothing is sent here.

import VPNCore

/// One message of the kernel's.
enum ConnectionMessage {
    case connection(Connection)
    /// The end of an answer, or of its only part; 0 or −errno.
    case end(Int32)
    /// Nothing that was asked for.
    case other

    // <linux/netlink.h>, <linux/netfilter/nfnetlink_conntrack.h>
    private static let (error, done): (UInt16, UInt16) = (2, 3)
    private static let (known, list, forget): (UInt16, UInt16, UInt16) = (0x100, 0x101, 0x102)
    private static let (isRequest, isAcknowledged, isDump): (UInt16, UInt16, UInt16) = (1, 4, 0x300)
    /// Of netlink's header, and of nfnetlink's behind it.
    fileprivate static let (outer, whole) = (16, 20)

    /// "Which connections are there?", of both families.
    static var question: [UInt8] { request(list, isRequest | isDump, family: 0, []) }

    /// "Forget this one."
    static func deletion(of connection: Connection) -> [UInt8] {
        request(forget, isRequest | isAcknowledged, family: connection.family, connection.name)
    }

    private static func request(_ type: UInt16, _ flags: UInt16, family: UInt8, _ attributes: [UInt8]) -> [UInt8] {
        var bytes = native(UInt32(whole + attributes.count))
        bytes += native(type)
        bytes += native(flags)
        // Nobody asks twice at a time, so that numbers tell nothing.
        bytes += native(UInt32(1))
        bytes += native(UInt32(0))
        bytes += [family, 0, 0, 0]
        return bytes + attributes
    }

    private static func native<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
        let little = number.littleEndian
        return (0..<Number.bitWidth / 8).map { UInt8(truncatingIfNeeded: little >> Number($0 * 8)) }
    }

    /// What one read brought. A part that is not all there ends it.
    static func all(in bytes: ArraySlice<UInt8>) -> [ConnectionMessage] {
        var (found, rest) = ([ConnectionMessage](), bytes)
        while rest.count >= outer {
            let length = Int(rest.native(UInt32.self, at: 0))
            guard length >= outer, length <= rest.count else { break }
            found.append(ConnectionMessage(rest.prefix(length)))
            rest = rest.dropFirst((length + 3) & ~3)
        }
        return found
    }

    private init(_ message: ArraySlice<UInt8>) {
        switch message.native(UInt16.self, at: 4) {
        case Self.error where message.count >= Self.outer + 4:
            self = .end(Int32(bitPattern: message.native(UInt32.self, at: Self.outer)))
        case Self.done:
            self =
                message.count < Self.outer + 4
                ? .end(0) : .end(Int32(bitPattern: message.native(UInt32.self, at: Self.outer)))
        case Self.known where message.count >= Self.whole: self = .connection(Connection(message: message))
        default: self = .other
        }
    }
}

/// A connection as the kernel tells of it.
struct Connection {
    let family: UInt8
    private let attributes: ArraySlice<UInt8>

    // Of the connection: its first packet, the answer's, and what tells it from another one of the same name.
    private static let (original, reply, id, zone): (UInt16, UInt16, UInt16, UInt16) = (1, 2, 12, 18)
    // Of a direction, and of its addresses.
    private static let (addresses, source4, source6): (UInt16, UInt16, UInt16) = (1, 1, 3)

    fileprivate init(message: ArraySlice<UInt8>) {
        family = message[message.startIndex + ConnectionMessage.outer]
        attributes = message.dropFirst(ConnectionMessage.whole)
    }

    /// The ends behind this host: whoever began it, and whoever would answer by what the kernel makes of addresses.
    func isFrom(_ isMeant: (IPAddress) -> Bool) -> Bool {
        [Self.original, Self.reply].contains { direction in
            guard let tuple = attributes.attribute(direction), let both = tuple.value.attribute(Self.addresses),
                let source = both.value.attribute(Self.source4) ?? both.value.attribute(Self.source6),
                let address = IPAddress(bytes: Array(source.value))
            else { return false }
            return isMeant(address)
        }
    }

    /// What names it to the kernel, as that said it.
    fileprivate var name: [UInt8] {
        [Self.original, Self.id, Self.zone].flatMap { Array(attributes.attribute($0)?.whole ?? []) }
    }
}

extension ArraySlice<UInt8> {
    fileprivate func native<Number: FixedWidthInteger & UnsignedInteger>(_ type: Number.Type, at offset: Int) -> Number
    {
        var value: Number = 0
        for place in 0..<Number.bitWidth / 8 { value |= Number(self[startIndex + offset + place]) << Number(place * 8) }
        return Number(littleEndian: value)
    }

    /// The first attribute of a type: all of it, filled up to a multiple of four, and what it holds.
    fileprivate func attribute(_ type: UInt16) -> (whole: ArraySlice<UInt8>, value: ArraySlice<UInt8>)? {
        var rest = self
        while rest.count >= 4 {
            let length = Int(rest.native(UInt16.self, at: 0))
            guard length >= 4, length <= rest.count else { return nil }
            let filled = Swift.min((length + 3) & ~3, rest.count)
            // The two high bits say how to read it.
            if rest.native(UInt16.self, at: 2) & 0x3FFF == type {
                return (rest.prefix(filled), rest.prefix(length).dropFirst(4))
            }
            rest = rest.dropFirst(filled)
        }
        return nil
    }
}
