// SPDX-License-Identifier: Apache-2.0
// Two nodes and a network between them, from one seed: what most tests of the core start with.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

/// Which primitives a run uses. Every suite runs on both: the stand-in for breadth, the real ones for truth.
enum Primitives: String, CaseIterable, Sendable {
    case rehearsal, real
}

/// Real identities are dear to make; tests share a few.
enum RealIdentities {
    static let all: [SoftwareIdentity] = (0..<4).map { _ in
        do { return try SoftwareIdentity() } catch { preconditionFailure("no identity: \(error)") }
    }
}

struct NodeOptions {
    var trust = TrustPolicy(trustsOnFirstUse: false, isStrict: false)
    var knowsPeer = true
    var callsPeer = true
    var namesPeer = true
    var handshakesPerMinute = 0
    var maximumJobs = 200
    var rekeyThreshold = TimeSpan.seconds(1800)
    var rekeyInterval = TimeSpan.seconds(3600)
    var rekeyBytes: UInt64?
    var rekeyPackets: UInt64?
    var keepaliveSeconds: UInt16 = 0
    var hasAESHardware = true
    var isStealthy = false
    var padding = PaddingPolicy.none
    var coverBytesPerSecond = 0
    var presharedKey: PresharedKey?
    var quilt: QuiltConfiguration?
    var unixSeconds: UInt64 = 1_800_000_000
    /// `allow_partial` of the other's pin.
    var allowsPartial = false
}

/// Alice calls Bob unless told otherwise. Alice is 10.0.0.1 with 10.77.0.1 inside, Bob 10.0.0.2 with 10.77.0.2.
final class Scenario {
    let network: VirtualNetwork
    let alice: VirtualHost
    let bob: VirtualHost
    let seed: UInt64
    let primitives: Primitives

    static let aliceEndpoint = Endpoint(v4: 0x0A00_0001, port: 9000)
    static let bobEndpoint = Endpoint(v4: 0x0A00_0002, port: 9000)

    init(
        seed: UInt64, primitives: Primitives = .rehearsal, conditions: LinkConditions = LinkConditions(),
        alice aliceOptions: NodeOptions = NodeOptions(), bob bobOptions: NodeOptions = Scenario.answering,
        endpoints: (alice: Endpoint, bob: Endpoint) = (aliceEndpoint, bobEndpoint), starting: Bool = true,
        intervene: ((VirtualDatagram) -> VirtualNetwork.Intervention)? = nil
    ) {
        self.seed = seed
        self.primitives = primitives
        network = VirtualNetwork(seed: seed)
        network.conditions = conditions
        network.intervene = intervene
        let identities = Scenario.identities(seed, primitives)
        alice = Scenario.host(
            "alice", endpoints.alice, identities[0], peer: identities[1], peerEndpoint: endpoints.bob,
            aliceOptions, seed: seed &* 2, primitives, now: network.now)
        bob = Scenario.host(
            "bob", endpoints.bob, identities[1], peer: identities[0], peerEndpoint: endpoints.alice,
            bobOptions, seed: seed &* 2 &+ 1, primitives, now: network.now)
        if starting {
            network.attach(bob)
            network.attach(alice)
        }
    }

    /// A node that is called and calls nobody.
    static var answering: NodeOptions {
        var options = NodeOptions()
        options.callsPeer = false
        return options
    }

    static func identities(_ seed: UInt64, _ primitives: Primitives) -> [any IdentitySigner] {
        switch primitives {
        case .rehearsal: [RehearsalIdentity(seed: seed &* 3), RehearsalIdentity(seed: seed &* 3 &+ 1)]
        case .real: [RealIdentities.all[0], RealIdentities.all[1]]
        }
    }

    static func cryptography(_ seed: UInt64, _ primitives: Primitives) -> any HandshakeCryptography {
        switch primitives {
        case .rehearsal: RehearsalCryptography(seed: seed)
        case .real: SystemCryptography()
        }
    }

