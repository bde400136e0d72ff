// SPDX-License-Identifier: Apache-2.0
// `pqvpn peerid`: the id of a descriptor or of key files, and for partial sets of keys an id that is good for looking at
// only. No handshake ever accepts one of those (§2).
internal import Glibc
internal import VPNCore
public import VPNCrypto

public struct PeerIDReport: Sendable, Equatable {
    /// What the id was computed over.
    public enum Basis: String, Sendable {
        case allKeys = "all_keys"
        case brainpool, ed25519, mlkem, nickname
    }

    public let peerID: PeerID
    public let basis: Basis
    public var isUsable: Bool { basis == .allKeys }

    private init(_ peerID: PeerID, _ basis: Basis) {
        self.peerID = peerID
        self.basis = basis
    }

    /// `path`: a descriptor, a directory of key files, or one private key file.
    public static func read(path: String, nickname: String?, unlocker: Unlocker = .never) throws -> PeerIDReport {
        if (try? OpenFile.directory(path)) != nil {
            let kinds = KeyFileKind.allCases.filter { ProtectedFile.exists("\(path)/\($0.fileName)") }
            let files = Dictionary(uniqueKeysWithValues: kinds.map { ($0, "\(path)/\($0.fileName)") })
            return try report(files: files, nickname: nickname, place: path, unlocker)
        }
        if let kind = try privateKeyKind(path) {
            return try report(files: [kind: path], nickname: nickname, place: path, unlocker)
        }
        return PeerIDReport(try DescriptorFile.read(path).keys.peerID, .allKeys)
    }

    /// An id over a nickname alone.
    public init(nickname: String) {
        self.init(Self.partialID(tag: 0, [UInt8](nickname.utf8)), .nickname)
    }

    private static func report(
        files: [KeyFileKind: String], nickname: String?, place: String, _ unlocker: Unlocker
    ) throws -> PeerIDReport {
        if files.count == 4 {
            let paths = KeyFilePaths(
                brainpool: files[.brainpoolP512r1]!, ed25519: files[.ed25519]!, mldsa: files[.mldsa87]!,
                mlkem: files[.mlkem1024]!)
            return PeerIDReport(
                try PersistentIdentity.load(files: paths, unlocker: unlocker).publicKeys.peerID, .allKeys)
        }
        // §2: the order B, e, k, nickname.
        for (kind, tag, basis) in [
            (KeyFileKind.brainpoolP512r1, UInt8(1), Basis.brainpool), (.ed25519, 2, .ed25519), (.mlkem1024, 4, .mlkem),
        ] {
            guard let path = files[kind] else { continue }
            return PeerIDReport(partialID(tag: tag, try publicKey(of: path, kind, unlocker)), basis)
        }
        guard let nickname else {
            let found = files.isEmpty ? "no key file" : "no key that an id could fall back to"
            throw NodeFailure(.usage, "\(place): \(found)")
        }
        return PeerIDReport(nickname: nickname)
    }

    /// The kind that a private key file says it is of; nil where the file is something else.
    private static func privateKeyKind(_ path: String) throws -> KeyFileKind? {
        guard let file = try? OpenFile(path, O_RDONLY), let bytes = try? file.read(limit: 128) else { return nil }
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
        let begins = ["-----BEGIN PQVPN PRIVATE KEY-----", "-----BEGIN PQVPN ENCRYPTED PRIVATE KEY-----"]
        guard let first = lines.first, begins.contains(String(first)) else { return nil }
        guard lines.count > 2, let kind = KeyFileKind(rawValue: String(lines[2].dropFirst("Kind: ".count))) else {
            throw NodeFailure(.usage, "key file \(path) is damaged: it does not say its kind")
        }
        return kind
    }

    /// The public half of one key. The other three of the identity that derives it are made up and dropped.
    private static func publicKey(of path: String, _ kind: KeyFileKind, _ unlocker: Unlocker) throws -> [UInt8] {
        let content = try KeyFile.read(path, kind: kind, unlocker: unlocker)
        let other = try SoftwareIdentity()
        switch kind {
        case .brainpoolP512r1:
            return try SoftwareIdentity(
                brainpoolScalar: content.secret, ed25519Seed: other.ed25519Seed, mldsaSeed: other.mldsaSeed,
                mlkemSeed: other.mlkemSeed
            ).publicKeys.brainpool
        case .ed25519:
            return try SoftwareIdentity(
                brainpoolScalar: other.brainpoolScalar, ed25519Seed: content.secret, mldsaSeed: other.mldsaSeed,
                mlkemSeed: other.mlkemSeed
            ).publicKeys.ed25519
        case .mldsa87, .mlkem1024:
            return try SoftwareIdentity(
                brainpoolScalar: other.brainpoolScalar, ed25519Seed: other.ed25519Seed, mldsaSeed: other.mldsaSeed,
                mlkemSeed: content.secret
            ).publicKeys.mlkem
        }
    }

    /// The shape of §2 with one key in it; a nickname takes tag 0, which no key has.
    private static func partialID(tag: UInt8, _ value: [UInt8]) -> PeerID {
        let length = [UInt8(truncatingIfNeeded: value.count >> 8), UInt8(truncatingIfNeeded: value.count)]
        return PeerID(bytes: Array(Hash.sha512(Labels.Identity.peerID, [tag] + length, value).prefix(32)))!
    }
}
