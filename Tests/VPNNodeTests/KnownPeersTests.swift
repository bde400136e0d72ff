// SPDX-License-Identifier: Apache-2.0
// The file of pins: changes last, hostile content changes nothing, and nobody's name is taken over.
import Foundation
import Glibc
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

struct KnownPeersTests {
    private let alice = Identities.pin(Identities.alice, "alice")
    private let bob = Identities.pin(Identities.bob, "bob")

    @Test func pinsComeBack() throws {
        let scratch = try Scratch()
        let path = scratch.file("k.yaml")
        let store = try KnownPeersStore(path: path)
        #expect(store.pins.isEmpty && scratch.names.isEmpty)
        var met = bob
        met.origin = .firstUse
        met.endpoint = "[2001:db8::1]:9000"
        met.name = "bob \"the\" tab\\"
        #expect(try store.add(alice))
        #expect(try store.add(met))
        #expect(try !store.add(alice), "known already")
        let again = try KnownPeersStore(path: path)
        #expect(again.pins == [alice, met] && again.pins == store.pins)
        #expect(again.pin(of: bob.peerID) == met && again.pin(of: .zero) == nil)
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
        #expect(scratch.names == ["k.yaml", "k.yaml.lock"])
    }

    @Test func theOperatorsWordGoesOverFirstUse() throws {
        let scratch = try Scratch()
        let store = try KnownPeersStore(path: scratch.file("k.yaml"))
        var met = alice
        met.origin = .firstUse
        try store.add(met)
        #expect(try store.add(alice))
        #expect(store.pins == [alice])
        #expect(try !store.add(met) && store.pins == [alice])
    }

    @Test func aNameIsNotTakenOver() throws {
        let scratch = try Scratch()
        let store = try KnownPeersStore(path: scratch.file("k.yaml"))
        try store.add(alice)
        var thief = bob
        thief.name = "alice"
        let failed = failure(of: { try store.add(thief) })
        #expect(failed?.status == .untrustedIdentity && failed?.message.contains("peers trust alice") == true)
        #expect(store.pins == [alice])
        let old = try store.trust(bob.keys, as: "alice")
        #expect(old == alice && store.pins == [thief])
        #expect(try KnownPeersStore(path: scratch.file("k.yaml")).pins == [thief])
    }

    @Test func peersAreFoundByNameAndDigits() throws {
        let scratch = try Scratch()
        let store = try KnownPeersStore(path: scratch.file("k.yaml"))
        try store.add(alice)
        try store.add(bob)
        #expect(try store.pin(matching: "bob") == bob)
        #expect(try store.pin(matching: alice.peerID.hex) == alice)
        #expect(try store.pin(matching: alice.peerID.short.uppercased()) == alice)
        #expect(failure(of: { _ = try store.pin(matching: String(alice.peerID.hex.prefix(7))) })?.status == .usage)
        #expect(failure(of: { _ = try store.pin(matching: "bbo") })?.message.contains("did you mean 'bob'") == true)
        #expect(try store.remove("bob") == bob)
        #expect(store.pins == [alice])
    }

    @Test func twoWritersDoNotLoseEachOthersPins() throws {
        let scratch = try Scratch()
        let (one, two) = (
            try KnownPeersStore(path: scratch.file("k.yaml")), try KnownPeersStore(path: scratch.file("k.yaml"))
        )
        try one.add(alice)
        try two.add(bob)
        #expect(two.pins == [alice, bob])
        #expect(try KnownPeersStore(path: scratch.file("k.yaml")).pins == [alice, bob])
    }

    /// As earlier programs wrote it, and as people do.
    private static func version1(of pins: [PinnedPeer]) -> String {
        let lines = KnownPeersDocument.text(of: pins).split(separator: "\n").filter { !$0.hasPrefix("checksum:") }
        return lines.joined(separator: "\n").replacingOccurrences(of: "version: 2", with: "version: 1") + "\n"
    }

    @Test func filesWithoutAChecksumAreReadAndGetOne() throws {
        let scratch = try Scratch()
        try scratch.write(Self.version1(of: [alice]), to: "k.yaml")
        let store = try KnownPeersStore(path: scratch.file("k.yaml"))
        #expect(store.pins == [alice])
        try store.add(bob)
        #expect(try scratch.read("k.yaml") == KnownPeersDocument.text(of: [alice, bob]))
    }

    /// Every byte of the file replaced by every other bit pattern of one bit, and by a few bytes that mean something in YAML.
    @Test func everyChangedByteIsRefused() throws {
        var met = bob
        met.allowsPartial = true
        let bytes = [UInt8](KnownPeersDocument.text(of: [alice, met]).utf8)
        // Each key is ten thousand characters of one kind: every byte of the text around them, every 37th of theirs.
        let quoted = String(decoding: bytes, as: UTF8.self)
        for place in bytes.indices where isInteresting(place, in: quoted) || place % 37 == 0 {
            for new in (0..<8).map({ bytes[place] ^ 1 << UInt8($0) }) + [UInt8(ascii: "#"), 0x0A, 0x20, 0x22]
            where new != bytes[place] {
                var changed = bytes
                changed[place] = new
                guard let text = String(validating: changed, as: UTF8.self) else { continue }
                let message = failure(of: { _ = try KnownPeersDocument.decode(text, path: "k") })?.message
                #expect(message?.hasPrefix("known peers k") == true, "byte \(place) as \(new)")
            }
        }
    }

