// SPDX-License-Identifier: Apache-2.0
// Root's commands on the files of a daemon that is another user's: they make nothing that it could not read.
import Foundation
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

@Suite struct StateOwnerTests {
    @Test func rootMakesNothingInTheDirectoryOfAnother() throws {
        guard isRoot else { return print("SKIPPED: rootMakesNothingInTheDirectoryOfAnother needs root") }
        let scratch = try Scratch()
        _ = try PersistentIdentity.generate(into: scratch.file("k"), nickname: "a")
        let descriptor = scratch.file("k/\(PersistentIdentity.descriptorName)")
        try FileManager.default.createDirectory(
            atPath: scratch.file("state"), withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        try scratch.giveAway("state")
        let peers = try PeersCommandTarget(
            configurationFile: nil, knownPeersFile: scratch.file("state/k.yaml"),
            revokedFile: scratch.file("state/r.yaml"), passphraseFile: nil)
        let relays = try RelayCommandTarget(configurationFile: nil, relaysFile: scratch.file("state/relays.yaml"))
        try scratch.write("invites: { file: state/invites.yaml }\n", to: "c.yaml")
        let acts: [() throws -> Void] = [
            { _ = try peers.add(descriptorFile: descriptor, name: nil) },
            { _ = try peers.revoke(String(repeating: "ab", count: 32)) },
            { _ = try peers.restore(String(repeating: "ab", count: 32)) },
            { _ = try peers.remove("a") },
            { _ = try relays.remove("r1") },
            { _ = try InviteCommandTarget(configurationFile: scratch.file("c.yaml")) },
        ]
        for act in acts {
            let refused = failure(of: act)
            #expect(refused?.status == .permission, "\(refused?.message ?? "done")")
            #expect(refused?.message.contains("sudo -u nobody pqvpn") == true, "\(refused?.message ?? "done")")
            #expect(try FileManager.default.contentsOfDirectory(atPath: scratch.file("state")) == [])
        }
        // What is that user's is read by that user, and not taken from it.
        try scratch.write(KnownPeersDocument.text(of: []), to: "state/k.yaml")
        try scratch.giveAway("state/k.yaml")
        let foreign = failure(of: { _ = try peers.list() })
        #expect(foreign?.status == .permission && foreign?.message.contains("sudo -u nobody pqvpn") == true)
        #expect(foreign?.message.contains("chown") == false)
        // In somebody's home root's daemon may be at home, too.
        try FileManager.default.createDirectory(
            atPath: scratch.file("home"), withIntermediateDirectories: true,
            attributes: [.posixPermissions: 0o700, .ownerAccountID: 1000])
        let home = try PeersCommandTarget(
            configurationFile: nil, knownPeersFile: scratch.file("home/k.yaml"),
            revokedFile: scratch.file("home/r.yaml"), passphraseFile: nil)
        #expect(try home.add(descriptorFile: descriptor, name: nil).action == "added")
        // A file of root's has a reader who can.
        try FileManager.default.removeItem(atPath: scratch.file("state/k.yaml"))
        try scratch.write(KnownPeersDocument.text(of: []), to: "state/k.yaml")
        #expect(try peers.add(descriptorFile: descriptor, name: nil).action == "added")
    }
}
