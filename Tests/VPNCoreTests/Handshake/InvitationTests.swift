// SPDX-License-Identifier: Apache-2.0
// Guests (§6): who is let in by an invitation and who is not, under `tofu: false`, and that a use is counted once.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

/// Bob invites; guests are alices who know of him what a link says.
private final class Party {
    let network: VirtualNetwork
    let bob: VirtualHost
    let primitives: Primitives
    let seed: UInt64
    /// What would be on disk: who was let in, by how many uses.
    private(set) var guests: [PeerID] = []
    var uses = 1
    /// What the disk says, before anything else.
    var fault: InvitationRefusal?

    static func token(_ byte: UInt8 = 7) -> Secret {
        Secret(copying: [UInt8](repeating: byte, count: Invitation.tokenSize))
    }

    static func key(_ byte: UInt8 = 7) -> PresharedKey {
        PresharedKey(invitation: Invitation.key(of: token(byte)), name: Invitation.name(of: token(byte)))
    }

    init(
        seed: UInt64 = 1, _ primitives: Primitives = .rehearsal, conditions: LinkConditions = LinkConditions(),
        trust: TrustPolicy = TrustPolicy(trustsOnFirstUse: false, isStrict: false)
    ) {
        self.seed = seed
        self.primitives = primitives
        network = VirtualNetwork(seed: seed)
        network.conditions = conditions
        var options = NodeOptions()
        options.knowsPeer = false
        options.callsPeer = false
        options.namesPeer = false
        options.trust = trust
        bob = Scenario.host(
            "bob", Scenario.bobEndpoint, Party.identity(1, seed, primitives), peer: Party.identity(0, seed, primitives),
            peerEndpoint: Scenario.aliceEndpoint, options, seed: seed &* 2 &+ 1, primitives, now: network.now)
        network.attach(bob)
        bob.redeem = { [unowned self] claim in
            defer { invite() }
            return redeem(claim)
        }
        invite()
    }

    static func identity(_ number: Int, _ seed: UInt64, _ primitives: Primitives) -> any IdentitySigner {
        primitives == .real ? RealIdentities.all[number] : RehearsalIdentity(seed: seed &* 7 &+ UInt64(number))
    }

    func invite(_ byte: UInt8 = 7, expires: Instant? = nil, isRevoked: Bool = false, key: PresharedKey? = nil) {
        let own = Party.key(byte)
        bob.updateInvitations([
            Invitation(
                name: own.name, key: key ?? own, expires: expires ?? network.now + .seconds(3600),
                usesLeft: uses - guests.count, isRevoked: isRevoked, guests: Set(guests))
        ])
    }

    private func redeem(_ claim: InvitationClaim) -> InvitationVerdict {
        if let fault { return .refused(fault) }
        let id = claim.keys.peerID
        if !guests.contains(id) {
            guard guests.count < uses else { return .refused(.used) }
            guests.append(id)
        }
        let number = UInt32(guests.firstIndex(of: id)! + 100)
        let address = IPAddress(v4: 0x0A4D_0000 | number)
        return .accepted(
            PeerConfiguration(
                name: "guest\(number)", peerID: id, endpoint: nil,
                allowedIPs: [IPPrefix(containing: address, length: 32)]),
            PinnedPeer(keys: claim.keys, name: "guest\(number)", origin: .operatorAdded),
            lease: [InterfaceAddress(address, length: 24)])
    }

    /// A guest that has not called yet.
    func guest(
        _ number: Int = 0, token byte: UInt8 = 7, knowsBob: Bool = false, expecting: (any IdentitySigner)? = nil
    ) -> VirtualHost {
        var options = NodeOptions()
        options.trust = TrustPolicy(trustsOnFirstUse: true, isStrict: true)
        options.knowsPeer = knowsBob
        options.presharedKey = Party.key(byte)
        let place = number == 0 ? 0 : number + 1
        return Scenario.host(
            "alice", Endpoint(v4: 0x0A00_0100 + UInt32(number), port: 9000), Party.identity(place, seed, primitives),
            peer: expecting ?? bob.identity, peerEndpoint: Scenario.bobEndpoint, options,
            seed: seed &* 5 &+ UInt64(number), primitives, now: network.now)
    }

