// SPDX-License-Identifier: Apache-2.0
// A client whose circuits choose their paths among relays that they know by descriptors alone.
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

/// A client that knows seven relays by their descriptors, of which 5 and 6 are exits.
final class ChoiceScenario {
    let network: VirtualNetwork
    let client: VirtualHost
    let relays: [VirtualHost]
    static let behind = IPPrefix(containing: IPAddress(v4: 0x0A63_0009), length: 32)

    init(seed: UInt64, count: Int = 7, exits: Set<Int> = [5, 6], padding: PaddingPolicy = .none) throws {
        let network = VirtualNetwork(seed: seed)
        self.network = network
        let descriptors = try (1...count).map {
            try DirectoryScene.descriptor($0, roles: exits.contains($0) ? [.relay, .exit] : [.relay])
        }
        var parameters = NodeParameters(
            offers: Offers(hasAESHardware: true), mtu: 1436,
            trust: TrustPolicy(trustsOnFirstUse: false, isStrict: false),
            descriptor: [], handshakesPerMinute: 0, maximumJobs: 200, rekeyThreshold: .seconds(1800),
            rekeyInterval: .seconds(3600), unixSeconds: DirectoryScene.unix)
        parameters.padding = padding
        func host(_ name: String, _ identity: Int, _ endpoint: Endpoint, pins: [PinnedPeer] = []) -> VirtualHost {
            VirtualHost(
                name: name, endpoint: endpoint, identity: DirectoryScene.identity(identity),
                cryptography: RehearsalCryptography(seed: seed &* 31 &+ UInt64(identity)), parameters: parameters,
                pins: pins, now: network.now)
        }
        let client = host("client", 100, Endpoint(v4: 0x0A00_0001, port: 9000))
        self.client = client
        // Relays let this client in as their operators would by a pin.
        let pin = PinnedPeer(keys: DirectoryScene.identity(100).publicKeys, name: "client", origin: .operatorAdded)
        relays = (1...count).map { host("r\($0)", $0, GossipScenario.endpoint($0), pins: [pin]) }
        client.addRelays(descriptors.map { ($0, .imported) }, now: network.now)
        network.attach(client)
        for relay in relays {
            relay.addRelays(
                descriptors.filter { $0.keys.peerID != relay.identity.publicKeys.peerID }.map { ($0, .imported) },
                now: network.now)
            network.attach(relay)
            network.enableRelay(RelayPolicy(), of: relay)
        }
    }

    func build(_ wish: PathWish, name: String = "home") throws -> (number: Int, path: [PeerID]) {
        let path = try client.choosePath(wish, now: network.now)
        let request = CircuitRequest(
            name: name, hops: path, allowedIPs: wish.hops == 1 ? [] : [Self.behind], wish: wish)
        return (try network.build(request, at: client), path)
    }

    func path(_ number: Int) -> [PeerID]? { client.circuits(now: network.now).first { $0.number == number }?.hops }

    func isReady(_ number: Int) -> Bool {
        client.circuits(now: network.now).contains { $0.number == number && $0.state == .ready }
    }

    /// The first relay of a path says that it is over.
    func endByGuard(_ path: CircuitPath) {
        guard let relay = relays.first(where: { $0.identity.publicKeys.peerID == path.hops[0] }),
            let slot = relay.machine.slotsByIdentity[client.identity.publicKeys.peerID], let first = path.places.first
        else { return }
        network.say(.end, EndMessage(id: first.id, reason: .lost).encoded, to: slot, from: relay)
    }

    func detach(_ id: PeerID) { network.detach(relays.first { $0.identity.publicKeys.peerID == id }!) }
}