    static func host(
        _ name: String, _ endpoint: Endpoint, _ identity: any IdentitySigner, peer: any IdentitySigner,
        peerEndpoint: Endpoint, _ options: NodeOptions, seed: UInt64, _ primitives: Primitives, now: Instant
    ) -> VirtualHost {
        let cryptography = cryptography(seed, primitives)
        let descriptor = try? Descriptor.make(
            signer: identity, nickname: name, notBefore: 0, notAfter: .max, serial: 1)
        var parameters = NodeParameters(
            offers: Offers(hasAESHardware: options.hasAESHardware), mtu: 1436, trust: options.trust,
            descriptor: descriptor?.encoded ?? [], handshakesPerMinute: options.handshakesPerMinute,
            maximumJobs: options.maximumJobs, rekeyThreshold: options.rekeyThreshold,
            rekeyInterval: options.rekeyInterval, unixSeconds: options.unixSeconds)
        if let bytes = options.rekeyBytes { parameters.rekeyBytes = bytes }
        if let packets = options.rekeyPackets { parameters.rekeyPackets = packets }
        parameters.isStealthy = options.isStealthy
        parameters.padding = options.padding
        parameters.coverBytesPerSecond = options.coverBytesPerSecond
        let peerName = name == "alice" ? "bob" : "alice"
        let pins =
            options.knowsPeer
            ? [
                PinnedPeer(
                    keys: peer.publicKeys, name: peerName, origin: .operatorAdded, allowsPartial: options.allowsPartial)
            ] : []
        let last: UInt32 = name == "alice" ? 2 : 1
        let peers =
            options.namesPeer || options.callsPeer
            ? [
                PeerConfiguration(
                    name: peerName, peerID: options.namesPeer ? peer.publicKeys.peerID : nil,
                    endpoint: options.callsPeer ? peerEndpoint : nil,
                    allowedIPs: [
                        IPPrefix(containing: IPAddress(v4: 0x0A4D_0000 | last), length: 32),
                        IPPrefix(containing: IPAddress(v6: UInt128(0xFD77) << 112 | UInt128(last)), length: 128),
                    ],
                    keepaliveSeconds: options.keepaliveSeconds, presharedKey: options.presharedKey,
                    quilt: options.quilt)
            ] : []
        return VirtualHost(
            name: name, endpoint: endpoint, identity: identity, cryptography: cryptography, parameters: parameters,
            pins: pins, peers: peers, now: now)
    }

    /// Runs until both ends hold a session that has carried data.
    @discardableResult
    func connect(within limit: TimeSpan = .seconds(90)) -> Bool {
        network.run(for: limit) { isConnected }
    }

    var isConnected: Bool { !alice.confirmedSessions.isEmpty && !bob.confirmedSessions.isEmpty }

    /// Whether an inner packet crosses each way within two seconds.
    func carriesTraffic(_ tag: UInt8 = 1) -> Bool {
        let there = Scenario.packet(from: 1, to: 2, tag: tag)
        let back = Scenario.packet(from: 2, to: 1, tag: tag)
        network.sendInner(there, from: alice)
        network.sendInner(back, from: bob)
        return network.run(for: .seconds(2)) {
            bob.delivered.contains(there) && alice.delivered.contains(back)
        }
    }

    /// A minimal IPv4 packet 10.77.0.`from` → 10.77.0.`to`.
    static func packet(from: UInt8, to: UInt8, tag: UInt8, count: Int = 64) -> [UInt8] {
        var bytes: [UInt8] = [0x45, 0, UInt8(count >> 8), UInt8(count & 0xFF), 0, 0, 0, 0, 64, 17, 0, 0]
        bytes += [10, 77, 0, from, 10, 77, 0, to]
        bytes += [UInt8](repeating: tag, count: count - 20)
        return bytes
    }

    func describe() -> String {
        "seed \(seed) (\(primitives.rawValue)): alice \(alice.footprint) drops \(alice.controlDrops.nonZero) "
            + "\(alice.dataPlaneDrops.nonZero); bob \(bob.footprint) drops \(bob.controlDrops.nonZero) "
            + "\(bob.dataPlaneDrops.nonZero)"
    }
}

extension VirtualDatagram {
    var type: DatagramType? { bytes.count > 1 ? DatagramType(rawValue: bytes[1]) : nil }
}
