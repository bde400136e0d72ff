// SPDX-License-Identifier: Apache-2.0
// New keys for a node, and how its peers follow: by statements that the pinned keys signed, each once and in order.
import Foundation
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

struct RotationTests {
    private static let carol = try! SoftwareIdentity()
    private static let dave = try! SoftwareIdentity()

    private static func statement(
        _ old: SoftwareIdentity, _ new: SoftwareIdentity, serial: UInt64
    ) throws -> RotationStatement {
        try RotationStatement.make(
            old: old, new: new, descriptor: Identities.descriptor(new, "x"), serial: serial)
    }

    private func store(_ scratch: Scratch, _ pins: PinnedPeer...) throws -> KnownPeersStore {
        let store = try KnownPeersStore(path: scratch.file("k.yaml"))
        for pin in pins { try store.add(pin) }
        return store
    }

    private func refusal(_ store: KnownPeersStore, _ name: String, _ statement: RotationStatement) -> String? {
        let before = store.pins
        let failed = failure(of: { _ = try store.rotate(name, by: statement) })
        #expect(store.pins == before)
        #expect(failed == nil || failed?.status == .untrustedIdentity)
        return failed?.message
    }

    @Test func aPeerIsFollowedToItsNewKeys() throws {
        let scratch = try Scratch()
        var met = Identities.pin(Identities.alice, "alice")
        met.origin = .firstUse
        met.endpoint = "192.0.2.1:9000"
        met.allowsPartial = true
        let store = try store(scratch, met, Identities.pin(Identities.bob, "bob"))
        let (old, new) = try store.rotate("alice", by: Self.statement(Identities.alice, Self.carol, serial: 5))
        #expect(old == met)
        // Name, origin and place stay; leave for one signature was given to other keys.
        #expect(new.keys == Self.carol.publicKeys && new.name == "alice" && new.origin == .firstUse)
        #expect(new.endpoint == met.endpoint && !new.allowsPartial && new.rotationSerial == 5)
        #expect(try KnownPeersStore(path: scratch.file("k.yaml")).pins == store.pins)
        _ = try store.rotate("alice", by: Self.statement(Self.carol, Self.dave, serial: 6))
        #expect(store.pins.map(\.peerID) == [Self.dave.publicKeys.peerID, Identities.bob.publicKeys.peerID])
    }

    @Test func forgedReplayedReorderedAndForeignStatementsAreRefusedByName() throws {
        let scratch = try Scratch()
        let store = try store(
            scratch, Identities.pin(Identities.alice, "alice"), Identities.pin(Identities.bob, "bob"))
        let first = try Self.statement(Identities.alice, Self.carol, serial: 5)
        let second = try Self.statement(Self.carol, Self.dave, serial: 6)

        // Of another peer, pinned or not.
        #expect(refusal(store, "bob", first)?.contains("it is the one of 'alice'") == true)
        let unknown = try Self.statement(Self.dave, Self.carol, serial: 5)
        #expect(refusal(store, "bob", unknown)?.contains("another peer, or an earlier rotation is missing") == true)
        // Before its turn.
        #expect(refusal(store, "alice", second)?.contains("an earlier rotation is missing") == true)
        // Signed by the new identity only: its own signature in the place of the old one's.
        var forged = first.encoded
        let own = try Self.carol.sign(Hash.sha512(Array(forged.dropLast(2 * 4691))), role: .rotationFrom)
        forged.replaceSubrange((forged.count - 2 * 4691)..<(forged.count - 4691), with: own)
        let claim = try RotationStatement(decoding: forged, using: SystemCryptography())
        #expect(refusal(store, "alice", claim)?.contains("the pinned keys did not sign it") == true)
        // To an identity that is somebody else here.
        let taken = try Self.statement(Identities.alice, Identities.bob, serial: 5)
        #expect(refusal(store, "alice", taken)?.contains("is pinned as 'bob' already") == true)

        _ = try store.rotate("alice", by: first)
        #expect(refusal(store, "alice", first)?.contains("applied already") == true)
        let late = try Self.statement(Identities.alice, Self.dave, serial: 4)
        #expect(refusal(store, "alice", late)?.contains("a replay") == true)
        let low = try Self.statement(Self.carol, Self.dave, serial: 5)
        #expect(refusal(store, "alice", low)?.contains("is not above 5") == true)
        _ = try store.rotate("alice", by: second)
        #expect(refusal(store, "alice", first)?.contains("a replay") == true)
        #expect(failure(of: { _ = try store.rotate("nobody", by: second) })?.status == .usage)
    }

    @Test func statementFilesAreRefusedOnceTouched() throws {
        let rotation = RotationFile.text(of: try Self.statement(Identities.alice, Self.carol, serial: 5))
        let revocation = RevocationFile.text(of: try RevocationStatement.make(signer: Identities.alice, serial: 5))
        #expect(try RotationFile.decode("mail\n" + rotation + "-- \n", path: "r").serial == 5)
        #expect(try RevocationFile.decode("mail\n" + revocation + "-- \n", path: "r").serial == 5)
        for (text, decode) in [
            (
                rotation,
                { (text: String) in
                    try RotationFile.decode(text, path: "r").verify(
                        oldKeys: Identities.alice.publicKeys, using: SystemCryptography())
                }
            ),
            (revocation, { (text: String) in _ = try RevocationFile.decode(text, path: "r") }),
        ] {
            let bytes = [UInt8](text.utf8)
            let body = text.utf8.count - text.split(separator: "\n\n")[1].utf8.count
            for place in stride(from: body, to: bytes.count - 40, by: 61) where bytes[place] != 0x0A {
                var changed = bytes
                changed[place] = changed[place] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
                let refused = failure(of: { try decode(String(decoding: changed, as: UTF8.self)) })
                #expect(refused != nil, "\(place)")
            }
            for length in stride(from: 0, to: bytes.count - 2, by: 97) {
                #expect(failure(of: { try decode(String(decoding: bytes.prefix(length), as: UTF8.self)) }) != nil)
            }
            let other = text.replacingOccurrences(
                of: Identities.alice.publicKeys.peerID.hex, with: Identities.bob.publicKeys.peerID.hex)
            #expect(failure(of: { try decode(other) })?.status == .untrustedIdentity)
        }
        #expect(failure(of: { _ = try RevocationFile.decode(rotation, path: "r") })?.status == .usage)
    }

