// SPDX-License-Identifier: Apache-2.0
// What stood on one cable of the circuit's demonstration: addresses, and strings of bytes to compare with those of other cables.
internal import VPNCore

struct CableSight {
    let capture: PacketCapture

    /// Where the IP packets came from and went to, neighbour discovery and multicast left out.
    var addresses: Set<String> {
        var found: Set<String> = []
        for packet in capture.packets {
            for address in Self.addresses(Array(capture.bytes[packet])) { found.insert(address) }
        }
        return found
    }

    func holds(_ bytes: [UInt8]) -> Bool { capture.count(containing: bytes) > 0 }

    /// All strings of nine bytes within UDP payloads, as numbers that unlike strings share once in 2⁶⁴ or so. No more packets than
    /// `limit` are looked at.
    func strings(limit: Int = 400) -> Set<UInt64> {
        var found: Set<UInt64> = []
        for packet in capture.packets.prefix(limit) {
            let payload = Array(Self.payload(Array(capture.bytes[packet])))
            guard payload.count >= 9 else { continue }
            var word = payload[..<8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            for index in 8..<payload.count {
                // Multiplying by an odd number loses nothing of the first eight; the ninth goes on top.
                found.insert((word &* 0x9E37_79B9_7F4A_7C15) ^ (UInt64(payload[index]) &* 0xC2B2_AE3D_27D4_EB4F))
                word = word << 8 | UInt64(payload[index])
            }
        }
        return found
    }

    private static func addresses(_ packet: [UInt8]) -> [String] {
        guard packet.count >= 34 else { return [] }
        switch (packet[12], packet[13]) {
        case (0x08, 0x00):
            return [26, 30].compactMap { IPAddress(bytes: Array(packet[$0..<$0 + 4])).map { "\($0)" } }
        case (0x86, 0xDD) where packet.count >= 54 && packet[20] != 58 && packet[20] != 0:
            return [22, 38].compactMap { IPAddress(bytes: Array(packet[$0..<$0 + 16])).map { "\($0)" } }
        default: return []
        }
    }

    private static func payload(_ packet: [UInt8]) -> ArraySlice<UInt8> {
        guard packet.count >= 42 else { return [] }
        let start: Int? =
            switch (packet[12], packet[13]) {
            case (0x08, 0x00) where packet[23] == 17: 14 + Int(packet[14] & 0x0F) * 4 + 8
            case (0x86, 0xDD) where packet[20] == 17: 62
            default: nil
            }
        return start.map { packet.dropFirst($0) } ?? []
    }
}
