// SPDX-License-Identifier: Apache-2.0
// Key files: what is written comes back, and nothing else does.
import Foundation
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

struct KeyFileTests {
    private static let seeds: [(KeyFileKind, [UInt8])] = [
        (.brainpoolP512r1, Identities.alice.brainpoolScalar.exposedCopy()),
        (.ed25519, Identities.alice.ed25519Seed.exposedCopy()), (.mldsa87, Identities.alice.mldsaSeed.exposedCopy()),
        (.mlkem1024, Identities.alice.mlkemSeed.exposedCopy()),
    ]

    private static func text(_ kind: KeyFileKind, _ seed: [UInt8]) -> [UInt8] {
        let id = Identities.alice.publicKeys.peerID
        return KeyFile.text(of: Secret(copying: seed), kind: kind, peerID: id).exposedCopy()
    }

    private static func decode(_ text: [UInt8], _ kind: KeyFileKind) throws -> [UInt8] {
        try KeyFile.decode(Secret(copying: text), path: "x.key", kind: kind).secret.exposedCopy()
    }

    @Test func base64AgreesWithFoundation() {
        for count in 1...70 {
            let bytes = (0..<count).map { _ in UInt8.random(in: .min ... .max) }
            let text = Secret(copying: bytes).base64()
            #expect(String(decoding: text.exposedCopy(), as: UTF8.self) == Data(bytes).base64EncodedString())
            #expect(text.decodingBase64(0..<text.count)?.exposedCopy() == bytes)
        }
        let every = Secret(copying: [UInt8](0...255))
        #expect(String(decoding: every.base64().exposedCopy(), as: UTF8.self) == Data(0...255).base64EncodedString())
        for bad in ["AAA", "A===", "AA=A", "AB==", "AAB=", "====", "AA A", "AAA-", "AAA\n", ""] {
            let text = Secret(copying: [UInt8](bad.utf8))
            let isRefused = text.decodingBase64(0..<text.count) == nil
            #expect(isRefused, "\(bad)")
        }
    }

