// SPDX-License-Identifier: Apache-2.0
// §2 as one table: tofu × strict_tofu × known, unknown, changed × out, in; and what is left of each row after a restart, with the
// pins on disk in between. Real identities on the virtual network.
import Testing
import VPNCore
import VPNCrypto
import VPNTesting

@testable import VPNNode

struct TrustMatrixTests {
    enum Acquaintance: CaseIterable, Sendable { case known, unknown, changed }
    enum Direction: CaseIterable, Sendable { case out, in_ }

    struct Row: Sendable, CustomTestStringConvertible {
        var tofu: Bool
        var strict: Bool
        var acquaintance: Acquaintance
        var direction: Direction

        static let all: [Row] = [false, true].flatMap { tofu in
            [false, true].flatMap { strict in
                Acquaintance.allCases.flatMap { acquaintance in
                    Direction.allCases.map {
                        Row(tofu: tofu, strict: strict, acquaintance: acquaintance, direction: $0)
                    }
                }
            }
        }

        var testDescription: String { "tofu \(tofu), strict \(strict), \(acquaintance), \(direction)" }

        /// Protocol §2, in words: who is pinned is met; a change is never; first use is for those who are called, and without
        /// strict_tofu for callers too.
        var works: Bool {
            switch acquaintance {
            case .known: true
            case .unknown: tofu && (direction == .out || !strict)
            case .changed: false
            }
        }
    }

    private static let here = Endpoint(v4: 0x0A00_0001, port: 9000)
    private static let there = Endpoint(v4: 0x0A00_0002, port: 9000)
    private static let old = try! SoftwareIdentity()

    private struct Outcome {
        var met: Bool
        var pinned: [PinnedPeer]
        var refusals: Set<TrustRefusal>
    }

    /// One run of alice, who judges, against bob, who believes everybody.
    private func run(_ row: Row, pins: [PinnedPeer], tofu: Bool, seed: UInt64) throws -> Outcome {
        let network = VirtualNetwork(seed: seed)
        func host(
            _ name: String, _ identity: SoftwareIdentity, at endpoint: Endpoint, _ policy: TrustPolicy,
            pins: [PinnedPeer], peers: [PeerConfiguration]
        ) throws -> VirtualHost {
            let parameters = NodeParameters(
                offers: Offers(hasAESHardware: true), mtu: 1436, trust: policy,
                descriptor: try Identities.descriptor(identity, name).encoded, handshakesPerMinute: 10,
                maximumJobs: 200,
                rekeyThreshold: .seconds(1800), rekeyInterval: .seconds(3600), unixSeconds: 1)
            return VirtualHost(
                name: name, endpoint: endpoint, identity: identity, cryptography: SystemCryptography(),
                parameters: parameters, pins: pins, peers: peers, now: network.now)
        }
        func peer(_ name: String, at endpoint: Endpoint) -> PeerConfiguration {
            PeerConfiguration(name: name, peerID: nil, endpoint: endpoint, allowedIPs: [])
        }
        let isCaller = row.direction == .out
        // A caller whom nobody knows stands in no configuration.
        let named = isCaller || row.acquaintance != .unknown
        let alice = try host(
            "alice", Identities.alice, at: Self.here, TrustPolicy(trustsOnFirstUse: tofu, isStrict: row.strict),
            pins: pins, peers: named ? [peer("bob", at: Self.there)] : [])
        let bob = try host(
            "bob", Identities.bob, at: Self.there, TrustPolicy(trustsOnFirstUse: true, isStrict: false), pins: [],
            peers: isCaller ? [] : [peer("alice", at: Self.here)])
        // Who is called does not call by itself.
        network.attach(isCaller ? bob : alice, starting: false)
        network.attach(isCaller ? alice : bob)
        network.run(for: .seconds(30)) { !alice.confirmedSessions.isEmpty && !bob.confirmedSessions.isEmpty }
        let refusals = alice.events.compactMap { entry in
            if case .identityRefused(_, _, let refusal, _, _, _) = entry.event { refusal } else { nil }
        }
        return Outcome(
            met: !alice.confirmedSessions.isEmpty && !bob.confirmedSessions.isEmpty, pinned: alice.remembered,
            refusals: Set(refusals))
    }

    @Test(arguments: Row.all)
    func theTable(_ row: Row) throws {
        let scratch = try Scratch()
        let path = scratch.file("known_peers.yaml")
        switch row.acquaintance {
        case .known: try KnownPeersStore(path: path).add(Identities.pin(Identities.bob, "bob"))
        case .changed: try KnownPeersStore(path: path).add(Identities.pin(Self.old, "bob"))
        case .unknown: break
        }
        let before = try KnownPeersStore(path: path).pins

        let first = try run(row, pins: before, tofu: row.tofu, seed: 1)
        #expect(first.met == row.works)
        let isNew = row.works && row.acquaintance == .unknown
        #expect(first.pinned.map(\.keys) == (isNew ? [Identities.bob.publicKeys] : []))
        switch row.acquaintance {
        case .changed: #expect(first.refusals == [.identityChanged])
        // Whoever may not be met first is not even called.
        case .unknown where !row.works: #expect(first.refusals == (row.direction == .out ? [] : [.unknownPeer]))
        default: #expect(first.refusals.isEmpty)
        }
        let store = try KnownPeersStore(path: path)
        for pin in first.pinned { try store.add(pin) }

        // After a restart, and with first use turned off: pins decide, and nothing is pinned twice.
        for tofu in [row.tofu, false] {
            let kept = try KnownPeersStore(path: path).pins
            #expect(kept == store.pins)
            let second = try run(row, pins: kept, tofu: tofu, seed: 2)
            #expect(second.met == row.works, "tofu \(tofu)")
            #expect(second.pinned.isEmpty)
            #expect(second.refusals.contains(.identityChanged) == (row.acquaintance == .changed))
        }

        // The operator's word for a change, on disk, and one more restart.
        if row.acquaintance == .changed {
            _ = try KnownPeersStore(path: path).trust(Identities.bob.publicKeys, as: "bob")
            let third = try run(row, pins: KnownPeersStore(path: path).pins, tofu: row.tofu, seed: 3)
            #expect(third.met && third.refusals.isEmpty && third.pinned.isEmpty)
        }
    }
}
