// SPDX-License-Identifier: Apache-2.0
// Two data planes with fixed keys and hand-made IP packets: what the tests of this directory stand on.

import Testing
import VPNCore
import VPNCrypto

enum Fixture {
    static let now = Instant(nanoseconds: 1_000_000_000)
    static let carrierToB = Carrier.udp(Endpoint(v4: 0xC633_6402, port: 9000))
    static let carrierToA = Carrier.udp(Endpoint(v4: 0xC633_6401, port: 9000))

    /// The two ends of one session. Each end knows its peer by slot 0 unless told otherwise.
    static func sessionPair(
        seed: UInt8 = 1, indexA: UInt32 = 0xA000_0001, indexB: UInt32 = 0xB000_0001, slotAtA: Int = 0,
        slotAtB: Int = 0, counterStart: UInt64 = 0x1234_5678, isConfirmedAtB: Bool = false,
        cipher: PacketCipher = .aes256GCM
    ) -> (Session, Session) {
        func key(_ direction: UInt8) -> KeyRatchet {
            KeyRatchet(
                cipher, key: Secret(copying: [UInt8](repeating: seed &+ direction, count: 32)),
                iv: Secret(copying: [UInt8](repeating: seed ^ direction, count: 12)))
        }
        let id = [UInt8](repeating: seed, count: 16)
        let a = Session(
            id: id, localIndex: indexA, remoteIndex: indexB, peer: slotAtA, role: .initiator, cipher: cipher,
            sendKeys: key(100), receiveKeys: key(200), counterStart: counterStart, isConfirmed: true, establishedAt: now
        )
        let b = Session(
            id: id, localIndex: indexB, remoteIndex: indexA, peer: slotAtB, role: .responder, cipher: cipher,
            sendKeys: key(200), receiveKeys: key(100), counterStart: counterStart, isConfirmed: isConfirmedAtB,
            establishedAt: now)
        return (a, b)
    }

    static func routes(_ prefixes: [(String, Int)]) throws -> RouteTable {
        var table = PrefixTable<PeerSlot>()
        for (text, slot) in prefixes { table.insert(try IPPrefix(text), slot) }
        return RouteTable(table)
    }

    /// An IPv4 or IPv6 packet with right lengths; checksums play no part here.
    static func packet(from source: String, to destination: String, payload: Int = 20) -> [UInt8] {
        let (from, to) = (IPAddress(source)!, IPAddress(destination)!)
        let content = (0..<payload).map { UInt8(truncatingIfNeeded: $0 &* 7) }
        switch from.family {
        case .v4:
            let total = 20 + payload
            let head: [UInt8] = [0x45, 0, UInt8(total >> 8), UInt8(total & 0xFF), 0, 0, 0, 0, 64, 17, 0, 0]
            return head + from.bytes + to.bytes + content
        case .v6:
            let head: [UInt8] = [0x60, 0, 0, 0, UInt8(payload >> 8), UInt8(payload & 0xFF), 17, 64]
            return head + from.bytes + to.bytes + content
        }
    }
}

/// What a plane made of a datagram, with its bytes copied out.
enum Outcome: Equatable {
    case deliver([UInt8])
    case control(FrameType, [UInt8])
    case handshake(DatagramType)
    case relay([UInt8], to: PeerSlot)
    case consumed
    case drop(DropReason)
    case violation(DropReason)
}

/// One end: a data plane and a buffer.
struct TestEnd {
    var plane: DataPlane
    var firstData: [Session] = []

    init(padding: PaddingPolicy = .none, mtu: Int = 1500) { plane = DataPlane(padding: padding, mtu: mtu) }

    /// Sends an inner packet; the datagram, or nil with the verdict.
    mutating func send(_ packet: [UInt8], now: Instant = Fixture.now) -> (datagram: [UInt8]?, verdict: OutboundVerdict)
    {
        var bytes = [UInt8](repeating: 0xEE, count: Limits.headroom) + packet
        bytes += [UInt8](repeating: 0xEE, count: max(0, 1500 - packet.count) + Limits.tailroom)
        var span = bytes.mutableSpan
        let range = Limits.headroom..<Limits.headroom + packet.count
        let verdict = plane.outbound(&span, packet: range, now: now)
        guard case .transmit(let datagram, _, _) = verdict else { return (nil, verdict) }
        return (Array(bytes[datagram]), verdict)
    }

    /// Takes a datagram that lies somewhere inside a larger buffer.
    mutating func receive(
        _ datagram: [UInt8], congestion: CongestionMark = .none, now: Instant = Fixture.now
    ) -> Outcome {
        var bytes = [UInt8](repeating: 0xDD, count: 32) + datagram + [UInt8](repeating: 0xDD, count: 32)
        var span = bytes.mutableSpan
        let verdict = plane.inbound(
            &span, datagram: 32..<32 + datagram.count, congestion: congestion, now: now)
        if verdict.hasNews, let session = plane.receiver.takeNews().firstData { firstData.append(session) }
        switch verdict.outcome {
        case .deliver(let range): return .deliver(Array(bytes[range]))
        case .control(_, let type, let range): return .control(type, Array(bytes[range]))
        case .handshake(let range): return .handshake(DatagramType(rawValue: bytes[range.lowerBound + 1])!)
        case .relay(let range, let slot): return .relay(Array(bytes[range]), to: slot)
        case .consumed, .prohibited, .deliverReleased, .passOn: return .consumed
        case .drop(let reason): return .drop(reason)
        case .violation(_, let reason): return .violation(reason)
        }
    }

    /// All packets that waited and can go.
    mutating func drainStaged(now: Instant = Fixture.now) -> [[UInt8]] {
        var datagrams: [[UInt8]] = []
        while true {
            var bytes = [UInt8](repeating: 0, count: 4096)
            var span = bytes.mutableSpan
            guard let (range, _, _) = plane.sender.nextStaged(into: &span, now: now) else { return datagrams }
            datagrams.append(Array(bytes[range]))
        }
    }
}

/// Two ends with one session: A is 10.77.0.1 and fd77::1, B is 10.77.0.2 and fd77::2.
struct TestPair {
    var a = TestEnd()
    var b = TestEnd()
    let sessionA: Session
    let sessionB: Session

    init(cipher: PacketCipher = .aes256GCM) throws {
        (sessionA, sessionB) = Fixture.sessionPair(cipher: cipher)
        a.plane.apply(.routes(try Fixture.routes([("10.77.0.2/32", 0), ("fd77::2/128", 0)])))
        b.plane.apply(.routes(try Fixture.routes([("10.77.0.1/32", 0), ("fd77::1/128", 0)])))
        a.plane.apply(.activate(sessionA, Fixture.carrierToB))
        b.plane.apply(.activate(sessionB, Fixture.carrierToA))
    }
}

/// Records a failure at the place of the call; returns nothing, so that `return fail(…)` leaves a test.
func fail(_ what: Comment, sourceLocation: SourceLocation = #_sourceLocation) {
    Issue.record(what, sourceLocation: sourceLocation)
}
