// SPDX-License-Identifier: Apache-2.0
// Identities and pins under a passphrase: what goes in comes out, nothing else does, and nothing is lost on the way.
import Foundation
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

struct EncryptionTests {
    /// Weak, so that thousands of openings take seconds.
    private static let quick = PassphraseDerivation(parameters: ScryptParameters(n: 1024, r: 1, p: 1)!)
    private static let passphrase = "correct horse battery staple"

    private static func unlocker(_ text: String = passphrase) -> Unlocker {
        Unlocker(passphrase: Secret(copying: [UInt8](text.utf8)))
    }

    private static let sealed: String = {
        let key = try! unlocker().newKey(sealing: "test", quick)
        return KeyFile.sealedText(
            of: Identities.alice.ed25519Seed, kind: .ed25519, peerID: Identities.alice.publicKeys.peerID, key: key)
    }()

    private static func decode(
        _ text: [UInt8], _ kind: KeyFileKind = .ed25519, _ unlocker: Unlocker = unlocker()
    ) throws -> [UInt8] {
        try KeyFile.decode(sealed: text, path: "x.key", kind: kind, unlocker: unlocker).secret.exposedCopy()
    }

    @Test func everyKindComesBack() throws {
        let unlocker = Self.unlocker()
        let key = try unlocker.newKey(sealing: "test", Self.quick)
        let id = Identities.alice.publicKeys.peerID
        let seeds: [(KeyFileKind, [UInt8])] = [
            (.brainpoolP512r1, Identities.alice.brainpoolScalar.exposedCopy()),
            (.ed25519, Identities.alice.ed25519Seed.exposedCopy()),
            (.mldsa87, Identities.alice.mldsaSeed.exposedCopy()),
            (.mlkem1024, Identities.alice.mlkemSeed.exposedCopy()),
        ]
        var nonces: Set<String> = []
        for (kind, seed) in seeds {
            let text = KeyFile.sealedText(of: Secret(copying: seed), kind: kind, peerID: id, key: key)
            #expect(try Self.decode([UInt8](text.utf8), kind, unlocker) == seed)
            #expect(!text.contains(Data(seed).base64EncodedString()))
            #expect(
                nonces.insert(try #require(text.split(separator: "\n").first { $0.hasPrefix("Nonce:") }).description)
                    .inserted)
        }
        let isSealed = KeyFile.isSealed(Secret(copying: [UInt8](Self.sealed.utf8)))
        #expect(isSealed)
    }

    @Test func everyChangedBitIsRefusedByName() throws {
        let text = [UInt8](Self.sealed.utf8)
        let unlocker = Self.unlocker()
        #expect(try Self.decode(text, .ed25519, unlocker) == Identities.alice.ed25519Seed.exposedCopy())
        for place in text.indices {
            for bit in 0..<8 {
                var changed = text
                changed[place] ^= 1 << UInt8(bit)
                let message = failure(of: { _ = try Self.decode(changed, .ed25519, unlocker) })?.message
                #expect(message?.hasPrefix("key file x.key ") == true, "byte \(place) bit \(bit)")
            }
        }
    }

    @Test func everyTruncationAndInsertionIsRefused() {
        let text = [UInt8](Self.sealed.utf8)
        let unlocker = Self.unlocker()
        for length in text.indices {
            #expect(failure(of: { _ = try Self.decode(Array(text.prefix(length)), .ed25519, unlocker) }) != nil)
        }
        for place in 0...text.count {
            for byte: UInt8 in [0, 0x0A, 0x20, 0x41] {
                var changed = text
                changed.insert(byte, at: place)
                #expect(failure(of: { _ = try Self.decode(changed, .ed25519, unlocker) }) != nil, "\(place) \(byte)")
            }
        }
    }

