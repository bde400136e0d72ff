// SPDX-License-Identifier: Apache-2.0
// Who is revoked by what: a list in a directory that was made anew, a statement that arrived damaged, and a file that
// has a peer's name.
import Foundation
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

@Suite(.threads(.programs)) struct RevocationPlaceTests {
    private let alice = Identities.alice.publicKeys.peerID
    private let bob = Identities.bob.publicKeys.peerID

    private func makeDirectory(_ name: String, in scratch: Scratch) throws {
        try FileManager.default.createDirectory(
            atPath: scratch.file(name), withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
    }

    /// docs/key-files.md: a list that is made anew adds to the one that was lost. With its directory it is lost, too.
    @Test func aListInADirectoryThatWasMadeAnewOnlyAdds() throws {
        let scratch = try Scratch()
        try makeDirectory("state", in: scratch)
        let path = scratch.file("state/r.yaml")
        let revocations = try RevocationList(path: path)
        let watch = TrustWatch(knownPeers: try KnownPeersStore(path: scratch.file("k.yaml")), revocations: revocations)
        #expect(watch.look().isEmpty)
        try RevocationList(path: path).revoke(alice)
        #expect(watch.look().count == 1 && revocations.ids == [alice])
        try FileManager.default.moveItem(atPath: scratch.file("state"), toPath: scratch.file("aside"))
        #expect(watch.look().count == 1 && revocations.ids == [alice], "told, and in force")
        try makeDirectory("state", in: scratch)
        try RevocationList(path: path).revoke(bob)
        #expect(watch.look().count == 1)
        #expect(revocations.ids == [alice, bob], "\(revocations.ids.map(\.short).sorted())")
    }

    /// A statement that mail has cut is no name of a peer.
    @Test func aDamagedStatementIsCalledOne() throws {
        let scratch = try Scratch()
        let path = scratch.file("k.yaml")
        try KnownPeersStore(path: path).add(Identities.pin(Identities.alice, "alice"))
        let target = try PeersCommandTarget(
            configurationFile: nil, knownPeersFile: path, revokedFile: scratch.file("r.yaml"), passphraseFile: nil)
        let text = RevocationFile.text(of: try RevocationStatement.make(signer: Identities.bob, serial: 3))
        try scratch.write(String(text.prefix(text.count / 2)), to: "dead.rev")
        let failed = failure(of: { _ = try target.revoke(scratch.file("dead.rev")) })
        #expect(failed?.message.contains("truncated") == true, "\(failed?.message ?? "revoked")")
        #expect(failed?.message.contains("no pinned peer") == false)
        #expect(try RevocationList(path: scratch.file("r.yaml")).ids.isEmpty)
        try scratch.write(text, to: "dead.rev")
        #expect(try target.revoke(scratch.file("dead.rev")).peerID == bob.hex)
        #expect(try target.revoke("alice").peerID == alice.hex)
        #expect(try RevocationList(path: scratch.file("r.yaml")).ids == [alice, bob])
    }

    /// Whoever may write into the directory that a command is run in must not choose whom it is about.
    @Test func aFileWithAPeersNameRevokesNobodyElse() throws {
        let scratch = try Scratch()
        try KnownPeersStore(path: scratch.file("known_peers.yaml")).add(Identities.pin(Identities.bob, "bob"))
        let stranger = try SoftwareIdentity()
        let text = RevocationFile.text(of: try RevocationStatement.make(signer: stranger, serial: 3))
        try scratch.write(text, to: "bob")
        let done = try Program.run(["peers", "revoke", "bob"], in: scratch)
        let revoked = try RevocationList(path: scratch.file("revoked.yaml")).ids
        #expect(
            revoked == [bob] || (done.status != 0 && revoked.isEmpty),
            "\(done.status) \(done.output)\(done.errors)")
        #expect(!revoked.contains(stranger.publicKeys.peerID))
        // By its path it is what it is.
        let named = try Program.run(["peers", "revoke", "./bob"], in: scratch)
        #expect(named.status == 0, "\(named.errors)")
        #expect(try RevocationList(path: scratch.file("revoked.yaml")).ids.contains(stranger.publicKeys.peerID))
    }
}