    func isIn(_ guest: VirtualHost) -> Bool { !guest.leases.isEmpty }

    @discardableResult
    func admit(_ guest: VirtualHost, within limit: TimeSpan = .seconds(60)) -> Bool {
        network.attach(guest)
        return network.run(for: limit) { isIn(guest) }
    }

    var refusals: [InvitationRefusal] {
        bob.events.compactMap { if case .invitationRefused(_, _, let why, _) = $0.event { why } else { nil } }
    }
}

extension VirtualHost {
    fileprivate var leases: [[InterfaceAddress]] {
        events.compactMap { if case .leased(_, let addresses) = $0.event { addresses } else { nil } }
    }

    fileprivate var endings: [SessionEnd] {
        events.compactMap { if case .sessionEnded(_, let end) = $0.event { end } else { nil } }
    }

    fileprivate var identityRefusals: [TrustRefusal] {
        events.compactMap { if case .identityRefused(_, _, let why, _, _, _) = $0.event { why } else { nil } }
    }
}

@Suite struct InvitationTests {
    @Test(arguments: Primitives.allCases)
    func aGuestIsLetInAndBecomesAPeer(_ primitives: Primitives) {
        let party = Party(primitives)
        let guest = party.guest()
        #expect(party.admit(guest))
        #expect(party.guests == [guest.identity.publicKeys.peerID] && party.bob.claims.count == 1)
        #expect(guest.leases == [[InterfaceAddress(IPAddress("10.77.0.100")!, length: 24)]])
        // Its address is its own, and nobody else's is.
        let there = Scenario.packet(from: 100, to: 2, tag: 1)
        let forged = Scenario.packet(from: 101, to: 2, tag: 2)
        let back = Scenario.packet(from: 2, to: 100, tag: 3)
        party.network.sendInner(there, from: guest)
        party.network.sendInner(forged, from: guest)
        party.network.sendInner(back, from: party.bob)
        party.network.run(for: .seconds(2))
        #expect(party.bob.delivered == [there])
        #expect(party.bob.confirmedSessions.count == 1 && party.refusals.isEmpty)
        // The pin is the node's to write, at both ends.
        #expect(party.bob.remembered.isEmpty && guest.remembered.isEmpty)
    }

    @Test func lossLetsAGuestWaitAndCountsItOnce() {
        for seed in 1...25 {
            let party = Party(seed: UInt64(seed), conditions: LinkConditions(loss: 0.25))
            let guest = party.guest()
            #expect(party.admit(guest, within: .seconds(240)), "seed \(seed)")
            #expect(party.guests.count == 1, "seed \(seed)")
        }
    }

    @Test func withoutAnOpenInvitationNobodyIsAnswered() {
        let cases: [(String, (Party) -> Void, InvitationRefusal?)] = [
            ("none", { $0.bob.updateInvitations([]) }, nil),
            ("another", { $0.invite(9) }, nil),
            ("revoked", { $0.invite(isRevoked: true) }, .revoked),
            ("expired", { $0.invite(expires: $0.network.now) }, .expired),
            (
                "used",
                {
                    $0.uses = 0
                    $0.invite()
                }, .used
            ),
        ]
        for trusts in [false, true] {
            for (name, arrange, why) in cases {
                let party = Party(trust: TrustPolicy(trustsOnFirstUse: trusts, isStrict: false))
                arrange(party)
                let guest = party.guest()
                #expect(!party.admit(guest), "\(name)")
                #expect(party.bob.establishedSessions.isEmpty && party.bob.claims.isEmpty, "\(name)")
                #expect(guest.establishedSessions.isEmpty, "\(name)")
                #expect(why.map { party.refusals.contains($0) } ?? party.refusals.isEmpty, "\(name): \(party.refusals)")
                #expect(party.bob.footprint.peers == 0, "\(name)")
            }
        }
    }

