// SPDX-License-Identifier: Apache-2.0
// Dividing a super-packet as it comes from the TUN interface, and joining packets for one write to it.

import VPNCore

/// A super-packet of one flow: its packets are `size` bytes long each.
private struct SuperPacket {
    let header: OffloadHeader
    let count: Int
    var bytes: [UInt8]

    init(_ family: IPFamily, _ transport: TransportProtocol, size: Int) {
        let headers = family.header + transport.header
        let segment = size - headers
        count = min(PacketCoalescer.capacity, 65_535 / size)
        bytes = SamplePacket.make(family, transport, size: headers + segment * count)
        var header = OffloadHeader()
        header.needsChecksum = true
        header.segmentation = transport == .udp ? .udp : family == .ipv4 ? .tcpIPv4 : .tcpIPv6
        header.segmentSize = UInt16(segment)
        header.headerLength = UInt16(headers)
        header.checksumStart = UInt16(family.header)
        header.checksumOffset = transport == .udp ? 6 : 16
        self.header = header
    }
}

/// `PacketSplitter`, from the header to the last packet.
struct Split: Workload {
    let name: String
    private let size: Int
    private var whole: SuperPacket
    private var target: [UInt8]
    var packets: Int { whole.count }

    init(_ family: IPFamily, _ transport: TransportProtocol, size: Int) {
        name = "split-\(transport)-\(family)-\(size)"
        self.size = size
        whole = SuperPacket(family, transport, size: size)
        target = [UInt8](repeating: 0, count: Limits.headroom + size)
    }

    mutating func prepare() {}

    mutating func run() -> Int {
        var given = 0
        Split.divide(&whole.bytes, whole.header, &target) { [size] _, length in given += length == size ? 1 : 0 }
        return given
    }

    /// The packets that it gives.
    mutating func parts() -> [[UInt8]] {
        var parts: [[UInt8]] = []
        Split.divide(&whole.bytes, whole.header, &target) { room, length in
            parts.append((0..<length).map { room[Limits.headroom + $0] })
        }
        return parts
    }

    @inline(__always)
    private static func divide(
        _ source: inout [UInt8], _ header: OffloadHeader, _ target: inout [UInt8],
        _ body: (borrowing MutableSpan<UInt8>, Int) -> Void
    ) {
        let source = source.mutableSpan
        var room = target.mutableSpan
        guard var splitter = PacketSplitter(source, packet: 0..<source.count, header: header) else { return }
        while let length = splitter.next(source, into: &room, at: Limits.headroom) { body(room, length) }
    }
}

/// `PacketCoalescer`, from `begin` to `close`, with packets that all go into one write.
struct Coalesce: Workload {
    let name: String
    let packets: Int
    private let size: Int
    private let head: [UInt8]
    private var slab: [UInt8] = []
    private var coalescer = PacketCoalescer(joinsTCP: true, joinsUDP: true)

    init(_ family: IPFamily, _ transport: TransportProtocol, size: Int) {
        name = "coalesce-\(transport)-\(family)-\(size)"
        self.size = size
        var split = Split(family, transport, size: size)
        // What one write takes.
        let limit = transport == .udp ? PacketCoalescer.datagrams : PacketCoalescer.capacity
        let parts = Array(split.parts().prefix(limit))
        packets = parts.count
        head = parts[0]
        for part in parts { slab += [UInt8](repeating: 0, count: Limits.headroom) + part }
    }

    private var stride: Int { Limits.headroom + size }

    /// `close` changed the headers of the first.
    mutating func prepare() { slab.replaceSubrange(Limits.headroom..<stride, with: head) }

    mutating func run() -> Int { Coalesce.join(&slab, &coalescer, packets, stride) }

    private static func join(
        _ slab: inout [UInt8], _ coalescer: inout PacketCoalescer, _ packets: Int, _ stride: Int
    ) -> Int {
        var joined = 0
        var span = slab.mutableSpan
        for place in 0..<packets {
            let packet = place * stride + Limits.headroom..<(place + 1) * stride
            if let payload = coalescer.append(span, packet) {
                if payload.upperBound == packet.upperBound { joined += 1 }
            } else {
                // Only the first begins.
                if place > 0 { return 0 }
                coalescer.begin(span)
                joined += 1
            }
        }
        return coalescer.close(&span).segmentation == .none ? 0 : joined
    }
}
