// SPDX-License-Identifier: Apache-2.0
// PROBE and PROBE_REPORT as frames that a peer, or somebody who replays one, can send: what is no answer changes nothing, and
// no question is answered by more than it took.

import Testing
import VPNCrypto

@testable import VPNCore

/// A control side whose frames a test can open and make up.
private final class ProbingNode {
    var machine: NodeStateMachine
    let endpoint: Endpoint
    private let cryptography: any HandshakeCryptography
    private var sessions: [UInt32: Session] = [:]
    /// What waits to be sent.
    var outbox: [[UInt8]] = []
    /// What the packet workers were told.
    private(set) var limits: [Int] = []
    /// Where it was told that it is seen.
    private(set) var views: [(Endpoint, UInt64)] = []

    init(
        _ name: String, _ endpoint: Endpoint, identity: any IdentitySigner, peer: any IdentitySigner,
        calls: Endpoint?, cryptography: any HandshakeCryptography, now: Instant
    ) {
        self.endpoint = endpoint
        self.cryptography = cryptography
        let parameters = NodeParameters(
            offers: Offers(hasAESHardware: true), mtu: 1436,
            trust: TrustPolicy(trustsOnFirstUse: false, isStrict: false), descriptor: [], handshakesPerMinute: 0,
            maximumJobs: 10, rekeyThreshold: .seconds(1800), rekeyInterval: .seconds(3600), unixSeconds: 1_800_000_000)
        let prefix = IPPrefix(containing: IPAddress(v4: 0x0A4D_0001), length: 32)
        machine = NodeStateMachine(
            signer: identity, cryptography: cryptography, parameters: parameters,
            pins: [PinnedPeer(keys: peer.publicKeys, name: "peer", origin: .operatorAdded)],
            peers: [
                PeerConfiguration(
                    name: "peer", peerID: peer.publicKeys.peerID, endpoint: calls, allowedIPs: [prefix],
                    keepaliveSeconds: 0)
            ], now: now)
    }

    /// The session that it sends by.
    var session: Session? { machine.peers[0]?.ring.current?.session }
    var search: PathMTUSearch? { machine.peers[0]?.path?.search }

    func drain(_ now: Instant) {
        while let action = machine.nextAction() {
            switch action {
            case .transmit(let datagram, _): outbox.append(datagram)
            case .redeem(let claim): machine.settle(claim, .refused(.unknown), now: now)
            case .run(let job): machine.jobFinished(job.perform(with: cryptography), now: now)
            case .dataPlane(.install(let session)), .dataPlane(.activate(let session, _)):
                sessions[session.localIndex] = session
            case .dataPlane(.limit(_, let mtu)): limits.append(mtu)
            case .emit(.viewed(_, _, let endpoint, let time)): views.append((endpoint, time))
            case .dataPlane, .remember, .emit: break
            }
        }
    }

    func receive(_ datagram: [UInt8], from source: Endpoint, now: Instant) {
        guard let header = OuterHeader(datagram) else { return }
        if !header.type.isData {
            machine.receive(datagram, on: .udp(source), now: now)
        } else if let session = sessions[header.receiverIndex],
            case .frame(let type, let payload) = session.openFrame(datagram, now: now)
        {
            if session.markConfirmed() { machine.firstDataReceived(session, now: now) }
            if type != .ip && type != .pad { machine.controlFrame(session, type, payload, on: .udp(source), now: now) }
        }
        drain(now)
    }

    /// A control frame, as the packet workers report one.
    func take(_ type: FrameType, _ payload: [UInt8], _ now: Instant) {
        guard let session else { return fail("no session") }
        machine.controlFrame(session, type, payload, on: .udp(endpoint), now: now)
        drain(now)
    }
}