    /// The name of an invitation is not its key.
    @Test(arguments: Primitives.allCases)
    func aForgedTokenUsesNothingUp(_ primitives: Primitives) {
        let party = Party(primitives)
        let name = Party.key().name
        party.invite(
            key: PresharedKey(invitation: Secret(copying: [UInt8](repeating: 1, count: 32)), name: name))
        let forger = party.guest()
        #expect(!party.admit(forger))
        #expect(party.bob.claims.isEmpty && party.guests.isEmpty && forger.establishedSessions.isEmpty)
        #expect(party.bob.confirmedSessions.isEmpty)
        party.network.detach(forger)
        party.invite()
        #expect(party.admit(party.guest(1)), "the invitation is still good")
    }

    @Test func timeClosesAnInvitation() {
        let party = Party()
        party.invite(expires: party.network.now + .seconds(10))
        party.network.run(for: .milliseconds(9_000))
        let early = party.guest()
        #expect(party.admit(early, within: .milliseconds(900)))
        party.uses = 2
        party.invite(expires: party.network.now + .seconds(10))
        party.network.run(for: .seconds(10))
        let late = party.guest(1)
        #expect(!party.admit(late) && party.refusals.last == .expired && party.guests.count == 1)
    }

    @Test func revokingKeepsOthersOutAndGuestsIn() {
        let party = Party()
        party.uses = 2
        party.invite()
        let first = party.guest()
        #expect(party.admit(first))
        party.invite(isRevoked: true)
        #expect(!party.admit(party.guest(1)) && party.refusals.last == .revoked)
        let packet = Scenario.packet(from: 100, to: 2, tag: 9)
        party.network.sendInner(packet, from: first)
        party.network.run(for: .seconds(2))
        #expect(party.bob.delivered == [packet])
    }

    @Test func ofTwoAtOnceOneWins() {
        for seed in 1...40 {
            let party = Party(seed: UInt64(seed), conditions: LinkConditions(loss: seed % 2 == 0 ? 0 : 0.1))
            let two = [party.guest(), party.guest(1)]
            for guest in two { party.network.attach(guest) }
            party.network.run(for: .seconds(120)) { two.contains { party.isIn($0) } }
            party.network.run(for: .seconds(30))
            #expect(two.count { party.isIn($0) } == 1, "seed \(seed)")
            #expect(party.guests.count == 1, "seed \(seed)")
            let loser = two.first { !party.isIn($0) }
            #expect(loser?.identity.publicKeys.peerID != party.guests.first, "seed \(seed)")
            #expect(party.bob.footprint.peers == 1, "seed \(seed): the loser leaves nothing")
        }
    }

    /// The first answer may be lost, or the guest may end before it has written anything down.
    @Test func theSameIdentityMayComeAgain() {
        let party = Party()
        let first = party.guest()
        #expect(party.admit(first))
        party.network.detach(first)
        party.network.run(for: .seconds(20))
        let again = party.guest()
        #expect(party.admit(again) && party.guests.count == 1)
        #expect(again.leases == first.leases)
        party.network.shutDown(again)
        party.invite(isRevoked: true)
        #expect(!party.admit(party.guest()), "a revoked invitation is good for nobody")
    }

    /// Between the use and the pin the disk may fail.
    @Test func whatCannotBeKeptLetsNobodyIn() {
        let party = Party()
        party.fault = .local
        let guest = party.guest()
        #expect(!party.admit(guest, within: .seconds(30)))
        #expect(party.refusals.contains(.local) && guest.endings.contains(.closedByPeer))
        #expect(party.bob.endings.contains(.invitationRefused) && party.bob.confirmedSessions.isEmpty)
        party.network.sendInner(Scenario.packet(from: 100, to: 2, tag: 1), from: guest)
        party.network.run(for: .seconds(1))
        #expect(party.bob.delivered.isEmpty)
        party.fault = nil
        #expect(party.network.run(for: .seconds(60)) { party.isIn(guest) }, "its next try finds the disk mended")
    }

