// SPDX-License-Identifier: Apache-2.0
// The packet path of two workers: from an inner packet to a sealed datagram and back, in place, as in a worker, but
// without sockets and TUN devices.
import Nodes
import VPNCore
import VPNCrypto

/// Two data planes with one session between them, and a batch of packets in one slab.
struct PacketBenchmark {
    private static let size = 1400
    private static let batch = 64
    private static let batches = 1500
    /// Whole cache lines, and no power of two, which would put all packets into the same lines of the first cache.
    private static let stride = (Limits.headroom + size + Limits.tailroom + 63) / 64 * 64
    private static let toA = Carrier.udp(HandshakeBenchmark.endpoint(1))
    private static let toB = Carrier.udp(HandshakeBenchmark.endpoint(2))
    private static let now = Instant(nanoseconds: 1_000_000_000)

    private let label: String
    private var a = DataPlane()
    private var b = DataPlane()
    private var slab: [UInt8]

    init(_ cipher: PacketCipher, label: String) {
        self.label = label
        let (atA, atB) = Self.sessions(cipher)
        a.apply(.routes(Self.routes(to: 2)))
        b.apply(.routes(Self.routes(to: 1)))
        a.apply(.activate(atA, Self.toB))
        b.apply(.activate(atB, Self.toA))
        slab = [UInt8](repeating: 0, count: Self.stride * Self.batch)
        let total = [UInt8(Self.size >> 8), UInt8(Self.size & 0xFF)]
        let header: [UInt8] = [0x45, 0] + total + [0, 0, 0, 0, 64, 17, 0, 0, 10, 77, 0, 1, 10, 77, 0, 2]
        for place in 0..<Self.batch {
            let start = Self.packet(place).lowerBound
            slab.replaceSubrange(start..<start + header.count, with: header)
        }
    }

    private static func packet(_ place: Int) -> Range<Int> {
        let start = place * stride + Limits.headroom
        return start..<start + size
    }

    private static func sessions(_ cipher: PacketCipher) -> (Session, Session) {
        func key(_ fill: UInt8) -> KeyRatchet {
            KeyRatchet(
                cipher, key: Secret(copying: [UInt8](repeating: fill, count: 32)),
                iv: Secret(copying: [UInt8](repeating: fill, count: 12)))
        }
        func session(_ role: SessionRole, _ own: UInt32, _ other: UInt32, _ send: UInt8, _ receive: UInt8) -> Session {
            Session(
                id: [UInt8](repeating: 7, count: 16), localIndex: own, remoteIndex: other, peer: 0, role: role,
                cipher: cipher, sendKeys: key(send), receiveKeys: key(receive), counterStart: 1000, isConfirmed: true,
                establishedAt: now)
        }
        return (session(.initiator, 1, 2, 10, 20), session(.responder, 2, 1, 20, 10))
    }

    private static func routes(to number: UInt32) -> RouteTable {
        var table = PrefixTable<PeerSlot>()
        table.insert(IPPrefix(containing: IPAddress(v4: 0x0A4D_0000 + number), length: 32), 0)
        return RouteTable(table)
    }

    mutating func round(_ results: inout Results) throws {
        var (outbound, inbound): (UInt64, UInt64) = (0, 0)
        var transmitted = 0, delivered = 0
        for _ in 0..<Self.batches {
            let start = Processor.threadNanoseconds
            transmitted += Self.seal(&slab, &a)
            let middle = Processor.threadNanoseconds
            delivered += Self.open(&slab, &b)
            outbound += middle - start
            inbound += Processor.threadNanoseconds - middle
        }
        let packets = Self.batch * Self.batches
        guard transmitted == packets, delivered == packets else { throw Failure("packets were lost in memory") }
        let each = (Double(outbound) / Double(packets), Double(inbound) / Double(packets))
        results.add(.packets, "outbound: route, frame, seal (\(label))", "ns", each.0)
        results.add(.packets, "inbound: session, open, replay window, source (\(label))", "ns", each.1)
    }

    private static func seal(_ slab: inout [UInt8], _ plane: inout DataPlane) -> Int {
        var transmitted = 0
        var span = slab.mutableSpan
        for place in 0..<batch {
            if case .transmit = plane.outbound(&span, packet: packet(place), now: now) { transmitted += 1 }
        }
        return transmitted
    }

    /// Opens what lies where `seal` left it; the inner packets are in their places again after it.
    private static func open(_ slab: inout [UInt8], _ plane: inout DataPlane) -> Int {
        var delivered = 0
        var span = slab.mutableSpan
        for place in 0..<batch {
            let packet = packet(place)
            let front = Limits.outerHeader + Limits.frameHeader
            let datagram = packet.lowerBound - front..<packet.upperBound + Limits.tag
            let verdict = plane.inbound(&span, datagram: datagram, now: now)
            if case .deliver(packet) = verdict.outcome { delivered += 1 }
        }
        return delivered
    }
}