    private func isInteresting(_ place: Int, in text: String) -> Bool {
        let bytes = text.utf8
        let index = bytes.index(bytes.startIndex, offsetBy: place)
        let around = bytes[
            (bytes.index(index, offsetBy: -40, limitedBy: bytes.startIndex) ?? bytes.startIndex)...index]
        return around.contains(0x0A)
    }

    @Test func everyCutIsNoticed() throws {
        let text = KnownPeersDocument.text(of: [alice, bob])
        #expect(try KnownPeersDocument.decode(text, path: "k") == [alice, bob])
        for length in 0..<text.utf8.count {
            let cut = String(decoding: text.utf8.prefix(length), as: UTF8.self)
            #expect(
                failure(of: { _ = try KnownPeersDocument.decode(cut, path: "k") })?.message.contains("truncated")
                    == true)
        }
    }

    @Test func hostileContentIsNamedAndChangesNothing() throws {
        // Version 1 has no checksum, so that these reach what lies behind it.
        let text = Self.version1(of: [alice, bob])
        let entry = text.components(separatedBy: "  - peer_id")[1]
        func replaced(_ old: String, _ new: String) -> String {
            var result = text
            if let range = result.range(of: old) { result.replaceSubrange(range, with: new) }
            return result
        }
        let bobsKey = Data(bob.keys.ed25519).base64EncodedString()
        let cases: [(String, String)] = [
            (replaced("version: 1", "version: 3"), "version is neither 1 nor 2"),
            (replaced("version: 1", "version: 2"), "does not match its checksum"),
            (replaced("peers:", "peers: 5\nother:"), "unknown key 'other'"),
            (replaced("name: \"alice\"", "name: \"bob\""), "the name 'bob' stands more than once"),
            (replaced("\n...\n", "\n  - peer_id\(entry)\n...\n"), "stands more than once"),
            (replaced(alice.peerID.hex, bob.peerID.hex), "do not belong to its peer_id"),
            (replaced(Data(alice.keys.ed25519).base64EncodedString(), bobsKey), "do not belong to its peer_id"),
            (replaced("allow_partial: false", "allow_partial: maybe"), "is neither true nor false"),
            (replaced("added_by: operator", "added_by: nobody"), "added_by is neither operator nor tofu"),
            (replaced("    endpoint: \"\"\n", ""), "endpoint is missing"),
            (replaced("endpoint: \"\"", "endpoint: nowhere"), "the endpoint of"),
            (replaced("ed25519: \"", "ed25519: \"!"), "ed25519 is not base64"),
            (replaced("    ed25519: \"", "    ed25519: \"AAAA"), "are refused"),
            (replaced("    name: \"alice\"\n", "    name: \"alice\"\n    shoe_size: 9\n"), "unknown key 'shoe_size'"),
            (replaced("    name: \"alice\"\n", "    name: \"alice\"\n    name: \"a\"\n"), "stands more than once"),
            (replaced("name: \"alice\"", "name: \"\\e[2J\""), "not printable"),
            ("[1, 2]\n...\n", "the file is not a map"), ("\u{0}\n...\n", "not valid YAML"),
            ("version: 1\n...\n", "there is no list 'peers'"),
        ]
        let scratch = try Scratch()
        for (content, message) in cases {
            try scratch.write(content, to: "k.yaml")
            let failed = failure(of: { _ = try KnownPeersStore(path: scratch.file("k.yaml")) })
            #expect(failed?.message.contains(message) == true, "\(message): \(failed?.message ?? "accepted")")
            #expect(failed?.message.contains("known peers \(scratch.file("k.yaml"))") == true)
            #expect(try scratch.read("k.yaml") == content)
        }
    }

    @Test func aFileThatTurnsBadKeepsTheOldStateInMemoryAndItselfOnDisk() throws {
        let scratch = try Scratch()
        let store = try KnownPeersStore(path: scratch.file("k.yaml"))
        try store.add(alice)
        try scratch.write("garbage", to: "k.yaml")
        #expect(failure(of: { try store.add(bob) }) != nil)
        #expect(store.pins == [alice])
        #expect(try scratch.read("k.yaml") == "garbage")
    }

    /// Whoever lost the file has a backup, or means to begin anew by a restart; one pin in its place would be neither.
    @Test func aLostFileIsNotBegunAnew() throws {
        let scratch = try Scratch()
        let path = scratch.file("k.yaml")
        let store = try KnownPeersStore(path: path)
        try store.add(alice)
        try FileManager.default.removeItem(atPath: path)
        let failed = failure(of: { _ = try store.add(bob, patience: 100) })
        #expect(failed?.message.contains("is gone") == true, "\(failed?.message ?? "added")")
        #expect(failure(of: { try store.reread() })?.message.contains("is gone") == true)
        #expect(store.pins == [alice] && !scratch.names.contains("k.yaml"))
        #expect(try KnownPeersStore(path: path).add(bob))
    }

    @Test func aNodeDoesNotWaitForALockWithoutEnd() throws {
        let scratch = try Scratch()
        let path = scratch.file("k.yaml")
        let store = try KnownPeersStore(path: path)
        do {
            let lock = try OpenFile(path + ".lock", O_RDWR | O_CREAT, mode: 0o600)
            try lock.lock()
            let failed = failure(of: { _ = try store.add(alice, patience: 50) })
            #expect(failed?.message.contains("is held by another process") == true, "\(failed?.message ?? "added")")
            #expect(failure(of: { _ = try store.add(all: [alice, bob], patience: 50) }) != nil)
            // A passphrase is asked for before the lock is: nobody waits for who types.
            #expect(failure(of: { try store.seal(by: .never) })?.message.contains("there is no passphrase") == true)
            let invitations = try InvitationStore(path: scratch.file("invites.yaml"))
            let (record, _) = try invitations.create(name: "a", seconds: 3600, uses: 1, now: UnixTime.now)
            let other = try OpenFile(invitations.path + ".lock", O_RDWR | O_CREAT, mode: 0o600)
            try other.lock()
            #expect(
                failure(of: {
                    _ = try invitations.redeem(
                        record.id, by: bob.peerID, own: [try InterfaceAddress("10.77.0.1/24")], peers: [],
                        pinnedNames: [], now: UnixTime.now, patience: 50)
                })?.message.contains("is held by another process") == true)
            // Held until here.
            let paths = [lock.path, other.path]
            #expect(store.pins.isEmpty && paths[0] != paths[1])
        }
        #expect(try store.add(alice, patience: 50))
    }

    @Test func severalComeInOneChangeAndNothingIsWrittenForNothing() throws {
        let scratch = try Scratch()
        let store = try KnownPeersStore(path: scratch.file("k.yaml"))
        var thief = bob
        thief.name = "alice"
        #expect(try store.add(all: [alice, thief], patience: 1000) == [alice])
        let before = try OpenFile.directory(scratch.path).status(of: "k.yaml")
        #expect(try store.add(all: [alice, thief], patience: 1000) == [alice])
        #expect(try !store.add(alice))
        let after = try OpenFile.directory(scratch.path).status(of: "k.yaml")
        #expect(after == before)
        #expect(try store.add(all: [alice, bob], patience: 1000) == [alice, bob] && store.pins == [alice, bob])
    }

    @Test func filesThatOthersReachAreRefused() throws {
        let scratch = try Scratch()
        try scratch.write(KnownPeersDocument.text(of: [alice]), to: "k.yaml", mode: 0o666)
        let open = failure(of: { _ = try KnownPeersStore(path: scratch.file("k.yaml")) })
        #expect(open?.status == .permission && open?.message.contains("has mode 666") == true)
        try scratch.setMode(0o600, of: "k.yaml")
        try scratch.link("l.yaml", to: scratch.file("k.yaml"))
        let link = failure(of: { _ = try KnownPeersStore(path: scratch.file("l.yaml")) })
        #expect(link?.status == .permission && link?.message.contains("symbolic link") == true)
    }

    // MARK: Against the configuration

    private func check(_ text: String, pins: [PinnedPeer], own: PeerID? = nil) -> NodeFailure? {
        failure(of: { try LoadedConfiguration(text: text, file: "n.yaml").configuration.check(pins: pins, own: own) })
    }

    @Test func peersMustBeKnownOrMayBeMet() {
        let entry = "peers:\n  - { name: bob, peer_id: \"\(bob.peerID.hex)\" }\n"
        let called = "peers:\n  - { name: bob, peer_id: \"\(bob.peerID.hex)\", endpoint: \"b.example:1\" }\n"
        #expect(check(entry, pins: [bob]) == nil)
        #expect(check(entry, pins: [])?.message.contains("is not pinned") == true)
        #expect(check(entry, pins: [])?.status == .usage)
        #expect(check("security: {tofu: true}\n" + entry, pins: []) == nil)
        #expect(check("security: {tofu: true, strict_tofu: true}\n" + entry, pins: [])?.status == .usage)
        #expect(check("security: {tofu: true, strict_tofu: true}\n" + called, pins: []) == nil)
        var renamed = alice
        renamed.name = "bob"
        #expect(check(entry, pins: [renamed])?.status == .untrustedIdentity)
        let own = check(entry, pins: [bob], own: bob.peerID)
        #expect(own?.message == "n.yaml:2:5: error: peers[0].peer_id: is this node's own identity: remove the entry")
    }
}