@Suite struct ProbeTests {
    /// Two nodes with a session, after a handshake during which no probe arrived; and the probes that the first one sent.
    private func connect(_ primitives: Primitives, seed: UInt64) throws -> (ProbingNode, ProbingNode, [[UInt8]]) {
        let (now, identities) = (Fixture.now, Scenario.identities(seed, primitives))
        let a = ProbingNode(
            "a", Scenario.aliceEndpoint, identity: identities[0], peer: identities[1], calls: Scenario.bobEndpoint,
            cryptography: Scenario.cryptography(seed, primitives), now: now)
        let b = ProbingNode(
            "b", Scenario.bobEndpoint, identity: identities[1], peer: identities[0], calls: nil,
            cryptography: Scenario.cryptography(seed &+ 1000, primitives), now: now)
        a.machine.start(now: now)
        a.drain(now)
        b.drain(now)
        var probes: [[UInt8]] = []
        for _ in 0..<50 {
            for (sender, receiver) in [(a, b), (b, a)] {
                let datagrams = sender.outbox
                sender.outbox = []
                for datagram in datagrams {
                    let isProbe = datagram.type?.isData == true && datagram.count > 1200
                    if isProbe && sender === a { probes.append(datagram) }
                    if !isProbe { receiver.receive(datagram, from: sender.endpoint, now: now) }
                }
            }
        }
        try #require(a.session != nil && b.session != nil)
        try #require(!probes.isEmpty)
        return (a, b, probes)
    }

    @Test(arguments: Primitives.allCases) func reportsThatAreNone(primitives: Primitives) throws {
        let (a, b, probes) = try connect(primitives, seed: 1)
        let limits = a.limits
        var unknown: UInt64 = 0
        var malformed: UInt64 = 0
        for probe in probes {
            guard case .frame(.probe, let payload)? = b.session?.openFrame(probe, now: Fixture.now) else {
                return fail("no probe")
            }
            // The datagram is as long as one with a packet of the size that it asks about.
            let message = try #require(ProbeMessage(payload))
            #expect(probe.count == Int(message.packet) + Limits.layerOverhead)
            for place in 2..<12 {
                a.take(.probeReport, payload.flipping(place, mask: 0x04), Fixture.now)
                unknown += 1
            }
            var bad = (0..<12).map { Array(payload.prefix($0)) }
            bad += [payload + [0], payload + payload, payload.flipping(0), payload.flipping(1, mask: 0x80)]
            for frame in bad {
                a.take(.probeReport, frame, Fixture.now)
                malformed += 1
            }
            #expect(a.machine.drops[.probeUnknown] == unknown && a.machine.drops[.probeMalformed] == malformed)
        }
        #expect(a.limits == limits && a.search?.current == 1436 && a.outbox.isEmpty)
        // A probe that comes again is a replay, and not answered either.
        #expect(b.session?.openFrame(probes[0], now: Fixture.now) == .drop(.replayDuplicate))
    }

    /// The right answer is taken once.
    @Test(arguments: Primitives.allCases) func theRightReportIsTakenOnce(primitives: Primitives) throws {
        let (a, b, probes) = try connect(primitives, seed: 2)
        let payloads = probes.compactMap { probe -> [UInt8]? in
            guard case .frame(.probe, let payload)? = b.session?.openFrame(probe, now: Fixture.now) else { return nil }
            return payload
        }
        #expect(payloads.count == probes.count)
        // The smallest first: the survey goes on after it.
        let smallest = try #require(payloads.min { $0.u16(at: 2) < $1.u16(at: 2) })
        a.take(.probeReport, smallest, Fixture.now)
        #expect(a.machine.drops[.probeUnknown] == 0)
        a.take(.probeReport, smallest, Fixture.now)
        #expect(a.machine.drops[.probeUnknown] == 1 && a.machine.drops[.probeMalformed] == 0)
        #expect(a.limits.allSatisfy { $0 == 1436 })
    }

