// SPDX-License-Identifier: Apache-2.0
// Every inner packet of a run, by its number: who sent it, to whom, and whether it came. What comes twice, spoilt, to somebody else
// or from nowhere is a fault.
public import VPNCore

/// Hosts are numbers that the test gives out.
public struct PacketLedger {
    public struct Entry {
        public let sender: Int
        /// Nil: a forgery, which nobody may get.
        public let addressee: Int?
        public let length: Int
        public let sent: Instant
        public internal(set) var arrived: Instant?
    }

    public enum Fault: Equatable, Sendable {
        case twice(Int, at: Int)
        case spoilt(Int, at: Int)
        case misled(Int, to: Int)
        case unknown(at: Int)
    }

    /// Eight bytes of every packet, which nobody may ever see on a wire.
    public static let watchword: UInt64 = 0x5051_5650_4E5F_494E
    /// IPv4 and UDP headers, the watchword, the number.
    public static let smallest = 20 + 8 + 8 + 8

    public private(set) var entries: [Entry] = []
    public private(set) var faults: [Fault] = []
    public private(set) var arrivals = 0

    public init() {}

    /// A new packet, 10.77.0.1 being 0x0A4D0001; UDP to port 443.
    public mutating func packet(
        from source: UInt32, to destination: UInt32, sender: Int, addressee: Int?, length: Int, now: Instant
    ) -> [UInt8] {
        let number = entries.count
        let length = max(length, Self.smallest)
        entries.append(Entry(sender: sender, addressee: addressee, length: length, sent: now))
        return Self.bytes(number: number, from: source, to: destination, length: length)
    }

    /// Notes what came out of a tunnel.
    public mutating func take(_ packet: [UInt8], at host: Int, now: Instant) {
        guard packet.count >= Self.smallest, Self.word(packet, 28) == Self.watchword else {
            return faults.append(.unknown(at: host))
        }
        let number = Self.word(packet, 36)
        guard number < UInt64(entries.count) else { return faults.append(.unknown(at: host)) }
        let place = Int(number)
        let entry = entries[place]
        let expected = Self.bytes(
            number: place, from: UInt32(truncatingIfNeeded: Self.word(packet, 8)),
            to: UInt32(truncatingIfNeeded: Self.word(packet, 16) >> 32), length: entry.length)
        if packet != expected { faults.append(.spoilt(place, at: host)) }
        if entry.addressee != host { faults.append(.misled(place, to: host)) }
        if entry.arrived != nil { faults.append(.twice(place, at: host)) }
        entries[place].arrived = now
        arrivals += 1
    }

    private static func word(_ bytes: [UInt8], _ offset: Int) -> UInt64 {
        var word: UInt64 = 0
        for place in offset..<offset + 8 { word = word << 8 | UInt64(bytes[place]) }
        return word
    }

    private static func bytes(number: Int, from source: UInt32, to destination: UInt32, length: Int) -> [UInt8] {
        var bytes: [UInt8] = [0x45, 0, UInt8(length >> 8), UInt8(length & 0xFF), 0, 0, 0, 0, 64, 17, 0, 0]
        bytes.reserveCapacity(length + 8)
        func append(_ value: UInt64, _ count: Int) {
            for place in 1...count { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * (count - place)))) }
        }
        append(UInt64(source), 4)
        append(UInt64(destination), 4)
        append(40_000 << 48 | 443 << 32 | UInt64(length - 20) << 16, 8)
        append(Self.watchword, 8)
        append(UInt64(number), 8)
        var filling = SeededRandom(seed: UInt64(number))
        while bytes.count < length { append(filling.next(), 8) }
        bytes.removeLast(bytes.count - length)
        return bytes
    }
}