    /// Before the use is on disk nothing of the session counts, not even an address that it will have.
    @Test func nothingIsHeardBeforeTheVerdict() {
        let party = Party()
        party.fault = .used
        let guest = party.guest()
        party.network.attach(guest)
        party.network.run(for: .seconds(60)) { !guest.establishedSessions.isEmpty }
        for tag in 0..<20 { party.network.sendInner(Scenario.packet(from: 100, to: 2, tag: UInt8(tag)), from: guest) }
        party.network.run(for: .seconds(5))
        #expect(party.bob.delivered.isEmpty && party.guests.isEmpty)
    }

    @Test func aGuestThatKnowsItsInviterShowsItsKeysAllTheSame() {
        let party = Party()
        #expect(party.admit(party.guest(knowsBob: true)))
    }

    @Test func barsGoBeforeInvitations() {
        let party = Party()
        let guest = party.guest()
        party.network.updateRevoked([guest.identity.publicKeys.peerID], of: party.bob)
        #expect(!party.admit(guest) && party.bob.claims.isEmpty)
        #expect(party.bob.identityRefusals.contains(.revoked))
        let listed = Party(
            trust: TrustPolicy(
                trustsOnFirstUse: false, isStrict: false, allowlist: [RehearsalIdentity(seed: 99).publicKeys.peerID]))
        #expect(!listed.admit(listed.guest()) && listed.bob.claims.isEmpty)
        #expect(listed.bob.identityRefusals.contains(.notListed))
    }

    /// The link names one identity: whoever else sits at the endpoint gets no S1, and so neither the token's name nor the guest's.
    @Test func anotherInviterIsRefusedLoudly() {
        let party = Party()
        let other = RehearsalIdentity(seed: 4242)
        let guest = party.guest(expecting: other)
        #expect(!party.admit(guest, within: .seconds(60)))
        #expect(guest.identityRefusals.contains(.identityChanged))
        #expect(
            guest.establishedSessions.isEmpty && party.bob.claims.isEmpty && party.bob.footprint.inboundHandshakes == 0)
    }

    @Test func leasesAreExactOrNone() {
        let lease = LeaseMessage([
            InterfaceAddress(IPAddress("10.77.0.9")!, length: 24), InterfaceAddress(IPAddress("fd77::9")!, length: 64),
        ])
        let bytes = lease.encoded
        #expect(LeaseMessage(bytes) == lease && LeaseMessage([0, 0])?.addresses == [])
        for count in 0..<bytes.count { #expect(LeaseMessage(Array(bytes.prefix(count))) == nil, "\(count)") }
        #expect(LeaseMessage(bytes + [0]) == nil)
        for (place, value) in [(0, 1), (1, 3), (1, 1), (1, 9), (2, 5), (3, 33), (8, 4), (9, 129)] as [(Int, UInt8)] {
            var spoilt = bytes
            spoilt[place] = value
            #expect(LeaseMessage(spoilt) == nil, "byte \(place)")
        }
    }

    @Test func tokensGiveNamesAndKeysThatTellNothingOfEachOther() {
        let name = Invitation.name(of: Party.token())
        let isSame = Invitation.key(of: Party.token()).isEqual(to: Invitation.key(of: Party.token()))
        let isOther = !Invitation.key(of: Party.token()).isEqual(to: Invitation.key(of: Party.token(8)))
        #expect(isSame && isOther && name != Invitation.name(of: Party.token(8)))
        #expect(name == Invitation.name(of: Party.token()))
        #expect(Invitation.isName(name) && !Invitation.isName(0) && !Invitation.isName(1 << 31))
        let keys = PresharedKeys(
            configured: Party.key(),
            chained: PresharedKey(next: Secret(copying: [1]), sessionID: [UInt8](repeating: 3, count: 16)))
        #expect(keys.id == PresharedKeys.configuredBit | name && keys.chained == nil)
    }
}
