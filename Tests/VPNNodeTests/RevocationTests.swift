// SPDX-License-Identifier: Apache-2.0
// The revocation list on disk, what changes of it and of the pins reach a running node, and what bad files do to neither.
import Foundation
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

struct RevocationTests {
    private let alice = Identities.alice.publicKeys.peerID
    private let bob = Identities.bob.publicKeys.peerID

    @Test func wordsOfOwnersAndOperatorsComeBack() throws {
        let scratch = try Scratch()
        let list = try RevocationList(path: scratch.file("r.yaml"))
        #expect(list.ids.isEmpty && scratch.names.isEmpty)
        #expect(try list.revoke(alice))
        #expect(try !list.revoke(alice), "known already")
        let statement = try RevocationStatement.make(signer: Identities.bob, serial: 3)
        #expect(try list.revoke(statement))
        let again = try RevocationList(path: scratch.file("r.yaml"))
        #expect(again.ids == [alice, bob] && again.entries == list.entries.sorted { $0.peerID < $1.peerID })
        #expect(failure(of: { try again.restore(bob) })?.status == .untrustedIdentity)
        try again.restore(alice)
        #expect(try RevocationList(path: scratch.file("r.yaml")).ids == [bob])
        #expect(failure(of: { try again.restore(alice) })?.status == .usage)
        // The owner's word goes over the operator's, and is not taken back by it.
        try again.revoke(alice)
        #expect(try again.revoke(RevocationStatement.make(signer: Identities.alice, serial: 4)))
        #expect(try !again.revoke(alice))
        #expect(again.entries.allSatisfy { $0.statement != nil })
        let mode = try FileManager.default.attributesOfItem(atPath: scratch.file("r.yaml"))[.posixPermissions] as? Int
        #expect(mode == 0o600)
    }

    @Test func anOperatorMayWriteItByHand() throws {
        let scratch = try Scratch()
        try scratch.write("version: 1\nrevoked:\n  - \(alice.hex)\n  - peer_id: \(bob.hex)\n...\n", to: "r.yaml")
        #expect(try RevocationList(path: scratch.file("r.yaml")).ids == [alice, bob])
        try scratch.write("version: 1\nrevoked: []\n...\n", to: "r.yaml")
        #expect(try RevocationList(path: scratch.file("r.yaml")).ids.isEmpty)
    }

