// SPDX-License-Identifier: Apache-2.0
// One node of a handshake: the real control side, the real packet path and the real primitives on one thread, without a
// network. It keeps the account of its own processor time.
import VPNCore
import VPNCrypto

final class HandshakeNode {
    /// Datagrams to the other node.
    private(set) var outbox: [[UInt8]] = []
    /// Processor time of all inputs so far, with the jobs that they led to.
    private(set) var nanoseconds: UInt64 = 0
    private(set) var confirmed: SessionSummary?

    private var machine: NodeStateMachine
    private var plane = DataPlane()
    private let cryptography: any HandshakeCryptography
    private var buffer = [UInt8](repeating: 0, count: 4096)

    /// - Parameters:
    ///   - number: 1 or 2; the last part of this node's inner address. Node 1 calls node 2.
    init(
        number: UInt32, identity: any IdentitySigner, peer: IdentityPublicKeys, cryptography: any HandshakeCryptography,
        now: Instant
    ) {
        self.cryptography = cryptography
        let parameters = NodeParameters(
            offers: Offers(hasAESHardware: PacketCipher.hasAESHardware), mtu: UInt16(Limits.innerMTUOverIPv4),
            trust: TrustPolicy(trustsOnFirstUse: false, isStrict: false), descriptor: [], handshakesPerMinute: 0,
            maximumJobs: 200, rekeyThreshold: .seconds(1800), rekeyInterval: .seconds(3600),
            unixSeconds: 1_800_000_000)
        let other = PeerConfiguration(
            name: "other", peerID: peer.peerID, endpoint: number == 1 ? HandshakeNode.endpoint(2) : nil,
            allowedIPs: [IPPrefix(containing: IPAddress(v4: 0x0A4D_0000 + 3 - number), length: 32)])
        machine = NodeStateMachine(
            signer: identity, cryptography: cryptography, parameters: parameters,
            pins: [PinnedPeer(keys: peer, name: "other", origin: .operatorAdded)], peers: [other], now: now)
        drain()
    }

    static func endpoint(_ number: UInt32) -> Endpoint { Endpoint(v4: 0x0A63_0000 + number, port: 9000) }

    func takeOutbox() -> [[UInt8]] {
        defer { outbox.removeAll(keepingCapacity: true) }
        return outbox
    }

    func start(now: Instant) {
        account {
            machine.start(now: now)
            drain(now: now)
        }
    }

    func receive(_ datagram: [UInt8], from source: Endpoint, now: Instant) {
        account {
            buffer.replaceSubrange(0..<datagram.count, with: datagram)
            var span = buffer.mutableSpan
            let verdict = plane.inbound(&span, datagram: 0..<datagram.count, now: now)
            if let session = verdict.firstData { machine.firstDataReceived(session, now: now) }
            switch verdict.outcome {
            case .handshake: machine.receive(datagram, on: .udp(source), now: now)
            case .control(let session, let type, let range):
                machine.controlFrame(session, type, Array(buffer[range]), on: .udp(source), now: now)
            case .consumed: break
            case .deliver, .deliverReleased, .relay, .prohibited, .passOn, .violation, .drop:
                preconditionFailure("a handshake has no such datagram")
            }
            drain(now: now)
        }
    }

    private func account(_ body: () -> Void) {
        let start = Processor.threadNanoseconds
        body()
        nanoseconds += Processor.threadNanoseconds - start
    }

    /// Does what the machine asks for until it asks for nothing more; jobs run in place.
    private func drain(now: Instant = .origin) {
        while let action = machine.nextAction() {
            switch action {
            case .transmit(let datagram, _): outbox.append(datagram)
            case .run(let job): machine.jobFinished(job.perform(with: cryptography), now: now)
            case .dataPlane(let command): plane.apply(command)
            case .remember, .redeem: break
            case .emit(.sessionConfirmed(let summary)): confirmed = summary
            case .emit: break
            }
        }
    }
}
