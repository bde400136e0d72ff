// SPDX-License-Identifier: Apache-2.0
// Invitations and leases (§6, §7) at their edges: what names an invitation and what only looks like it, what a guest
// that is known need not do again, and who may give addresses to whom. And what keys and answers are held to.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct InvitationRefusalTests {
    private static let invitation: UInt32 = 77
    private static let address = IPAddress(v4: 0x0A4D_0001)

    private static var key: PresharedKey {
        PresharedKey(invitation: Secret(copying: [UInt8](repeating: 9, count: 32)), name: invitation)
    }

    private static func configuredKey(_ byte: UInt8) -> PresharedKey {
        PresharedKey(configured: Secret(copying: [UInt8](repeating: byte, count: 32)))
    }

    /// What the operator's files say of a guest that was let in.
    private static func entry(of id: PeerID) -> PeerConfiguration {
        PeerConfiguration(
            name: "guest", peerID: id, endpoint: nil, allowedIPs: [IPPrefix(containing: address, length: 32)])
    }

    private func invite(_ host: VirtualHost, now: Instant) {
        host.updateInvitations([
            Invitation(name: Self.invitation, key: Self.key, expires: now + .seconds(3600), usesLeft: 1)
        ])
    }

    /// Alice as Bob's guest, who has her addresses.
    private func admitted(_ seed: UInt64) -> Scenario {
        var (guest, inviter) = (NodeOptions(), Scenario.answering)
        guest.presharedKey = Self.key
        (inviter.knowsPeer, inviter.namesPeer) = (false, false)
        let scenario = Scenario(seed: seed, alice: guest, bob: inviter, starting: false)
        invite(scenario.bob, now: scenario.network.now)
        scenario.bob.redeem = { claim in
            .accepted(
                Self.entry(of: claim.keys.peerID),
                PinnedPeer(keys: claim.keys, name: "guest", origin: .operatorAdded),
                lease: [InterfaceAddress(Self.address, length: 24)])
        }
        scenario.network.attach(scenario.bob)
        scenario.network.attach(scenario.alice)
        #expect(scenario.connect(within: .seconds(5)), "\(scenario.describe())")
        scenario.network.run(for: .seconds(2))
        #expect(leases(scenario.alice).count == 1)
        return scenario
    }

    private func leases(_ host: VirtualHost) -> [[InterfaceAddress]] {
        host.events.compactMap { if case .leased(_, let addresses) = $0.event { addresses } else { nil } }
    }

    private func invitationRefusals(_ host: VirtualHost) -> [InvitationRefusal] {
        host.events.compactMap { if case .invitationRefused(_, _, let why, _) = $0.event { why } else { nil } }
    }

    // MARK: - Invitations

    /// The next_psk of an association may have the name of an invitation by chance: bit 31 tells them apart, and where
    /// the operator gave both ends a key it is that one.
    @Test(arguments: [false, true]) func theNameOfAChainedKeyIsNoInvitation(hasKey: Bool) {
        var (caller, answering) = (NodeOptions(), Scenario.answering)
        if hasKey { (caller.presharedKey, answering.presharedKey) = (Self.configuredKey(1), Self.configuredKey(1)) }
        let scenario = Scenario(seed: 791, alice: caller, bob: answering, starting: false)
        invite(scenario.bob, now: scenario.network.now)
        scenario.alice.alterJob = { job in
            guard case .composeS1(var work) = job.work else { return job }
            work.presharedKeyID |= Self.invitation
            return CryptoJob(id: job.id, work: .composeS1(work))
        }
        scenario.network.attach(scenario.bob)
        scenario.network.attach(scenario.alice)
        #expect(scenario.connect(within: .seconds(5)), "\(scenario.describe())")
        #expect(invitationRefusals(scenario.bob).isEmpty && scenario.bob.claims.isEmpty)
    }

    /// Two may call from one address: what the operator says of one of them keeps out no guest whose keys are known.
    @Test func aGuestThatIsKnownMayCallFromAnothersAddress() {
        let scenario = admitted(792)
        let (network, alice, bob) = (scenario.network, scenario.alice, scenario.bob)
        let carol = PeerConfiguration(
            name: "carol", peerID: RehearsalIdentity(seed: 7920).publicKeys.peerID, endpoint: Scenario.aliceEndpoint,
            allowedIPs: [])
        network.updatePeers([Self.entry(of: alice.identity.publicKeys.peerID), carol], of: bob)
        network.renew(0, at: alice)
        #expect(network.run(for: .seconds(5)) { bob.confirmedSessions.count == 2 }, "\(scenario.describe())")
        #expect(bob.trustRefusals.isEmpty && invitationRefusals(bob).isEmpty)
    }

    @Test func aGuestThatIsKnownNeedNotShowItsKeys() {
        let scenario = admitted(793)
        let (network, alice, bob) = (scenario.network, scenario.alice, scenario.bob)
        alice.alterJob = { job in
            guard case .composeS1(var work) = job.work else { return job }
            work.kind = .brief
            return CryptoJob(id: job.id, work: .composeS1(work))
        }
        let from = network.capture.count
        network.renew(0, at: alice)
        #expect(network.run(for: .seconds(5)) { bob.confirmedSessions.count == 2 }, "\(scenario.describe())")
        let messages = network.capture[from...].filter { $0.datagram.type == .s1 }.map(\.datagram.bytes)
        #expect(!messages.isEmpty && messages.allSatisfy { Int($0.u16(at: 18)) == S1Message.briefSize })
        #expect(bob.trustRefusals.isEmpty)
    }

    // MARK: - Leases

    /// There is one question for inner addresses; whoever has them may ask it again, and no other.
    @Test func addressesAreAskedForByTheirQuestionAlone() {
        let scenario = admitted(794)
        let (network, alice, bob) = (scenario.network, scenario.alice, scenario.bob)
        for (payload, ends) in [
            (LeaseMessage.request, []), (LeaseMessage.request + [0], [.protocolViolation]),
        ] as [([UInt8], [SessionEnd])] {
            network.say(.configRequest, payload, to: 0, from: alice)
            network.run(for: .milliseconds(100))
            #expect(bob.sessionEnds == ends, "\(payload)")
        }
    }

    /// One that was not called with its invitation has no say in this node's addresses, whatever key it shares with it.
    @Test(arguments: [nil, 1] as [UInt8?]) func aPeerThatInvitedNobodyGivesNoAddresses(key: UInt8?) {
        var (caller, answering) = (NodeOptions(), Scenario.answering)
        (caller.presharedKey, answering.presharedKey) = (key.map(Self.configuredKey), key.map(Self.configuredKey))
        let scenario = Scenario(seed: 795, alice: caller, bob: answering)
        #expect(scenario.connect(within: .seconds(5)), "\(scenario.describe())")
        let lease = LeaseMessage([InterfaceAddress(Self.address, length: 24)])
        scenario.network.say(.config, lease.encoded, to: 0, from: scenario.bob)
        scenario.network.run(for: .milliseconds(100))
        #expect(leases(scenario.alice).isEmpty && scenario.alice.sessionEnds == [.protocolViolation])
    }

    @Test func aLeaseHasEightAddressesAtMost() {
        let addresses = (1...8 as ClosedRange<UInt32>).map {
            InterfaceAddress(IPAddress(v4: 0x0A4D_0000 + $0), length: 24)
        }
        let full = LeaseMessage(addresses).encoded
        #expect(LeaseMessage(full)?.addresses == addresses)
        var more = full + full[2..<8]
        more[1] = 9
        #expect(LeaseMessage(more) == nil)
    }

    // MARK: - Keys and answers

    /// Sessions of one moment, none of which mixed what the others left: three of their keys are kept, the newest ones.
    @Test func anAssociationKeepsThreeKeysAtMost() {
        func key(_ byte: UInt8) -> PresharedKey {
            PresharedKey(next: Secret(copying: [byte]), sessionID: [UInt8](repeating: byte, count: 16))
        }
        var chain = PresharedChain()
        for byte: UInt8 in 1...5 { chain.replace(nil, by: key(byte), now: .origin + .seconds(1)) }
        let names = (1...5 as ClosedRange<UInt8>).map { key($0).name }
        let known = names.map { chain.key(named: $0) != nil }
        #expect(chain.count == Limits.chainedKeys && known == [false, false, true, true, true])
    }

    /// §6: an answer says inside, too, whose it is.
    @Test func anAnswerForAnotherIndexIsMalformed() throws {
        let bench = Bench(.rehearsal)
        for (index, failure) in [(0x0102_0304, nil), (5, .malformed)] as [(UInt32, HandshakeFailure?)] {
            let s1 = try bench.composeS1(index: index)
            let opened = try bench.openS1(s1.message).get()
            let s2 = try bench.composeS2(opened, pinned: bench.initiator.publicKeys).get()
            #expect(bench.openS2(s2.message, s1).failure == failure, "\(index)")
        }
    }
}
