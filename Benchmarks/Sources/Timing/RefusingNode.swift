// SPDX-License-Identifier: Apache-2.0
// A responder and what an attacker may change of a genuine S1 on its way there: each change is refused, in silence, by another check
// of §5 and §6. Offsets are those of docs/protocol.md.
import VPNCore
import VPNCrypto

/// The real control side and the real primitives on one thread, without a network.
final class RefusingNode {
    private var machine: NodeStateMachine
    private let cryptography = SystemCryptography()
    private var now: Instant
    /// Anything that goes out.
    private(set) var outbox: [[UInt8]] = []

    init(number: UInt32, identity: SoftwareIdentity, peer: IdentityPublicKeys, now: Instant) {
        self.now = now
        let parameters = NodeParameters(
            offers: Offers(hasAESHardware: PacketCipher.hasAESHardware), mtu: UInt16(Limits.innerMTUOverIPv4),
            trust: TrustPolicy(trustsOnFirstUse: false, isStrict: false), descriptor: [], handshakesPerMinute: 0,
            maximumJobs: 200, rekeyThreshold: .seconds(1800), rekeyInterval: .seconds(3600),
            unixSeconds: 1_800_000_000)
        let other = PeerConfiguration(
            name: "other", peerID: peer.peerID, endpoint: number == 1 ? Self.endpoint(2) : nil,
            allowedIPs: [IPPrefix(containing: IPAddress(v4: 0x0A4D_0000 + 3 - number), length: 32)])
        machine = NodeStateMachine(
            signer: identity, cryptography: cryptography, parameters: parameters,
            pins: [PinnedPeer(keys: peer, name: "other", origin: .operatorAdded)], peers: [other], now: now)
        drain()
    }

    static func endpoint(_ number: UInt32) -> Endpoint { Endpoint(v4: 0x0A63_0000 + number, port: 9000) }

    func takeOutbox() -> [[UInt8]] {
        defer { outbox = [] }
        return outbox
    }

    func start() {
        machine.start(now: now)
        drain()
    }

    func receive(_ datagrams: [[UInt8]], from number: UInt32) {
        for datagram in datagrams { machine.receive(datagram, on: .udp(Self.endpoint(number)), now: now) }
        drain()
    }

    /// Time passes: what was collected or refused is forgotten.
    func wait(_ span: TimeSpan) {
        now += span
        machine.timeout(now: now)
        drain()
    }

    private func drain() {
        while let action = machine.nextAction() {
            switch action {
            case .transmit(let datagram, _): outbox.append(datagram)
            case .run(let job): machine.jobFinished(job.perform(with: cryptography), now: now)
            case .dataPlane, .remember, .redeem, .emit: break
            }
        }
    }
}

/// A responder that has given a cookie, and the S1 under it that it has not seen yet.
struct WaitingResponder {
    let node: RefusingNode
    let fragments: [[UInt8]]
    /// Bytes of the message, without the zeros that fill its last fragment.
    let size: Int
    private let responder: PeerID

    init(_ initiator: SoftwareIdentity, _ responder: SoftwareIdentity) {
        let now = Instant(nanoseconds: 1_000_000_000)
        node = RefusingNode(number: 2, identity: responder, peer: initiator.publicKeys, now: now)
        let caller = RefusingNode(number: 1, identity: initiator, peer: responder.publicKeys, now: now)
        caller.start()
        node.receive(caller.takeOutbox(), from: 1)
        caller.receive(node.takeOutbox(), from: 2)
        fragments = caller.takeOutbox()
        self.responder = responder.publicKeys.peerID
        size = Int(fragments[0][18]) << 8 | Int(fragments[0][19])
        precondition(fragments.count > 1 && fragments.allSatisfy { $0[1] == 1 }, "no S1")
    }

    private static let overhead = 80

    /// The first fragment with one bit changed; what follows of it is not made good.
    func first(flipping offset: Int) -> [UInt8] {
        var fragment = fragments[0]
        fragment[offset] ^= 1
        return fragment
    }

    /// All fragments of the S1 with one bit changed, and hash and mac1 made good, as anybody can who knows the peer_id. `number` makes
    /// each of them another message.
    func whole(flipping offset: Int, number: UInt64) -> [[UInt8]] {
        var message = fragments.flatMap { $0[Self.overhead...] }
        message[offset] ^= 1
        // The nonce of S1: changed as well, so that none is a repeat.
        for place in 0..<8 { message[8 + place] = UInt8(truncatingIfNeeded: number >> (8 * place)) }
        let hash = Hash.sha256(Array(message.prefix(size)))
        let key = Hash.sha256(Labels.Cookie.mac1, responder.bytes)
        let chunk = fragments[0].count - Self.overhead
        return fragments.enumerated().map { index, fragment in
            var head = Array(fragment[0..<64])
            head.replaceSubrange(8..<16, with: hash[0..<8])
            return head + Hash.hmacSHA256(key: key, head)[0..<16] + message[index * chunk..<(index + 1) * chunk]
        }
    }
}