    @Test func absurdParametersAreRefusedBeforeWork() {
        for parameters in [
            "scrypt 1099511627776 8 1", "scrypt 1024 8 9999999", "scrypt 1024 9223372036854775807 1", "scrypt 2 1 1",
            "scrypt 1048576 32 16", "scrypt 1024 1", "scrypt 1024 1 1 1", "argon2 1024 1 1", "scrypt -1024 1 1",
            "scrypt 99999999999999999999 1 1",
        ] {
            let text = Self.sealed.replacingOccurrences(of: "scrypt 1024 1 1", with: parameters)
            // An unlocker without a passphrase would say so if it were asked.
            let failed = failure(of: { _ = try Self.decode([UInt8](text.utf8), .ed25519, .never) })
            #expect(failed?.message.contains("passphrase") == false, "\(parameters): \(failed?.message ?? "accepted")")
            #expect(failed?.message.hasPrefix("key file x.key ") == true)
        }
    }

    @Test func wrongPassphrasesKindsAndTheirAbsenceAreNamed() {
        let text = [UInt8](Self.sealed.utf8)
        let wrong = failure(of: { _ = try Self.decode(text, .ed25519, Self.unlocker("Correct horse battery staple")) })
        #expect(wrong?.status == .permission)
        #expect(wrong?.message == "key file x.key does not open: the passphrase is wrong, or the file is damaged")
        let none = failure(of: { _ = try Self.decode(text, .ed25519, .never) })
        #expect(none?.message.hasPrefix("x.key is encrypted, and there is no passphrase") == true)
        let kind = failure(of: { _ = try Self.decode(text, .mldsa87) })
        #expect(kind?.message.contains("holds a key of kind ed25519, expected mldsa87") == true)
    }

    // MARK: Files

    private func passphraseFile(_ scratch: Scratch, _ text: String = passphrase, name: String = "pass") throws -> String
    {
        try scratch.write(text + "\n", to: name)
    }

    private func target(_ scratch: Scratch, _ file: String?) throws -> IdentityCommandTarget {
        try IdentityCommandTarget(configurationFile: nil, keyDirectory: scratch.file("k"), passphraseFile: file)
    }

    @Test func anIdentityGoesUnderAPassphraseAndOut() throws {
        let scratch = try Scratch()
        let id = try PersistentIdentity.generate(into: scratch.file("k"), nickname: "a").descriptor.keys.peerID
        let pass = try passphraseFile(scratch)
        let plain = try scratch.read("k/ed25519.key")
        _ = try target(scratch, pass).encrypt()
        for kind in KeyFileKind.allCases {
            #expect(try scratch.read("k/\(kind.fileName)").hasPrefix("-----BEGIN PQVPN ENCRYPTED PRIVATE KEY-----\n"))
            let mode = try FileManager.default.attributesOfItem(atPath: scratch.file("k/\(kind.fileName)"))[
                .posixPermissions]
            #expect(mode as? Int == 0o600)
        }
        let unlocker = Unlocker(PassphraseSource(file: pass, usesTerminal: false))
        #expect(try PersistentIdentity.load(directory: scratch.file("k"), unlocker: unlocker).publicKeys.peerID == id)
        #expect(try PeerIDReport.read(path: scratch.file("k"), nickname: nil, unlocker: unlocker).peerID == id)
        #expect(failure(of: { _ = try PersistentIdentity.load(directory: scratch.file("k")) })?.status == .usage)
        #expect(failure(of: { _ = try target(scratch, pass).encrypt() })?.message.contains("encrypted already") == true)

        let new = try passphraseFile(scratch, "another passphrase", name: "new")
        let sealed = try scratch.read("k/ed25519.key")
        let wrong = failure(of: { _ = try target(scratch, new).changePassphrase(newFile: new) })
        #expect(wrong?.status == .permission && wrong?.message.contains("brainpoolP512r1.key does not open") == true)
        #expect(failure(of: { _ = try target(scratch, new).decrypt() })?.status == .permission)
        #expect(try scratch.read("k/ed25519.key") == sealed, "nothing was replaced")
        _ = try target(scratch, pass).changePassphrase(newFile: new)
        #expect(try scratch.read("k/ed25519.key") != sealed)
        #expect(failure(of: { _ = try target(scratch, pass).decrypt() })?.status == .permission)
        _ = try target(scratch, new).decrypt()
        #expect(try scratch.read("k/ed25519.key") == plain, "byte for byte what keygen wrote")
        #expect(failure(of: { _ = try target(scratch, new).decrypt() })?.message.contains("not encrypted") == true)
        let names = try FileManager.default.contentsOfDirectory(atPath: scratch.file("k"))
        #expect(names.count == 5, "no temporary files stay: \(names)")
    }

