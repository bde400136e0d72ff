// SPDX-License-Identifier: Apache-2.0
// Sealing and opening by the data planes of two workers, as a worker does it: a batch of packets out, a train in. And the same
// by the packet key alone, so that the cipher's share is known.

import VPNCore
import VPNCrypto

/// The two ends of one session, and a batch of packets that lie so that they are a train when they are sealed.
struct SessionStage {
    static let packets = 64
    private static let front = Limits.outerHeader + Limits.frameHeader

    let size: Int
    private let pristine: [UInt8]
    var slab: [UInt8]
    var a = DataPlane()
    var b = DataPlane()
    var now = Instant(nanoseconds: 1_000_000_000)

    var stride: Int { size + Limits.layerOverhead }
    var train: Train { Train(0..<SessionStage.packets * stride, segment: stride) }

    init(_ cipher: PacketCipher, _ family: IPFamily, size: Int) {
        self.size = size
        let packet = SamplePacket.make(family, .udp, size: size)
        let one =
            [UInt8](repeating: 0, count: SessionStage.front) + packet + [UInt8](repeating: 0, count: Limits.tag)
        pristine = (0..<SessionStage.packets).flatMap { _ in one }
        slab = pristine
        let atA = SessionStage.session(cipher, .initiator, own: 1, other: 2)
        let atB = SessionStage.session(cipher, .responder, own: 2, other: 1)
        a.apply(.routes(SessionStage.routes(family, to: 2)))
        b.apply(.routes(SessionStage.routes(family, to: 1)))
        a.apply(.activate(atA, .udp(Endpoint(v4: 0x0A63_0002, port: 9000))))
        b.apply(.activate(atB, .udp(Endpoint(v4: 0x0A63_0001, port: 9000))))
    }

    static func key(_ cipher: PacketCipher, _ fill: UInt32) -> KeyRatchet {
        KeyRatchet(
            cipher, key: Secret(copying: [UInt8](repeating: UInt8(fill), count: 32)),
            iv: Secret(copying: [UInt8](repeating: UInt8(fill), count: 12)))
    }

    private static func session(_ cipher: PacketCipher, _ role: SessionRole, own: UInt32, other: UInt32) -> Session {
        Session(
            id: [UInt8](repeating: 7, count: 16), localIndex: own, remoteIndex: other, peer: 0, role: role,
            cipher: cipher, sendKeys: key(cipher, own), receiveKeys: key(cipher, other), counterStart: 1000,
            isConfirmed: true, establishedAt: Instant(nanoseconds: 1_000_000_000))
    }

    private static func routes(_ family: IPFamily, to number: UInt32) -> RouteTable {
        var table = PrefixTable<PeerSlot>()
        table.insert(IPPrefix(containing: SamplePacket.address(family, number), length: family == .ipv4 ? 32 : 128), 0)
        return RouteTable(table)
    }

    /// Plaintext packets, a little later.
    mutating func reset() {
        now += .microseconds(50)
        SessionStage.copy(pristine, to: &slab)
    }

    private static func copy(_ source: [UInt8], to target: inout [UInt8]) {
        var span = target.mutableSpan
        for place in source.indices { span[place] = source[place] }
    }

    mutating func seal() -> Int { SessionStage.seal(&slab, &a.sender, stride, now) }
    mutating func open() -> Int { SessionStage.open(&slab, &b.receiver, train, now) }

    private static func seal(_ slab: inout [UInt8], _ plane: inout OutboundPlane, _ stride: Int, _ now: Instant) -> Int
    {
        var sealed = 0
        var span = slab.mutableSpan
        for place in 0..<packets {
            let packet = place * stride + front..<(place + 1) * stride - Limits.tag
            if case .transmit(let datagram, _, _) = plane.outbound(&span, packet: packet, now: now),
                datagram.count == stride
            {
                sealed += 1
            }
        }
        plane.settle()
        return sealed
    }

    private static func open(_ slab: inout [UInt8], _ plane: inout InboundPlane, _ train: Train, _ now: Instant) -> Int
    {
        var delivered = 0
        var span = slab.mutableSpan
        plane.begin(train)
        while let verdict = plane.next(&span, now: now) {
            if case .deliver(let packet) = verdict.outcome, packet.count == train.segment - Limits.layerOverhead {
                delivered += 1
            }
        }
        return delivered
    }
}

/// `OutboundPlane.outbound` for a batch, and its `settle`.
struct Outbound: Workload {
    let name: String
    private var stage: SessionStage
    let packets = SessionStage.packets

    init(_ cipher: PacketCipher, label: String, _ family: IPFamily, size: Int) {
        name = "outbound\(label)-\(family)-\(size)"
        stage = SessionStage(cipher, family, size: size)
    }

    mutating func prepare() { stage.reset() }
    mutating func run() -> Int { stage.seal() }
}

/// `InboundPlane.begin` and `next` for a train.
struct Inbound: Workload {
    let name: String
    private var stage: SessionStage
    let packets = SessionStage.packets

    init(_ cipher: PacketCipher, label: String, _ family: IPFamily, size: Int) {
        name = "inbound\(label)-\(family)-\(size)"
        stage = SessionStage(cipher, family, size: size)
    }

    mutating func prepare() {
        stage.reset()
        let sealed = stage.seal()
        precondition(sealed == packets, "packets went astray")
    }

    mutating func run() -> Int { stage.open() }
}

/// `PacketKey` alone, on datagrams of the same size.
struct Cipher: Workload, ~Copyable {
    let name: String
    let packets = SessionStage.packets
    private let opens: Bool
    private let stride: Int
    private let key: PacketKey
    private var slab: [UInt8]

    init(_ cipher: PacketCipher, opens: Bool, size: Int) {
        name = "cipher-\(opens ? "open" : "seal")-\(size)"
        self.opens = opens
        stride = size + Limits.layerOverhead
        var ratchet = SessionStage.key(cipher, 1)
        key = ratchet.next()
        slab = [UInt8](repeating: 3, count: stride * SessionStage.packets)
    }

    mutating func prepare() {
        if opens { _ = Cipher.seal(&slab, key, stride) }
    }

    mutating func run() -> Int { opens ? Cipher.open(&slab, key, stride) : Cipher.seal(&slab, key, stride) }

    private static func seal(_ slab: inout [UInt8], _ key: borrowing PacketKey, _ stride: Int) -> Int {
        var span = slab.mutableSpan
        for place in 0..<SessionStage.packets {
            key.seal(&span, range: place * stride..<(place + 1) * stride, counter: UInt64(place))
        }
        return SessionStage.packets
    }

    private static func open(_ slab: inout [UInt8], _ key: borrowing PacketKey, _ stride: Int) -> Int {
        var opened = 0
        var span = slab.mutableSpan
        for place in 0..<SessionStage.packets
        where key.open(&span, range: place * stride..<(place + 1) * stride, counter: UInt64(place)) {
            opened += 1
        }
        return opened
    }
}
