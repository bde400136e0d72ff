// SPDX-License-Identifier: Apache-2.0
// What a node or a command writes into its own files must be readable afterwards: a file that is refused as a whole
// stops the next start, and no command mends it.
import Foundation
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

@Suite struct WrittenAndReadTests {
    private let alice = Identities.pin(Identities.alice, "alice")
    private let bobsID = Identities.bob.publicKeys.peerID

    /// A first contact behind a bootstrap entry is pinned under the entry's name, and names in the file have 63 bytes
    /// at most.
    @Test func aLongBootstrapEntryLeavesThePinsReadable() throws {
        let host = "ec2-203-0-113-125.ap-southeast-2.compute.example.org"
        let short = NodePlan.bootstrapName(try EndpointName("vpn.example.org:9000"))
        let long = NodePlan.bootstrapName(try EndpointName("\(host):9000"))
        #expect(short == "bootstrap vpn.example.org:9000" && long.hasPrefix("bootstrap "))
        for name in [short, long] {
            let scratch = try Scratch()
            let path = scratch.file("k.yaml")
            let store = try KnownPeersStore(path: path)
            try store.add(alice)
            var met = Identities.pin(Identities.bob, name)
            met.origin = .firstUse
            try store.add(met)
            let unread = failure(of: { _ = try KnownPeersStore(path: path) })
            #expect(unread == nil, "\(name): \(unread?.message ?? "")")
            let refused = failure(of: { try store.reread() })
            #expect(refused == nil, "\(name): what the running node says: \(refused?.message ?? "")")
            #expect(Set(store.pins.map(\.peerID)) == [alice.peerID, bobsID])
        }
        let other = NodePlan.bootstrapName(try EndpointName("\(host):9001"))
        #expect(other != long, "two entries stay two")
    }

    /// U+FFFE and U+FFFF are in no YAML, and a descriptor may say them: whether it is taken or refused, the others'
    /// pins stay.
    @Test(arguments: [0xFFFE, 0xFFFF] as [UInt32])
    func aNicknameThatIsNoTextLeavesThePinsReadable(_ value: UInt32) throws {
        let scratch = try Scratch()
        let path = scratch.file("k.yaml")
        try KnownPeersStore(path: path).add(alice)
        let target = try PeersCommandTarget(configurationFile: nil, knownPeersFile: path, passphraseFile: nil)
        let scalar = try #require(Unicode.Scalar(value))
        let hostile = try Identities.descriptor(Identities.bob, "eve\(scalar)")
        try scratch.write(DescriptorFile.text(of: hostile), to: "eve.pub")
        _ = try? target.add(descriptorFile: scratch.file("eve.pub"), name: nil)
        let unread = failure(of: { _ = try KnownPeersStore(path: path) })
        #expect(unread == nil, "\(unread?.message ?? "")")
        // The same identity under a name that is one.
        try scratch.write(DescriptorFile.text(of: Identities.descriptor(Identities.bob, "bob")), to: "bob.pub")
        let refused = failure(of: { _ = try target.add(descriptorFile: scratch.file("bob.pub"), name: nil) })
        #expect(refused == nil, "\(refused?.message ?? "")")
        let pins = (try? KnownPeersStore(path: path).pins) ?? []
        #expect(Set(pins.map(\.peerID)) == [alice.peerID, bobsID])
    }

    /// Invitations outlive a change of tunnel.addresses: who comes then is let in, or refused, and no other guest is
    /// lost.
    @Test(arguments: [4, 9])
    func anInterfaceOnManyNetworksLeavesTheInvitationsReadable(_ count: Int) throws {
        let scratch = try Scratch()
        let store = try InvitationStore(path: scratch.file("invites.yaml"))
        let (record, _) = try store.create(name: "anna", seconds: 3600, uses: 2, now: UnixTime.now)
        let own = try (1...count).map { number in try InterfaceAddress("10.\(number).0.1/24") }
        let guest = try #require(PeerID(bytes: [UInt8](repeating: 1, count: PeerID.size)))
        let redeemed = failure(of: {
            _ = try store.redeem(
                record.id, by: guest, own: own, peers: [], pinnedNames: [], now: UnixTime.now)
        })
        #expect(count > 4 || redeemed == nil)
        let unread = failure(of: { _ = try InvitationStore(path: store.path) })
        #expect(unread == nil, "\(count) networks: \(unread?.message ?? "")")
        let invitations = (try? InvitationStore(path: store.path).document.invitations) ?? []
        #expect(invitations.map(\.id) == [record.id])
    }

    /// A node that can be invited to, by commands alone.
    private func inviter(_ scratch: Scratch, endpoint: String) throws -> InviteCommandTarget {
        if !scratch.names.contains("k") {
            _ = try PersistentIdentity.generate(into: scratch.file("k"), nickname: "hub")
        }
        try scratch.write(
            """
            keys: { runtime_temp_keys: false, dir: k }
            tunnel: { addresses: [10.77.0.1/24] }
            control: { enabled: false }
            invites: { endpoint: "\(endpoint)" }

            """, to: "c.yaml")
        return try InviteCommandTarget(configurationFile: scratch.file("c.yaml"))
    }

    @Test func anInvitationWhoseNameIsNoTextLeavesTheOthersReadable() throws {
        let scratch = try Scratch()
        let target = try inviter(scratch, endpoint: "192.0.2.1:9000")
        let good = try target.invite(name: "anna", expires: "24h", uses: 1, endpoint: nil, passphrase: .none)
        _ = try? target.invite(name: "a\u{FFFF}", expires: "24h", uses: 1, endpoint: nil, passphrase: .none)
        let unread = failure(of: { _ = try InvitationStore(path: scratch.file("invites.yaml")) })
        #expect(unread == nil, "\(unread?.message ?? "")")
        let ids = ((try? InvitationStore(path: scratch.file("invites.yaml")).document.invitations) ?? []).map(\.id)
        #expect(ids.contains { "\(InvitationID($0))" == good.id })
    }

    /// A link says its own length in one byte: what is longer must be refused where somebody can mend it, as
    /// --endpoint is.
    @Test func aConfiguredEndpointThatNoLinkHoldsIsRefused() throws {
        let scratch = try Scratch()
        let short = try inviter(scratch, endpoint: "vpn.example.org:9000")
        let link = try short.invite(name: nil, expires: "24h", uses: 1, endpoint: nil, passphrase: .none).link
        let expected = try EndpointName("vpn.example.org:9000")
        #expect(try InvitationLink(link).endpoint == expected)
        let label = String(repeating: "a", count: 60)
        let long = "\(label).\(label).\(label).\(label).org:9000"
        let target = try inviter(scratch, endpoint: long)
        let given = failure(of: {
            _ = try target.invite(name: nil, expires: "24h", uses: 1, endpoint: long, passphrase: .none)
        })
        #expect(given?.message.contains("too long for a link") == true, "\(given?.message ?? "made")")
        let before = try InvitationStore(path: scratch.file("invites.yaml")).document.invitations.count
        let configured = failure(of: {
            let made = try target.invite(name: nil, expires: "24h", uses: 1, endpoint: nil, passphrase: .none)
            _ = try InvitationLink(made.link)
        })
        #expect(configured?.message.contains("too long for a link") == true, "\(configured?.message ?? "made")")
        let after = try InvitationStore(path: scratch.file("invites.yaml")).document.invitations.count
        #expect(after == before, "no invitation was made")
    }
}