    @Test func hostileContentIsNamedAndRefusedAsAWhole() throws {
        let scratch = try Scratch()
        let path = scratch.file("r.yaml")
        let foreign = Data(try RevocationStatement.make(signer: Identities.bob, serial: 3).encoded)
            .base64EncodedString()
        for (content, message) in [
            ("version: 1\nrevoked:\n  - \(alice.hex)\n", "truncated"), ("", "truncated"),
            ("version: 3\nrevoked: []\n...\n", "neither 1 nor 2"),
            ("version: 2\nrevoked: []\n...\n", "does not match its checksum"),
            ("version: 1\nrevoked: []\nextra: 1\n...\n", "unknown key 'extra'"),
            ("version: 1\n...\n", "there is no list"), ("version: 1\nrevoked: 5\n...\n", "there is no list"),
            ("version: 1\nrevoked: [abc]\n...\n", "not 64 hexadecimal digits"),
            ("version: 1\nrevoked: [\(alice.hex), \(alice.hex)]\n...\n", "more than once"),
            ("version: 1\nrevoked: [{peer_id: \(alice.hex), why: x}]\n...\n", "unknown key 'why'"),
            ("version: 1\nrevoked: [{statement: \"\"}]\n...\n", "not 64 hexadecimal digits"),
            ("version: 1\nrevoked: [{peer_id: \(alice.hex), statement: \"!\"}]\n...\n", "not base64"),
            ("version: 1\nrevoked: [{peer_id: \(alice.hex), statement: AAAA}]\n...\n", "is damaged"),
            ("version: 1\nrevoked: [{peer_id: \(alice.hex), statement: \"\(foreign)\"}]\n...\n", "about somebody else"),
            ("version: 1\nrevoked: [[]]\n...\n", "neither a peer_id nor a map"), ("[\n...\n", "not valid YAML"),
        ] {
            try scratch.write(content, to: "r.yaml")
            let failed = failure(of: { _ = try RevocationList(path: path) })
            #expect(failed?.message.contains(message) == true, "\(message): \(failed?.message ?? "accepted")")
            #expect(failed?.message.contains("revocation list \(path)") == true)
        }
        let good = RevocationDocument.text(of: [RevokedIdentity(peerID: alice, statement: nil)])
        let bytes = [UInt8](good.utf8)
        for place in bytes.indices {
            for bit in 0..<8 {
                var changed = bytes
                changed[place] ^= 1 << UInt8(bit)
                guard let text = String(validating: changed, as: UTF8.self) else { continue }
                #expect(failure(of: { _ = try RevocationDocument.decode(text, path: "r") }) != nil, "\(place) \(bit)")
            }
        }
        try scratch.write(good, to: "r.yaml", mode: 0o644)
        #expect(failure(of: { _ = try RevocationList(path: path) })?.message.contains("has mode 644") == true)
        try scratch.setMode(0o600, of: "r.yaml")
        try scratch.link("l.yaml", to: path)
        #expect(
            failure(of: { _ = try RevocationList(path: scratch.file("l.yaml")) })?.message.contains("symbolic link")
                == true)
    }

    // MARK: While a node runs

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

    /// A list that was lost lets nobody in again by being begun anew.
    @Test func aListThatTakesTheLostOnesPlaceOnlyAdds() throws {
        let scratch = try Scratch()
        let list = scratch.file("r.yaml")
        let revocations = try RevocationList(path: list)
        let watch = TrustWatch(knownPeers: try KnownPeersStore(path: scratch.file("k.yaml")), revocations: revocations)
        #expect(watch.look().isEmpty)
        try RevocationList(path: list).revoke(alice)
        #expect(words(watch.look()) == ["revoked 1"])
        try FileManager.default.removeItem(atPath: list)
        #expect(words(watch.look()).first?.contains("is gone") == true && revocations.ids == [alice])
        #expect(failure(of: { _ = try revocations.reread() })?.message.contains("is gone") == true)
        let bob = Identities.bob.publicKeys.peerID
        try RevocationList(path: list).revoke(bob)
        #expect(words(watch.look()) == ["revoked 2"] && revocations.ids == [alice, bob])
        try RevocationList(path: list).restore(bob)
        #expect(words(watch.look()) == ["revoked 1"] && revocations.ids == [alice])
    }

    /// Whatever is put in the place of a good file while the node runs: told once, by name, and the old state stays.
    @Test func aWatchTakesGoodChangesAndKeepsTheOldStateThroughBadOnes() throws {
        let scratch = try Scratch()
        let (pins, list) = (scratch.file("k.yaml"), scratch.file("r.yaml"))
        let store = try KnownPeersStore(path: pins)
        let revocations = try RevocationList(path: list)
        let watch = TrustWatch(knownPeers: store, revocations: revocations)
        #expect(watch.look().isEmpty, "files that are not there yet are no news")
        try store.add(Identities.pin(Identities.alice, "alice"))
        #expect(words(watch.look()) == ["pins"])
        #expect(watch.look().isEmpty)
        // By other processes.
        try KnownPeersStore(path: pins).add(Identities.pin(Identities.bob, "bob"))
        try RevocationList(path: list).revoke(alice)
        #expect(words(watch.look()) == ["revoked 1", "pins"])
        #expect(revocations.ids == [alice] && store.pins.map(\.name) == ["alice", "bob"])

        let (goodPins, goodList) = (try scratch.read("k.yaml"), try scratch.read("r.yaml"))
        for (name, good) in [("k.yaml", goodPins), ("r.yaml", goodList)] {
            let path = scratch.file(name)
            let spoil: [() throws -> Void] = [
                { try scratch.write(String(good.dropLast(9)), to: name) },
                { try scratch.write(good.replacingOccurrences(of: "version: 2", with: "version: 1"), to: name) },
                { try scratch.write("", to: name) },
                { try scratch.write(good, to: name, mode: 0o666) },
                { try FileManager.default.removeItem(atPath: path) },
                {
                    try scratch.write(good, to: "elsewhere")
                    try scratch.link(name, to: scratch.file("elsewhere"))
                },
                {
                    try FileManager.default.removeItem(atPath: path)
                    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
                },
            ]
            for (number, spoil) in spoil.enumerated() {
                try spoil()
                let found = words(watch.look())
                #expect(found.count == 1 && found.first?.contains(path) == true, "\(name) \(number): \(found)")
                #expect(found.first?.contains("stays in force") == true, "\(found)")
                #expect(watch.look().isEmpty, "told once")
                #expect(store.pins.count == 2 && revocations.ids == [alice])
            }
            try FileManager.default.removeItem(atPath: path)
            try scratch.write(good, to: name)
            #expect(words(watch.look()) == [name == "k.yaml" ? "pins" : "revoked 1"])
        }
    }
}