    /// Where a question came from goes back, once, and to whoever asked alone.
    @Test(arguments: Primitives.allCases) func viewsAreTold(primitives: Primitives) throws {
        let (a, b, _) = try connect(primitives, seed: 4)
        let seen = Endpoint(v4: 0xCB00_7109, port: 40_000)
        for node in [a, b] { node.outbox = [] }
        let isAsked = a.machine.askView(0, now: Fixture.now)
        #expect(isAsked)
        a.drain(Fixture.now)
        let question = try #require(a.outbox.first)
        a.outbox = []
        b.receive(question, from: seen, now: Fixture.now)
        // The carrier of the session stays as it is until that is proven; a challenge of the new one may go beside.
        let answers = b.outbox.filter { $0.count == question.count }
        b.outbox = []
        let answer = try #require(answers.first { $0.type?.isData == true })
        a.receive(answer, from: b.endpoint, now: Fixture.now)
        #expect(a.views.count == 1 && a.views.first?.0 == seen && a.views.first?.1 == 1_800_000_000)
        // Nobody has asked again.
        let payload = ViewMessage(nonce: 7, seen: seen, unixSeconds: 1).encoded
        a.take(.probeReport, payload, Fixture.now)
        #expect(a.machine.drops[.probeUnknown] == 1 && a.views.count == 1)
        // What is no answer, and what is no question.
        let drops = a.machine.drops[.probeMalformed]
        var bad = (1..<38).map { Array(payload.prefix($0)) }
        bad += [payload + [0], payload.flipping(1), payload.flipping(3), ViewMessage(nonce: 7).encoded]
        for frame in bad { a.take(.probeReport, frame, Fixture.now) }
        #expect(a.machine.drops[.probeMalformed] == drops + UInt64(bad.count) && a.views.count == 1)
        let good = ViewMessage(nonce: 7).encoded
        let before = b.machine.drops[.probeMalformed]
        let wrong = [
            payload, good + [0], Array(good.dropLast()), good.flipping(2), good.flipping(28), good.flipping(37),
        ]
        for frame in wrong { b.take(.probe, frame, Fixture.now) }
        #expect(b.outbox.isEmpty && b.machine.drops[.probeMalformed] == before + UInt64(wrong.count))
        // No longer than the question.
        b.take(.probe, good, Fixture.now)
        #expect(b.outbox.count == 1 && b.outbox[0].count == Limits.layerOverhead + ViewMessage.size)
        // A circuit has no place.
        if let session = b.session {
            b.machine.controlFrame(
                session, .probe, good, on: .circuit(CircuitPlace(outer: 0, id: 5)), now: Fixture.now)
            b.drain(Fixture.now)
            #expect(b.outbox.count == 1)
        }
    }

    @Test(arguments: Primitives.allCases) func aFloodOfProbesIsAnsweredByNoMore(primitives: Primitives) throws {
        let (_, b, _) = try connect(primitives, seed: 3)
        let session = try #require(b.session)
        let least = Limits.layerOverhead + ProbeMessage.size
        let before = session.statistics.packetsOut
        b.outbox = []
        for number in 0..<5000 {
            let message = ProbeMessage(packet: number % 65_536, nonce: UInt64(number))
            b.take(.probe, message.encoded, Fixture.now)
            // One question, one answer, as long as the shortest question there is.
            #expect(b.outbox.count == 1 && b.outbox.first?.count == least)
            b.outbox = []
        }
        #expect(session.statistics.packetsOut - before == 5000)
        // What is no question has no answer, and leaves no trace but a count.
        let good = ProbeMessage(packet: 1000, nonce: 5).encoded
        var bad = (0..<12).map { Array(good.prefix($0)) }
        bad += [good + [0], good.flipping(0), good.flipping(1), [UInt8](repeating: 0, count: 1400)]
        for frame in bad { b.take(.probe, frame, Fixture.now) }
        #expect(b.outbox.isEmpty && b.machine.drops[.probeMalformed] == UInt64(bad.count))
        #expect(b.session === session)
    }
}

extension [UInt8] {
    fileprivate var type: DatagramType? { count > 1 ? DatagramType(rawValue: self[1]) : nil }
}
