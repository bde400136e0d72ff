// SPDX-License-Identifier: Apache-2.0
// A number for the flow of an inner packet, so that its packets stay on one patch while that costs nothing (§9). Two flows may have
// one number: that costs a little, too. It is nobody's secret and protects nothing.

enum FlowHash {
    /// Addresses, protocol and ports, as far as the first bytes behind the address say them; 0 for what is no IP packet.
    static func of(_ buffer: borrowing MutableSpan<UInt8>, _ packet: Range<Int>) -> UInt32 {
        guard packet.count >= 20 else { return 0 }
        let start = packet.lowerBound
        var hash: UInt64
        var ports = start
        if buffer[start] >> 4 == 4 {
            hash = buffer.load(UInt64.self, at: start + 12) ^ UInt64(buffer[start + 9])
            // What is a fragment has no ports behind its header.
            let isFragment = buffer.load(UInt16.self, at: start + 6) & 0x3FFF != 0
            ports += isFragment ? packet.count : Int(buffer[start] & 15) * 4
        } else {
            guard packet.count >= 40 else { return 0 }
            hash = buffer.load(UInt64.self, at: start + 16) ^ buffer.load(UInt64.self, at: start + 32)
            hash ^= UInt64(buffer.load(UInt32.self, at: start) & 0xF_FFFF) << 20 ^ UInt64(buffer[start + 6])
            ports += 40
        }
        if ports + 4 <= packet.upperBound { hash ^= UInt64(buffer.load(UInt32.self, at: ports)) << 17 }
        // The finaliser of SplitMix64.
        hash = (hash ^ hash >> 30) &* 0xBF58_476D_1CE4_E5B9
        hash = (hash ^ hash >> 27) &* 0x94D0_49BB_1331_11EB
        return UInt32(truncatingIfNeeded: hash >> 32)
    }
}
