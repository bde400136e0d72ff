// SPDX-License-Identifier: Apache-2.0
// The payload of REPAIR (§9): a linear combination of packets that went lately, from which a lost one can be had again.

/// `first counter 8 │ mask 8 │ seed 4 │ coded symbol`. Bit n of the mask, from the lowest, says that counter first + n is covered;
/// bit 0 is set. A symbol is `length 2 │ packet │ zeros`; the coded one is as long as the longest of those covered.
struct RepairMessage: Equatable, Sendable {
    static let header = 20
    /// Counters from the first to the last that one message can cover.
    static let span = 64

    var first: UInt64
    var mask: UInt64
    var seed: UInt32
    var symbol: [UInt8]

    init(first: UInt64, mask: UInt64, seed: UInt32, symbol: [UInt8]) {
        self.first = first
        self.mask = mask
        self.seed = seed
        self.symbol = symbol
    }

    /// Nil for what covers nothing, runs past the last counter, or has no room for a packet.
    init?(_ payload: [UInt8]) {
        guard payload.count > RepairMessage.header + 2 else { return nil }
        first = payload.u64(at: 0)
        mask = payload.u64(at: 8)
        seed = payload.u32(at: 16)
        guard mask & 1 == 1, first <= .max - UInt64(RepairMessage.span) else { return nil }
        symbol = Array(payload[RepairMessage.header...])
    }

    var encoded: [UInt8] {
        var bytes = [UInt8]()
        bytes.reserveCapacity(RepairMessage.header + symbol.count)
        bytes.append(bigEndian: first)
        bytes.append(bigEndian: mask)
        bytes.append(bigEndian: seed)
        return bytes + symbol
    }

    /// The counters that it covers.
    var counters: [UInt64] {
        (0..<UInt64(RepairMessage.span)).filter { mask >> $0 & 1 == 1 }.map { first + $0 }
    }

    /// What the symbol of a counter is multiplied by: never zero, so that every covered packet is in.
    func factor(of counter: UInt64) -> UInt8 {
        // The finaliser of SplitMix64 (Steele, Lea, Flood 2014): neighbouring counters and seeds give unlike factors.
        var z = UInt64(seed) << 32 ^ counter &* 0x9E37_79B9_7F4A_7C15
        z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
        return UInt8(truncatingIfNeeded: (z ^ z >> 31) % 255 + 1)
    }

    /// The symbol of a packet.
    static func symbol(of packet: [UInt8]) -> [UInt8] {
        [UInt8(truncatingIfNeeded: packet.count >> 8), UInt8(truncatingIfNeeded: packet.count)] + packet
    }

    /// The packet of a symbol; nil if that is none.
    static func packet(of symbol: [UInt8]) -> [UInt8]? {
        guard symbol.count > 2 else { return nil }
        let length = Int(symbol[0]) << 8 | Int(symbol[1])
        guard length > 0, length <= symbol.count - 2, symbol[(2 + length)...].allSatisfy({ $0 == 0 }) else {
            return nil
        }
        return Array(symbol[2..<2 + length])
    }
}