    @Test func everyKindComesBack() throws {
        for (kind, seed) in Self.seeds { #expect(try Self.decode(Self.text(kind, seed), kind) == seed) }
    }

    @Test func everyTruncationIsRefused() throws {
        for (kind, seed) in Self.seeds {
            let text = Self.text(kind, seed)
            for length in 0..<text.count {
                let message = failure(of: { _ = try Self.decode(Array(text.prefix(length)), kind) })?.message
                #expect(message?.hasPrefix("key file x.key ") == true, "\(length)")
                #expect(message?.contains("pqvpn keygen") == true)
            }
            let short = failure(of: { _ = try Self.decode(Array(text.prefix(200)), kind) })?.message
            #expect(short?.contains("truncated") == true)
        }
    }

    @Test func everyFlippedBitIsRefused() {
        for (kind, seed) in Self.seeds {
            let text = Self.text(kind, seed)
            for place in text.indices {
                for bit in 0..<8 {
                    var changed = text
                    changed[place] ^= 1 << UInt8(bit)
                    let refused = failure(of: { _ = try Self.decode(changed, kind) }) != nil
                    #expect(refused, "\(kind) byte \(place) bit \(bit)")
                }
            }
        }
    }

    @Test func insertedAndAppendedBytesAreRefused() {
        let (kind, seed) = Self.seeds[1]
        let text = Self.text(kind, seed)
        for place in 0...text.count {
            for byte: UInt8 in [0, 0x0A, 0x20, 0x41] {
                var changed = text
                changed.insert(byte, at: place)
                #expect(failure(of: { _ = try Self.decode(changed, kind) }) != nil, "\(place) \(byte)")
            }
        }
    }

    @Test func wrongKindsAndSizesAreNamed() {
        let ed25519 = Self.text(.ed25519, Self.seeds[1].1)
        #expect(
            failure(of: { _ = try Self.decode(ed25519, .mldsa87) })?.message.contains(
                "holds a key of kind ed25519, expected mldsa87")
                == true)
        let short = Self.text(.ed25519, [UInt8](repeating: 7, count: 31))
        #expect(
            failure(of: { _ = try Self.decode(short, .ed25519) })?.message.contains("31 bytes, expected 32") == true)
        let long = Self.text(.mlkem1024, [UInt8](repeating: 7, count: 96))
        #expect(
            failure(of: { _ = try Self.decode(long, .mlkem1024) })?.message.contains("96 bytes, expected 64") == true)
        let foreign = [UInt8]("-----BEGIN PRIVATE KEY-----\n".utf8)
        #expect(
            failure(of: { _ = try Self.decode(foreign, .ed25519) })?.message.contains("is not a PQVPN private key")
                == true)
        let later = String(decoding: ed25519, as: UTF8.self).replacingOccurrences(of: "Version: 1", with: "Version: 2")
        #expect(
            failure(of: { _ = try Self.decode([UInt8](later.utf8), .ed25519) })?.message.contains("version 2") == true)
    }

    @Test func keygenWritesWhatLoadingReads() throws {
        let scratch = try Scratch()
        let generated = try PersistentIdentity.generate(into: scratch.file("keys"), nickname: "alice")
        let keys = try PersistentIdentity.load(directory: scratch.file("keys")).publicKeys
        #expect(keys == generated.descriptor.keys)
        #expect(try DescriptorFile.read(scratch.file("keys/identity.pub")) == generated.descriptor)
        for file in generated.files.dropLast() {
            let mode = try FileManager.default.attributesOfItem(atPath: file)[.posixPermissions] as? Int
            #expect(mode == 0o600)
        }
        #expect(generated.files.count == 5)
        let names = try FileManager.default.contentsOfDirectory(atPath: scratch.file("keys"))
        #expect(names.count == 5, "no temporary files stay")
    }

    @Test func keygenNeverOverwrites() throws {
        let scratch = try Scratch()
        for name in KeyFileKind.allCases.map(\.fileName) + ["identity.pub"] {
            let directory = scratch.file("only-\(name)")
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
            try Data("mine".utf8).write(to: URL(fileURLWithPath: "\(directory)/\(name)"))
            let message = failure(of: { _ = try PersistentIdentity.generate(into: directory, nickname: "a") })?.message
            #expect(message?.contains("\(name) exists and is not overwritten") == true)
            #expect(try FileManager.default.contentsOfDirectory(atPath: directory) == [name])
            #expect(try String(contentsOfFile: "\(directory)/\(name)", encoding: .utf8) == "mine")
        }
    }

    @Test func keygenRefusesADirectoryThatOthersWrite() throws {
        let scratch = try Scratch()
        try FileManager.default.createDirectory(atPath: scratch.file("open"), withIntermediateDirectories: true)
        try scratch.setMode(0o777, of: "open")
        let failed = failure(of: { _ = try PersistentIdentity.generate(into: scratch.file("open"), nickname: "a") })
        #expect(failed?.status == .permission)
        #expect(failed?.message.contains("can be written by others") == true)
    }

    @Test func hostileFilesAreRefusedByName() throws {
        let scratch = try Scratch()
        let good = String(decoding: Self.text(.ed25519, Self.seeds[1].1), as: UTF8.self)
        func read(_ name: String) -> NodeFailure? {
            failure(of: { _ = try KeyFile.read(scratch.file(name), kind: .ed25519, unlocker: .never) })
        }
        try scratch.write(good, to: "good.key")
        #expect(read("good.key") == nil)

        for mode in [0o640, 0o604, 0o620, 0o602, 0o610, 0o644, 0o660, 0o777] {
            try scratch.setMode(mode, of: "good.key")
            let failed = read("good.key")
            #expect(failed?.status == .permission)
            #expect(failed?.message.contains("has mode \(String(mode, radix: 8))") == true)
            #expect(failed?.message.contains("chmod 600") == true)
        }
        if isRoot {
            print("SKIPPED: a file that cannot be read, since root reads all")
        } else {
            try scratch.setMode(0o000, of: "good.key")
            #expect(read("good.key")?.status == .permission)
            #expect(read("good.key")?.message.contains("cannot be read by this user") == true)
        }
        try scratch.setMode(0o600, of: "good.key")

        try scratch.link("link.key", to: scratch.file("good.key"))
        #expect(read("link.key")?.message.contains("is a symbolic link") == true)
        #expect(read("absent.key")?.message.contains("does not exist") == true)
        #expect(read("")?.status == .usage)
        scratch.makeFIFO("fifo.key")
        #expect(read("fifo.key")?.message.contains("is not a regular file") == true)
        try scratch.write(String(repeating: "x", count: 5000), to: "large.key")
        #expect(read("large.key")?.message.contains("5000 bytes") == true)
        try scratch.write("", to: "empty.key")
        #expect(read("empty.key")?.message.contains("is empty") == true)
        #expect(try scratch.read("good.key") == good, "nothing was changed")
    }

    @Test func filesOfOthersAreRefused() throws {
        guard isRoot else {
            print("SKIPPED: filesOfOthersAreRefused needs root")
            return
        }
        let scratch = try Scratch()
        try scratch.write(String(decoding: Self.text(.ed25519, Self.seeds[1].1), as: UTF8.self), to: "k.key")
        try scratch.giveAway("k.key")
        let failed = failure(of: { _ = try KeyFile.read(scratch.file("k.key"), kind: .ed25519, unlocker: .never) })
        #expect(failed?.status == .permission && failed?.message.contains("belongs to user 65534") == true)
    }

    @Test func filesOfTwoIdentitiesAreNotMixed() throws {
        let scratch = try Scratch()
        _ = try PersistentIdentity.generate(into: scratch.file("a"), nickname: "a")
        _ = try PersistentIdentity.generate(into: scratch.file("b"), nickname: "b")
        for kind in KeyFileKind.allCases {
            func path(_ other: KeyFileKind) -> String {
                scratch.file("\(other == kind ? "b" : "a")/\(other.fileName)")
            }
            let paths = KeyFilePaths(
                brainpool: path(.brainpoolP512r1), ed25519: path(.ed25519), mldsa: path(.mldsa87),
                mlkem: path(.mlkem1024))
            let message = failure(of: { _ = try PersistentIdentity.load(files: paths) })?.message
            #expect(message?.contains("belongs to identity") == true)
        }
    }

    @Test func missingFilesNameKeygen() throws {
        let scratch = try Scratch()
        let none = failure(of: { _ = try PersistentIdentity.load(directory: scratch.file("keys")) })
        #expect(none?.message.contains("no identity") == true)
        #expect(none?.message.contains("pqvpn keygen") == true && none?.status == .usage)
        _ = try PersistentIdentity.generate(into: scratch.file("keys"), nickname: "a")
        try FileManager.default.removeItem(atPath: scratch.file("keys/mldsa87.key"))
        let one = failure(of: { _ = try PersistentIdentity.load(directory: scratch.file("keys")) })
        #expect(one?.message.contains("no mldsa87.key") == true)
    }

    @Test func descriptorsAreRefusedOnceTouched() throws {
        let descriptor = try Identities.descriptor(Identities.alice, "alice")
        let text = DescriptorFile.text(of: descriptor)
        #expect(try DescriptorFile.decode(text, path: "d") == descriptor)
        #expect(try DescriptorFile.decode("mail text\n" + text + "-- \n", path: "d") == descriptor)
        let bytes = [UInt8](text.utf8)
        let body = text.utf8.count - text.split(separator: "\n\n")[1].utf8.count
        for place in stride(from: body, to: bytes.count - 40, by: 41) where bytes[place] != 0x0A {
            var changed = bytes
            changed[place] = changed[place] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
            if changed == bytes { continue }
            let refused = failure(of: {
                _ = try DescriptorFile.decode(String(decoding: changed, as: UTF8.self), path: "d")
            })
            #expect(refused != nil, "\(place)")
        }
        for length in stride(from: 0, to: text.utf8.count - 2, by: 97) {
            let cut = String(decoding: bytes.prefix(length), as: UTF8.self)
            #expect(failure(of: { _ = try DescriptorFile.decode(cut, path: "d") }) != nil)
        }
        let other = text.replacingOccurrences(
            of: descriptor.keys.peerID.hex, with: Identities.bob.publicKeys.peerID.hex)
        #expect(failure(of: { _ = try DescriptorFile.decode(other, path: "d") })?.status == .untrustedIdentity)
    }

    @Test func partialSetsFallBackInOrder() throws {
        let scratch = try Scratch()
        _ = try PersistentIdentity.generate(into: scratch.file("k"), nickname: "a")
        func basis() throws -> PeerIDReport.Basis {
            try PeerIDReport.read(path: scratch.file("k"), nickname: "a").basis
        }
        #expect(try basis() == .allKeys)
        for (name, next) in [
            ("mldsa87", PeerIDReport.Basis.brainpool), ("brainpoolP512r1", .ed25519), ("ed25519", .mlkem),
            ("mlkem1024", .nickname),
        ] {
            try FileManager.default.removeItem(atPath: scratch.file("k/\(name).key"))
            let report = try PeerIDReport.read(path: scratch.file("k"), nickname: "a")
            #expect(report.basis == next && !report.isUsable)
            #expect(report.text.contains("unusable for handshakes"))
        }
        #expect(failure(of: { _ = try PeerIDReport.read(path: scratch.file("k"), nickname: nil) })?.status == .usage)
    }
}