    @Test func aBadFileAmongFourStopsTheRewriting() throws {
        let scratch = try Scratch()
        _ = try PersistentIdentity.generate(into: scratch.file("k"), nickname: "a")
        let pass = try passphraseFile(scratch)
        let before = try KeyFileKind.allCases.map { try scratch.read("k/\($0.fileName)") }
        try scratch.write(before[3] + " ", to: "k/mlkem1024.key")
        #expect(failure(of: { _ = try target(scratch, pass).encrypt() })?.message.contains("mlkem1024.key") == true)
        try scratch.write(before[3], to: "k/mlkem1024.key", mode: 0o644)
        #expect(failure(of: { _ = try target(scratch, pass).encrypt() })?.message.contains("has mode 644") == true)
        try scratch.setMode(0o600, of: "k/mlkem1024.key")
        #expect(try KeyFileKind.allCases.map { try scratch.read("k/\($0.fileName)") } == before)
        // What a crash in the midst of it leaves, some files encrypted and some not, is an identity still.
        _ = try target(scratch, pass).encrypt()
        try scratch.write(before[0], to: "k/brainpoolP512r1.key")
        let unlocker = Unlocker(PassphraseSource(file: pass, usesTerminal: false))
        _ = try PersistentIdentity.load(directory: scratch.file("k"), unlocker: unlocker)
        _ = try target(scratch, pass).encrypt()
        #expect(try KeyFile.isEncrypted(scratch.file("k/brainpoolP512r1.key")))
    }

