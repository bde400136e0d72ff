// SPDX-License-Identifier: Apache-2.0
// What a relay refuses (§8): to sessions of one signature, to guests, to whoever asks too much; and what stays when one
// of its links goes.
import Synchronization
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

/// Signs with half of its keys from some time on.
private final class TurningSigner: IdentitySigner {
    let base: RehearsalIdentity
    let isSpoilt: Atomic<Bool>

    init(_ base: RehearsalIdentity, isSpoilt: Bool) {
        self.base = base
        self.isSpoilt = Atomic(isSpoilt)
    }

    var publicKeys: IdentityPublicKeys { base.publicKeys }

    func decapsulate(_ ciphertext: [UInt8]) throws -> Secret { try base.decapsulate(ciphertext) }

    func sign(_ hash: [UInt8], role: SignatureRole) throws -> [UInt8] {
        let isSpoilt = isSpoilt.load(ordering: .relaxed)
        return try SpoiltSigner(base: base, fault: isSpoilt ? .badEd25519 : .none).sign(hash, role: role)
    }
}

/// A client and two relays in a row, of whom one signs with half of its keys, which the others let pass (§2).
private final class Row {
    let network: VirtualNetwork
    let client: VirtualHost
    let relay: VirtualHost
    let exit: VirtualHost
    private let signers: [TurningSigner]

    /// - Parameter bad: who it is, from 0 on; nil: nobody yet.
    init(seed: UInt64, bad: Int?) {
        let network = VirtualNetwork(seed: seed)
        let endpoints = [CircuitScenario.clientEndpoint, CircuitScenario.endpoint(1), CircuitScenario.endpoint(2)]
        let identities = (0..<3).map { place in
            TurningSigner(RehearsalIdentity(seed: seed &* 31 &+ UInt64(place)), isSpoilt: place == bad)
        }
        signers = identities
        let pins = identities.enumerated().map { place, identity in
            PinnedPeer(keys: identity.publicKeys, name: "h\(place)", origin: .operatorAdded, allowsPartial: true)
        }
        let parameters = NodeParameters(
            offers: Offers(hasAESHardware: true), mtu: 1436,
            trust: TrustPolicy(trustsOnFirstUse: false, isStrict: false, requiresBothSignatures: false),
            descriptor: [], handshakesPerMinute: 0, maximumJobs: 200, rekeyThreshold: .seconds(1800),
            rekeyInterval: .seconds(3600), unixSeconds: DirectoryScene.unix)
        let peers: [[PeerConfiguration]] = [
            [PeerConfiguration(name: "h1", peerID: pins[1].peerID, endpoint: endpoints[1], allowedIPs: [])],
            [PeerConfiguration(name: "h0", peerID: pins[0].peerID, endpoint: nil, allowedIPs: [])], [],
        ]
        let hosts = (0..<3).map { place in
            VirtualHost(
                name: "h\(place)", endpoint: endpoints[place], identity: identities[place],
                cryptography: RehearsalCryptography(seed: seed &* 97 &+ UInt64(place)), parameters: parameters,
                pins: pins.filter { $0.peerID != pins[place].peerID }, peers: peers[place], now: network.now)
        }
        (self.network, client, relay, exit) = (network, hosts[0], hosts[1], hosts[2])
        var policy = RelayPolicy()
        for place in 1...2 { policy.directory[pins[place].peerID] = endpoints[place] }
        for host in hosts.reversed() { network.attach(host) }
        for host in hosts.dropFirst() { network.enableRelay(policy, of: host) }
        network.run(for: .seconds(3))
    }

    /// Asks for a circuit through both.
    func build(_ name: String) throws {
        let hops = [relay, exit].map { $0.identity.publicKeys.peerID }
        let request = CircuitRequest(name: name, hops: hops, allowedIPs: [CircuitScenario.behind])
        _ = try network.build(request, at: client)
    }

    func spoil(_ place: Int) { signers[place].isSpoilt.store(true, ordering: .relaxed) }

    func describe() -> String {
        [client, relay, exit].map { "\($0.footprint) \($0.controlDrops.nonZero)" }.joined(separator: "; ")
            + "; \(client.circuitEvents)"
    }
}

@Suite struct RelayRefusalTests {
    /// A client with two circuits through the same two relays, and its guests at the second of them.
    private func twice(seed: UInt64) throws -> (scenario: CircuitScenario, exit: VirtualHost, guests: [PeerSlot]) {
        let scenario = CircuitScenario(seed: seed, relays: 2)
        _ = try scenario.connect([1, 2])
        let prefix = IPPrefix(containing: IPAddress(v4: 0x0A63_000A), length: 32)
        _ = try scenario.build([1, 2], name: "second", behind: prefix)
        let exit = scenario.relays[1]
        let areThere = scenario.network.run(for: .seconds(20)) { exit.guests.count == 2 }
        try #require(areThere, "\(scenario.describe())")
        scenario.network.run(for: .milliseconds(500))
        return (scenario, exit, exit.guests)
    }

