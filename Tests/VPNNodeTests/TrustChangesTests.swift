// SPDX-License-Identifier: Apache-2.0
// Changes of pins and invitations that meet changes of others, what a node notices of them, and files of a
// configuration that are none.
import Foundation
import Logging
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

@Suite struct TrustChangesTests {
    private let alice = Identities.pin(Identities.alice, "alice")
    private let bob = Identities.pin(Identities.bob, "bob")

    /// Two commands at once: the one that comes second finds nobody, and brings nobody back.
    @Test func whoWasRemovedMeanwhileIsNotBroughtBack() throws {
        let scratch = try Scratch()
        let path = scratch.file("k.yaml")
        let store = try KnownPeersStore(path: path)
        try store.add(alice)
        try store.add(bob)
        #expect(try store.setAllowsPartial(true, of: "bob").allowsPartial)
        #expect(try KnownPeersStore(path: path).pin(of: bob.peerID)?.allowsPartial == true)
        try KnownPeersStore(path: path).remove("alice")
        let partial = failure(of: { _ = try store.setAllowsPartial(true, of: "alice") })
        #expect(partial?.message.contains("was removed meanwhile") == true, "\(partial?.message ?? "set")")
        #expect(try KnownPeersStore(path: path).pins.map(\.name) == ["bob"])

        let late = try KnownPeersStore(path: path)
        try KnownPeersStore(path: path).remove("bob")
        let carol = try SoftwareIdentity()
        let statement = try RotationStatement.make(
            old: Identities.bob, new: carol, descriptor: Identities.descriptor(carol, "x"), serial: 5)
        let rotated = failure(of: { _ = try late.rotate("bob", by: statement) })
        #expect(rotated?.message.contains("was removed meanwhile") == true, "\(rotated?.message ?? "rotated")")
        #expect(try KnownPeersStore(path: path).pins.isEmpty)
    }

    /// The operator's word that one peer has the keys of another leaves one of them.
    @Test func trustLeavesOnePinOfAnIdentity() throws {
        let scratch = try Scratch()
        let path = scratch.file("k.yaml")
        let store = try KnownPeersStore(path: path)
        try store.add(alice)
        try store.add(bob)
        let old = try store.trust(bob.keys, as: "alice")
        #expect(old == alice)
        #expect(store.pins.map(\.name) == ["alice"] && store.pins.map(\.peerID) == [bob.peerID])
        #expect(try KnownPeersStore(path: path).pins == store.pins)
        #expect(failure(of: { _ = try store.trust(alice.keys, as: "bob") })?.status == .usage)
    }

    private func words(_ findings: [TrustWatch.Finding]) -> [String] {
        findings.map { finding in
            switch finding {
            case .pins: "pins"
            case .invitations: "invitations"
            case .revoked(let ids): "revoked \(ids.count)"
            case .refused(let words): words
            }
        }
    }

    /// The third file that a running node looks at.
    @Test func invitationsOfOtherProcessesAreNoticedAndBadFilesAreNot() throws {
        let scratch = try Scratch()
        let invitations = try InvitationStore(path: scratch.file("i.yaml"))
        let watch = TrustWatch(
            knownPeers: try KnownPeersStore(path: scratch.file("k.yaml")),
            revocations: try RevocationList(path: scratch.file("r.yaml")), invitations: invitations)
        #expect(watch.look().isEmpty)
        let (record, _) = try InvitationStore(path: invitations.path).create(
            name: "a", seconds: 3600, uses: 1, now: UnixTime.now)
        #expect(words(watch.look()) == ["invitations"])
        #expect(invitations.document.invitations.map(\.id) == [record.id])
        #expect(watch.look().isEmpty)
        let good = try scratch.read("i.yaml")
        let spoil: [() throws -> Void] = [
            { try scratch.setMode(0o644, of: "i.yaml") },
            { try scratch.write(String(good.dropLast(9)), to: "i.yaml") },
            { try FileManager.default.removeItem(atPath: invitations.path) },
        ]
        for (number, spoil) in spoil.enumerated() {
            try spoil()
            let found = words(watch.look())
            #expect(found.count == 1 && found.first?.contains(invitations.path) == true, "\(number): \(found)")
            #expect(watch.look().isEmpty, "told once")
            #expect(invitations.document.invitations.map(\.id) == [record.id], "\(number)")
        }
        try scratch.write(good, to: "i.yaml")
        #expect(words(watch.look()) == ["invitations"])
    }

