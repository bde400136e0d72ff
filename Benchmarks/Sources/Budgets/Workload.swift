// SPDX-License-Identifier: Apache-2.0
// A piece of the packet path that runs over and over in the same way, so that what it costs can be counted exactly.

import VPNCore

protocol Workload: ~Copyable {
    /// What budgets know it by: lower case, with hyphens.
    var name: String { get }
    /// Packets of one run.
    var packets: Int { get }
    /// Makes anew what a run uses up. Not counted.
    mutating func prepare()
    /// The piece itself; how many packets went through as they should.
    mutating func run() -> Int
}

extension Workload where Self: ~Copyable {
    /// Until tables, caches, counter blocks and replay windows are as they stay.
    mutating func warmUp() {
        for _ in 0..<300 { runOnce() }
    }

    @inline(__always)
    mutating func runOnce() {
        prepare()
        let count = run()
        precondition(count == packets, "packets went astray")
    }
}

enum IPFamily: String, CaseIterable {
    case ipv4, ipv6

    var header: Int { self == .ipv4 ? 20 : 40 }
}

enum TransportProtocol: String, CaseIterable {
    case tcp, udp

    var number: UInt8 { self == .tcp ? 6 : 17 }
    var header: Int { self == .tcp ? 20 : 8 }
}

/// Packets from 10.77.0.1 or fd77::1 to 10.77.0.2 or fd77::2.
enum SamplePacket {
    static func address(_ family: IPFamily, _ number: UInt32) -> IPAddress {
        family == .ipv4 ? IPAddress(v4: 0x0A4D_0000 + number) : IPAddress(v6: 0xFD77 << 112 | UInt128(number))
    }

    /// A packet of `size` bytes; the checksums are those of a super-packet of which nothing is complete.
    static func make(_ family: IPFamily, _ transport: TransportProtocol, size: Int) -> [UInt8] {
        func word(_ value: Int) -> [UInt8] { [UInt8(value >> 8 & 0xFF), UInt8(value & 0xFF)] }
        let addresses = address(family, 1).bytes + address(family, 2).bytes
        var packet: [UInt8]
        switch family {
        case .ipv4: packet = [0x45, 0] + word(size) + [0, 0, 0x40, 0, 64, transport.number, 0, 0] + addresses
        case .ipv6: packet = [0x60, 0, 0, 0] + word(size - 40) + [transport.number, 64] + addresses
        }
        packet += [0x30, 0x39, 0x14, 0x51]
        switch transport {
        case .tcp: packet += [0, 0, 0, 0, 0, 0, 0, 1, 0x50, 0x10, 0x10, 0, 0, 0, 0, 0]
        case .udp: packet += word(size - family.header) + [0, 0]
        }
        return packet + (packet.count..<size).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    }
}