    // MARK: - One signature

    @Test func nothingIsRelayedForWhoSignsByHalf() throws {
        let row = Row(seed: 1, bad: 0)
        #expect(row.relay.isDegraded && !row.client.isDegraded)
        try row.build("home")
        row.network.run(for: .seconds(5))
        #expect(row.client.circuitFailures.map(\.failure) == [.refused(.refused)], "\(row.describe())")
        #expect(row.relay.controlDrops[.circuitRefused] == 1 && row.relay.footprint.relayed == 0)
    }

    /// However often it is met.
    @Test func nobodyEntersByWhoSignsByHalf() throws {
        let row = Row(seed: 2, bad: 1)
        #expect(row.client.isDegraded)
        let sessions = row.client.establishedSessions.count
        try row.build("home")
        row.network.run(for: .seconds(30))
        #expect(row.client.establishedSessions.count > sessions && row.client.isDegraded)
        #expect(row.client.circuitFailures.map(\.failure) == [.noEntry], "\(row.describe())")
        #expect(row.client.circuitFailures.map(\.hop) == [0])
        #expect(row.exit.establishedSessions.isEmpty)
    }

    /// Nor does he bring guests, who ask nothing of a relay but an answer.
    @Test(arguments: [0, nil] as [Int?]) func noGuestComesByWhoSignsByHalf(bad: Int?) throws {
        let row = Row(seed: 4, bad: bad)
        let (own, other) = (row.client.identity.publicKeys.peerID, row.relay.identity.publicKeys.peerID)
        var payload: [UInt8] = []
        let id = try #require([1, 0x8000_0001].first { CircuitID.isPicked($0, by: own, for: other) })
        payload.append(bigEndian: id)
        let s0 = S0Message(
            offers: Offers(hasAESHardware: true), senderIndex: 9,
            nonce: [UInt8](repeating: 1, count: S0Message.nonceSize))
        payload += s0.encoded(macKey: MAC1Key(responder: other))
        row.network.say(.relay, payload, to: 0, from: row.client)
        row.network.run(for: .seconds(1))
        #expect(row.relay.controlDrops[.circuitUnknown] == (bad == nil ? 0 : 1), "\(row.describe())")
    }

    /// And where the session that carries a circuit is followed by one of half a signature, the circuit is over.
    @Test(arguments: [0, 1]) func aCircuitEndsWithItsLastWholeSignature(bad: Int) throws {
        let row = Row(seed: 5, bad: nil)
        try row.build("home")
        try #require(row.network.run(for: .seconds(10)) { row.exit.guests.count == 1 }, "\(row.describe())")
        row.spoil(bad)
        row.network.renew(0, at: row.client)
        row.network.run(for: .seconds(3))
        #expect((bad == 0 ? row.relay : row.client).isDegraded)
        #expect(row.relay.footprint.relayed == 0 && !row.client.circuitFailures.isEmpty, "\(row.describe())")
    }