    @Test func aNodeWhoseIdentityIsRevokedDoesNotStart() throws {
        let configuration = try LoadedConfiguration(text: "", file: "n.yaml").configuration
        let others = failure(of: {
            try configuration.check(pins: [alice], revoked: [bob.peerID], own: alice.peerID)
        })
        #expect(others == nil)
        let own = failure(of: {
            try configuration.check(pins: [alice], revoked: [bob.peerID, alice.peerID], own: alice.peerID)
        })
        #expect(own?.status == .untrustedIdentity)
        #expect(own?.message.contains("is revoked in \(configuration.security.revokedFile)") == true)
        // Before the identity is known nothing can be said of it.
        #expect(failure(of: { try configuration.check(pins: [], revoked: [alice.peerID], own: nil) }) == nil)
    }

    /// Guests are of another file: one that this user may not read is a warning, and one that is damaged a fault.
    @Test func guestsThatCannotBeReadAreLeftOutAndSaidTo() throws {
        let scratch = try Scratch()
        let store = try InvitationStore(path: scratch.file("invites.yaml"))
        let (record, _) = try store.create(name: "anna", seconds: 3600, uses: 1, now: UnixTime.now)
        _ = try store.redeem(
            record.id, by: bob.peerID, own: [try InterfaceAddress("10.77.0.1/24")], peers: [], pinnedNames: [],
            now: UnixTime.now)
        let path = try scratch.write("logging: { level: INFO }\n", to: "c.yaml")
        let loaded = try LoadedConfiguration(file: path)
        #expect(loaded.warnings.isEmpty && loaded.configuration.peers.map(\.name) == ["anna"])
        try scratch.setMode(0o644, of: "invites.yaml")
        let without = try LoadedConfiguration(file: path)
        #expect(without.configuration.peers.isEmpty && without.warnings.map(\.severity) == [.warning])
        #expect(without.warnings.first?.message.contains("its guests are left out") == true)
        // A daemon does not start like that: it would send them all away.
        #expect(failure(of: { _ = try InvitationStore(path: store.path) })?.status == .permission)
        try scratch.write("nonsense\n", to: "invites.yaml")
        #expect(failure(of: { _ = try LoadedConfiguration(file: path) })?.status == .usage)
    }

    /// A configuration may be a link; what is no file, or absurdly long, ends at once.
    @Test func configurationsAreFilesOfSomeSize() throws {
        let scratch = try Scratch()
        try scratch.write("logging: { level: ERROR }\n", to: "real.yaml")
        try scratch.link("c.yaml", to: scratch.file("real.yaml"))
        #expect(try LoadedConfiguration(file: scratch.file("c.yaml")).configuration.logLevel == .error)
        scratch.makeFIFO("fifo")
        let fifo = failure(of: { _ = try LoadedConfiguration(file: scratch.file("fifo")) })
        #expect(fifo?.message.contains("is not a regular file") == true, "\(fifo?.message ?? "read")")
        try scratch.write("", to: "long.yaml")
        let file = try FileHandle(forWritingTo: URL(fileURLWithPath: scratch.file("long.yaml")))
        try file.truncate(atOffset: (64 << 20) + 1)
        try file.close()
        let long = failure(of: { _ = try LoadedConfiguration(file: scratch.file("long.yaml")) })
        #expect(long?.message.contains("is larger than 64 MiB") == true, "\(long?.message ?? "read")")
        try scratch.link("nowhere.yaml", to: scratch.file("absent"))
        #expect(failure(of: { _ = try LoadedConfiguration(file: scratch.file("nowhere.yaml")) })?.status == .usage)
    }
}
