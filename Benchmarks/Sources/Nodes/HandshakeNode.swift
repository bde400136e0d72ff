// SPDX-License-Identifier: Apache-2.0
// One node of a handshake: the real control side, the real packet path and the real primitives on one thread, without a
// network. It keeps the account of its own processor time.
public import VPNCore
public import VPNCrypto

public final class HandshakeNode {
    /// Datagrams to the other node.
    public private(set) var outbox: [[UInt8]] = []
    /// Processor time of all inputs so far, with the jobs that they led to.
    public private(set) var nanoseconds: UInt64 = 0
    /// The last session that the other node proved to have; nil where it has ended.
    public private(set) var confirmed: SessionSummary?

    private var machine: NodeStateMachine
    private var plane = DataPlane()
    private let cryptography: any HandshakeCryptography
    private var buffer = [UInt8](repeating: 0, count: 4096)

    /// - Parameters:
    ///   - peer: whom it knows, alone.
    ///   - address: the peer's inner address, IPv4.
    ///   - endpoint: where it calls the peer; nil = it is called.
    public init(
        identity: any IdentitySigner, peer: IdentityPublicKeys, address: UInt32, endpoint: Endpoint?,
        cryptography: any HandshakeCryptography, now: Instant
    ) {
        self.cryptography = cryptography
        let parameters = NodeParameters(
            offers: Offers(hasAESHardware: PacketCipher.hasAESHardware), mtu: UInt16(Limits.innerMTUOverIPv4),
            trust: TrustPolicy(trustsOnFirstUse: false, isStrict: false), descriptor: [], handshakesPerMinute: 0,
            maximumJobs: 200, rekeyThreshold: .seconds(1800), rekeyInterval: .seconds(3600),
            unixSeconds: 1_800_000_000)
        let other = PeerConfiguration(
            name: "other", peerID: peer.peerID, endpoint: endpoint,
            allowedIPs: [IPPrefix(containing: IPAddress(v4: address), length: 32)])
        machine = NodeStateMachine(
            signer: identity, cryptography: cryptography, parameters: parameters,
            pins: [PinnedPeer(keys: peer, name: "other", origin: .operatorAdded)], peers: [other], now: now)
        drain()
    }

    /// When ``timeout(now:)`` has something to do.
    public var nextDeadline: Instant { machine.nextDeadline }

    public func takeOutbox() -> [[UInt8]] {
        defer { outbox.removeAll(keepingCapacity: true) }
        return outbox
    }

    public func start(now: Instant) {
        account {
            machine.start(now: now)
            drain(now: now)
        }
    }

    public func receive(_ datagram: [UInt8], from source: Endpoint, now: Instant) {
        account {
            buffer.replaceSubrange(0..<datagram.count, with: datagram)
            var span = buffer.mutableSpan
            let verdict = plane.inbound(&span, datagram: 0..<datagram.count, now: now)
            if verdict.hasNews, let session = plane.receiver.takeNews().firstData {
                machine.firstDataReceived(session, now: now)
            }
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

    public func timeout(now: Instant) {
        account {
            machine.timeout(now: now)
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
            case .emit(.sessionEnded(let summary, _)):
                if summary.sessionID == confirmed?.sessionID { confirmed = nil }
            case .emit: break
            }
        }
    }
}