    @Test func noCircuitGoesOnToWhoSignsByHalf() throws {
        let row = Row(seed: 3, bad: 2)
        try row.build("first")
        row.network.run(for: .seconds(5))
        // The link is there, and no good for the circuit that waited for it; nor for the next, which asks for no other.
        try row.build("second")
        row.network.run(for: .seconds(5))
        #expect(
            row.client.circuitFailures.map(\.failure) == [.ended(.lost), .refused(.refused)], "\(row.describe())")
        #expect(row.relay.degradedSessions == 1 && row.relay.footprint.relayed == 0)
        #expect(row.relay.controlDrops[.circuitRefused] == 1)
    }

    // MARK: - Guests

    @Test func addressesAreForOneGuestAndForNobodyElse() throws {
        let (scenario, exit, guests) = try twice(seed: 4)
        let link = try #require(exit.slot(of: scenario.id(1)))
        #expect(!scenario.network.assign([CircuitScenario.inner], to: guests[1], at: exit))
        #expect(exit.machine.peers[guests[1]]?.configuration.allowedIPs.isEmpty == true)
        let free = IPPrefix(containing: IPAddress(v4: 0x0A4D_0002), length: 32)
        for slot in [link, 500] { #expect(!scenario.network.assign([free], to: slot, at: exit), "\(slot)") }
        #expect(exit.machine.peers[link]?.configuration.allowedIPs.isEmpty == true)
        #expect(scenario.carriesTraffic(to: 2), "\(scenario.describe())")
        // What it has it may be given again, and what is nobody's as well.
        #expect(scenario.network.assign([CircuitScenario.inner], to: guests[0], at: exit))
        #expect(scenario.network.assign([free], to: guests[1], at: exit))
    }

    /// Throwaway keys are nobody's that is known: not those of a pin, and not those of a descriptor.
    @Test func whoIsKnownIsNoGuest() throws {
        let scenario = CircuitScenario(seed: 5, relays: 2)
        let exit = scenario.relays[1]
        func answer(_ id: PeerID) -> TrustRefusal? {
            exit.machine.refusal(ofGuest: id, kind: .anonymous, on: .circuit(CircuitPlace(outer: 0, id: 7)))
        }
        #expect(answer(scenario.id(1)) == .anonymousPeer && answer(DirectoryScene.id(9)) == nil)
        let refused = exit.addRelays([(try DirectoryScene.descriptor(9), .imported)], now: scenario.network.now)
        #expect(refused.isEmpty)
        #expect(answer(DirectoryScene.id(9)) == .anonymousPeer && answer(DirectoryScene.id(8)) == nil)
    }

    /// One that says by a descriptor that it is a relay: there is a session with it, and no circuit goes on by that.
    @Test func aGuestIsNoLink() throws {
        let (scenario, exit, _) = try twice(seed: 6)
        let circuits = scenario.client.circuits(now: scenario.network.now)
        let (first, second) = (circuits[0].destination, circuits[1].destination)
        guard case .hop(let signer?)? = scenario.client.machine.peers[first]?.place else {
            Issue.record("no keys: \(scenario.describe())")
            return
        }
        let descriptor = try Descriptor.make(
            signer: signer, nickname: "guest", addresses: ["20.9.0.1:9000"], roles: DescriptorRoles.relay.rawValue,
            notBefore: DirectoryScene.unix - 60, notAfter: DirectoryScene.unix + 86_400, serial: 1)
        let refused = exit.addRelays([(descriptor, .relay(scenario.id(1)))], now: scenario.network.now)
        #expect(refused.isEmpty)
        // The other guest asks for the way to it.
        let peer = try #require(scenario.client.machine.peers[second])
        let id = try #require(CircuitID.make(7, by: scenario.client.machine.localID(peer), for: scenario.id(2)))
        let message = ExtendMessage(id: id, target: signer.publicKeys.peerID.bytes)
        scenario.network.say(.extend, message.encoded, to: second, from: scenario.client)
        scenario.network.run(for: .seconds(2))
        #expect(exit.controlDrops[.circuitRefused] == 1, "\(scenario.describe())")
        #expect(exit.footprint.relayed == 0 && exit.footprint.guests == 2)
        #expect(scenario.carriesTraffic(to: 2))
    }

    // MARK: - Links

    @Test func endsBeyondTheLimitAreNotLookedInto() throws {
        let scenario = CircuitScenario(seed: 7, relays: 2)
        _ = try scenario.connect([1, 2])
        let (relay, exit) = (scenario.relays[0], scenario.relays[1])
        let place = try #require(exit.guests.last.flatMap { exit.machine.peers[$0]?.arrival })
        let link = try #require(relay.slot(of: scenario.id(2)))
        func end(_ id: UInt32) {
            scenario.network.say(.end, EndMessage(id: id, reason: .closed).encoded, to: link, from: relay)
        }
        let unknown = exit.controlDrops[.circuitUnknown]
        for id in 1...UInt32(Limits.endsPerSecond) { end(id) }
        end(place.id)
        scenario.network.run(for: .milliseconds(100))
        #expect(exit.footprint.guests == 1, "\(scenario.describe())")
        #expect(exit.controlDrops[.circuitUnknown] - unknown == UInt64(Limits.endsPerSecond) + 1)
        // In the next second it is one of few.
        scenario.network.run(for: .seconds(1))
        end(place.id)
        scenario.network.run(for: .milliseconds(100))
        #expect(exit.footprint.guests == 0, "\(scenario.describe())")
    }

    /// A silent link is asked for anew, and goes before it has come: whoever waits is told when its time is over.
    @Test func aLinkThatGoesOpensNothing() throws {
        let scenario = CircuitScenario(seed: 8, relays: 2)
        let first = try scenario.connect([1, 2])
        #expect(scenario.network.closeCircuit(first, at: scenario.client))
        let relay = scenario.relays[0]
        let link = try #require(relay.slot(of: scenario.id(2)))
        scenario.network.suspend(scenario.relays[1])
        #expect(scenario.network.ask(link, of: relay))
        let isSilent = scenario.network.run(for: .seconds(30)) {
            relay.events.contains { if case .peerSilent(link, _, _) = $0.event { true } else { false } }
        }
        try #require(isSilent, "\(scenario.describe())")
        _ = try scenario.build([1, 2], name: "next")
        scenario.network.run(for: .milliseconds(200))
        #expect(relay.footprint.relayed == 1)
        let broken = relay.controlDrops[.circuitBroken]
        #expect(scenario.network.drop(link, of: relay))
        scenario.network.run(for: .seconds(3))
        #expect(relay.footprint.relayed == 1 && scenario.client.circuitFailures.isEmpty, "\(scenario.describe())")
        scenario.network.run(for: .seconds(6))
        #expect(scenario.client.circuitFailures.map(\.failure) == [.refused(.unreachable)], "\(scenario.describe())")
        #expect(relay.footprint.relayed == 0 && relay.controlDrops[.circuitBroken] == broken + 1)
    }

    /// A path was replaced by one over another relay: the session of the old one goes with its link, the new one stays.
    @Test func aGuestThatCameByTwoLinksKeepsTheOther() throws {
        let scene = try ChoiceScenario(seed: 9)
        let (number, path) = try scene.build(PathWish(hops: 3))
        func host(_ id: PeerID) -> VirtualHost? { scene.relays.first { $0.identity.publicKeys.peerID == id } }
        var (old, new) = (path, path)
        for _ in 0..<20 where new[1] == old[1] {
            #expect(scene.network.run(for: .seconds(30)) { scene.isReady(number) })
            scene.network.run(for: .seconds(12))
            old = try #require(scene.path(number))
            #expect(scene.network.replaceCircuit(number, at: scene.client))
            #expect(scene.network.run(for: .seconds(30)) { scene.isReady(number) })
            new = try #require(scene.path(number))
        }
        try #require(new[1] != old[1], "\(scene.client.circuitEvents)")
        scene.network.run(for: .milliseconds(500))
        let exit = try #require(host(new[2]))
        let guest = try #require(exit.guests.last)
        #expect(exit.machine.peers[guest]?.ring.all.count == 2)
        scene.network.shutDown(try #require(host(old[1])))
        scene.network.run(for: .seconds(1))
        #expect(exit.footprint.guests == 1 && exit.machine.peers[guest]?.ring.all.count == 1)
        scene.network.run(for: .seconds(10))
        #expect(scene.isReady(number) && scene.client.circuitFailures.isEmpty, "\(scene.client.circuitEvents)")
    }

    // MARK: - Numbers

    /// Two circuits of one id would have each other's datagrams. The same run three times: what the first one draws is
    /// taken in the others.
    @Test func idsThatAreTakenAreNotGivenAgain() throws {
        func draw(
            own: CircuitPlace? = nil, onward: CircuitPlace? = nil
        ) throws -> (own: CircuitPlace, onward: CircuitPlace) {
            let scenario = CircuitScenario(seed: 10, relays: 2)
            let (client, relay) = (scenario.client, scenario.relays[0])
            scenario.network.run(for: .seconds(5))
            if let own { client.machine.circuits.origins[own] = (path: 0, hop: 1, largest: nil) }
            if let onward { relay.machine.relay.begin(onward, to: .zero, over: 900, now: scenario.network.now) }
            let number = try scenario.build([1, 2])
            #expect(scenario.network.run(for: .seconds(5)) { scenario.isReady(number) }, "\(scenario.describe())")
            let passing = relay.machine.relay.all.compactMap(\.onward)
            return (try #require(client.circuitPlaces.first), try #require(passing.first))
        }
        let first = try draw()
        let (second, third) = (try draw(own: first.own), try draw(onward: first.onward))
        #expect(second.own != first.own && second.own.outer == first.own.outer)
        #expect(third.own == first.own && third.onward != first.onward && third.onward.outer == first.onward.outer)
    }

    /// A policy that is read again would give each client its burst again.
    @Test func theSameRatesAreNoNewAllowance() throws {
        var relay = RelayStateMachine()
        var policy = RelayPolicy()
        policy.bytesPerSecondPerClient = 20_000
        let begun = relay.adopt(policy).count
        let (place, now) = (CircuitPlace(outer: 1, id: 7), Instant.origin + .seconds(1))
        relay.begin(place, to: .zero, over: 2, now: now)
        let circuit = try #require(relay[place])
        _ = relay.open(circuit, onward: CircuitPlace(outer: 2, id: 9), now: now)
        policy.circuits = 1
        let same = relay.adopt(policy).count
        #expect(begun == 0 && same == 0 && !relay.hasRoom(from: 1, to: 2))
        policy.bytesPerSecondPerClient = 30_000
        let changed = relay.adopt(policy).count
        #expect(changed == 1)
    }
}