    /// A crash between the renames leaves files under two passphrases; the same command finishes what it began.
    @Test func aChangeThatWasCutShortIsFinished() throws {
        let scratch = try Scratch()
        let id = try PersistentIdentity.generate(into: scratch.file("k"), nickname: "a").descriptor.keys.peerID
        let pass = try passphraseFile(scratch)
        let new = try passphraseFile(scratch, "another passphrase", name: "new")
        let wrong = try passphraseFile(scratch, "a third passphrase", name: "wrong")
        _ = try target(scratch, pass).encrypt()
        let before = try KeyFileKind.allCases.map { try scratch.read("k/\($0.fileName)") }
        _ = try target(scratch, pass).changePassphrase(newFile: new)
        try scratch.write(before[2], to: "k/mldsa87.key")
        try scratch.write(before[3], to: "k/mlkem1024.key")
        for file in [pass, new, wrong] {
            #expect(failure(of: { _ = try target(scratch, file).decrypt() })?.status == .permission)
        }
        for (old, next) in [(wrong, new), (pass, wrong)] {
            #expect(
                failure(of: { _ = try target(scratch, old).changePassphrase(newFile: next) })?.status == .permission)
        }
        #expect(try scratch.read("k/mlkem1024.key") == before[3], "nothing was replaced")
        _ = try target(scratch, pass).changePassphrase(newFile: new)
        let unlocker = Unlocker(PassphraseSource(file: new, usesTerminal: false))
        #expect(try PersistentIdentity.load(directory: scratch.file("k"), unlocker: unlocker).publicKeys.peerID == id)
    }

    @Test func passphraseFilesAreAsPrivateAsKeys() throws {
        let scratch = try Scratch()
        func read(_ name: String) -> NodeFailure? {
            var source = PassphraseSource(file: scratch.file(name), usesTerminal: false)
            source.usesEnvironment = false
            return failure(of: { _ = try source.passphrase(for: "x") })
        }
        try scratch.write("secret\n", to: "good")
        #expect(read("good") == nil)
        try scratch.write("secret\n", to: "open", mode: 0o640)
        #expect(read("open")?.status == .permission && read("open")?.message.contains("has mode 640") == true)
        try scratch.link("link", to: scratch.file("good"))
        #expect(read("link")?.message.contains("symbolic link") == true)
        try scratch.write("\n", to: "empty")
        #expect(read("empty")?.message.contains("is empty") == true)
        try scratch.write("one\ntwo\n", to: "two")
        #expect(read("two")?.message.contains("more than one line") == true)
        try scratch.write(String(repeating: "x", count: 2000), to: "large")
        #expect(read("large")?.status == .usage)
        #expect(read("absent")?.message.contains("passphrase file \(scratch.file("absent")) does not exist") == true)
        let short = failure(of: {
            _ = try PassphraseSource(file: scratch.write("short\n", to: "short"), usesTerminal: false).newPassphrase(
                for: "x")
        })
        #expect(short?.message.contains("at least 8 bytes") == true)
    }

    // MARK: Pins

    @Test func pinsGoUnderAPassphraseAndOut() throws {
        let scratch = try Scratch()
        let (alice, bob) = (Identities.pin(Identities.alice, "alice"), Identities.pin(Identities.bob, "bob"))
        let path = scratch.file("k.yaml")
        try KnownPeersStore(path: path).add(alice)
        let pass = try passphraseFile(scratch)
        func target(_ file: String?) throws -> PeersCommandTarget {
            try PeersCommandTarget(configurationFile: nil, knownPeersFile: path, passphraseFile: file)
        }
        _ = try target(pass).setEncrypted(true)
        let sealed = try scratch.read("k.yaml")
        #expect(!sealed.contains("alice") && !sealed.contains(alice.peerID.hex))
        #expect(failure(of: { _ = try KnownPeersStore(path: path) })?.message.contains("is encrypted") == true)
        let wrong = failure(of: { _ = try KnownPeersStore(path: path, unlocker: Self.unlocker("wrong")) })
        #expect(wrong?.status == .permission && wrong?.message.contains("known peers \(path)") == true)
        #expect(failure(of: { _ = try target(pass).setEncrypted(true) })?.message.contains("encrypted already") == true)

        // Every change keeps the form, under a nonce that is new.
        let store = try KnownPeersStore(path: path, unlocker: Self.unlocker())
        try store.add(bob)
        let again = try scratch.read("k.yaml")
        #expect(again.hasPrefix("-----BEGIN PQVPN ENCRYPTED KNOWN PEERS-----\n") && again != sealed)
        #expect(try KnownPeersStore(path: path, unlocker: Self.unlocker()).pins == [alice, bob])
        _ = try target(pass).setEncrypted(false)
        #expect(try scratch.read("k.yaml") == KnownPeersDocument.text(of: [alice, bob]))
    }

    @Test func everyChangedByteOfEncryptedPinsIsRefusedByName() throws {
        let scratch = try Scratch()
        let path = scratch.file("k.yaml")
        let unlocker = Self.unlocker()
        let key = try unlocker.newKey(sealing: path, Self.quick)
        let plain = [UInt8](KnownPeersDocument.text(of: [Identities.pin(Identities.alice, "alice")]).utf8)
        let text = [UInt8](SealedText(sealingPublic: plain, title: .knownPeers, fields: [], key: key).text.utf8)
        let mark = "known peers \(path)"
        // The header and the end byte for byte, the body between them at every 41st.
        for place in text.indices where place < 300 || place > text.count - 100 || place % 41 == 0 {
            var changed = text
            changed[place] ^= 1 << UInt8(place % 8)
            try Data(changed).write(to: URL(fileURLWithPath: path))
            try scratch.setMode(0o600, of: "k.yaml")
            let failed = failure(of: { _ = try KnownPeersStore(path: path, unlocker: unlocker) })
            #expect(failed?.message.hasPrefix(mark) == true, "byte \(place): \(failed?.message ?? "accepted")")
        }
        for length in stride(from: 1, to: text.count, by: 97) {
            try Data(text.prefix(length)).write(to: URL(fileURLWithPath: path))
            try scratch.setMode(0o600, of: "k.yaml")
            #expect(failure(of: { _ = try KnownPeersStore(path: path, unlocker: unlocker) }) != nil)
        }
    }
}