    // MARK: The node's own side

    @Test func aRotationKeepsTheOldAndMakesTheNew() throws {
        let scratch = try Scratch()
        let directory = scratch.file("keys")
        let old = try PersistentIdentity.generate(into: directory, nickname: "alice").descriptor.keys
        let oldFile = try scratch.read("keys/ed25519.key")
        let rotated = try PersistentIdentity.rotate(directory: directory + "/", nickname: nil, unlocker: .never)
        #expect(rotated.oldDirectory == "\(directory).old-\(old.peerID.short)")
        #expect(try PersistentIdentity.load(directory: rotated.oldDirectory).publicKeys == old)
        #expect(try scratch.read("keys.old-\(old.peerID.short)/ed25519.key") == oldFile)
        let new = try PersistentIdentity.load(directory: directory).publicKeys
        let statement = try RotationFile.read("\(directory)/rotation.pub")
        #expect(statement == rotated.statement && statement.newID == new.peerID && statement.oldID == old.peerID)
        #expect(statement.descriptor.nickname == "alice")
        try statement.verify(oldKeys: old, using: SystemCryptography())
        #expect(Set(scratch.names) == ["keys", "keys.old-\(old.peerID.short)"])
        // The next one continues the series, however fast it follows.
        let next = try PersistentIdentity.rotate(directory: directory, nickname: "bob", unlocker: .never)
        #expect(next.statement.serial > statement.serial && next.statement.oldID == new.peerID)
        #expect(next.statement.descriptor.nickname == "bob")
    }

    @Test func encryptedKeysAreFollowedByEncryptedKeys() throws {
        let scratch = try Scratch()
        let pass = try scratch.write("a passphrase of the tests", to: "pass")
        let unlocker = Unlocker(PassphraseSource(file: pass, usesTerminal: false))
        _ = try PersistentIdentity.generate(into: scratch.file("keys"), nickname: "a", sealedBy: unlocker)
        let rotated = try PersistentIdentity.rotate(
            directory: scratch.file("keys"), nickname: nil, unlocker: Unlocker(PassphraseSource(file: pass)))
        #expect(rotated.isEncrypted)
        #expect(try KeyFile.isEncrypted(scratch.file("keys/mldsa87.key")))
        #expect(failure(of: { _ = try PersistentIdentity.load(directory: scratch.file("keys")) }) != nil)
        _ = try PersistentIdentity.load(directory: scratch.file("keys"), unlocker: unlocker)
    }

    /// Whichever of them win, no identity is lost: each that was replaced is whole in its place aside.
    @Test func rotationsAtOnceTakeNothingFromEachOther() throws {
        let scratch = try Scratch()
        let directory = scratch.file("keys")
        _ = try PersistentIdentity.generate(into: directory, nickname: "a")
        DispatchQueue.concurrentPerform(iterations: 8) { _ in
            _ = try? PersistentIdentity.rotate(directory: directory, nickname: nil, unlocker: .never)
        }
        _ = try PersistentIdentity.load(directory: directory)
        let aside = scratch.names.filter { $0.hasPrefix("keys.old-") }
        #expect(!aside.isEmpty)
        for name in aside { _ = try PersistentIdentity.load(directory: scratch.file(name)) }
    }

    @Test func aRotationThatCannotBeTouchesNothing() throws {
        let scratch = try Scratch()
        let directory = scratch.file("keys")
        let id = try PersistentIdentity.generate(into: directory, nickname: "a").descriptor.keys.peerID
        let files = try FileManager.default.contentsOfDirectory(atPath: directory).sorted()
        try scratch.write("x", to: "keys.old-\(id.short)")
        let taken = failure(of: {
            _ = try PersistentIdentity.rotate(directory: directory, nickname: nil, unlocker: .never)
        })
        #expect(taken?.message.contains("is not overwritten") == true)
        try FileManager.default.removeItem(atPath: scratch.file("keys.old-\(id.short)"))
        // The statement of an earlier rotation that nobody can read would let a serial go backwards.
        try scratch.write("garbage", to: "keys/rotation.pub")
        #expect(
            failure(of: { _ = try PersistentIdentity.rotate(directory: directory, nickname: nil, unlocker: .never) })
                != nil)
        #expect(scratch.names == ["keys"], "\(scratch.names)")
        try FileManager.default.removeItem(atPath: scratch.file("keys/rotation.pub"))
        #expect(try FileManager.default.contentsOfDirectory(atPath: directory).sorted() == files)
        #expect(try PersistentIdentity.load(directory: directory).publicKeys.peerID == id)
    }
}
