// SPDX-License-Identifier: Apache-2.0
// The text container of one private key (docs/key-files.md), plain or under a passphrase. What is not exactly a file that
// this code would write is refused, and nothing here ever makes a new key in the place of a bad one.
internal import Glibc
internal import VPNCrypto

/// The four keys by the names that files and configurations use.
enum KeyFileKind: String, CaseIterable {
    case brainpoolP512r1, ed25519, mldsa87, mlkem1024

    /// Bytes of the scalar (brainpoolP512r1, big-endian) or seed.
    var size: Int {
        switch self {
        case .brainpoolP512r1, .mlkem1024: 64
        case .ed25519, .mldsa87: 32
        }
    }

    var fileName: String { "\(rawValue).key" }
}

enum KeyFile {
    private static let begin = "-----BEGIN PQVPN PRIVATE KEY-----"
    private static let end = "-----END PQVPN PRIVATE KEY-----"
    private static let maximumSize = 4096
    private static let advice = "restore it from a backup, or make a new identity with `pqvpn keygen`"

    /// A private key and the identity that its file says it belongs to.
    struct Content: ~Copyable {
        let secret: Secret
        let peerID: PeerID
    }

    // MARK: Text

    /// The whole file.
    static func text(of secret: borrowing Secret, kind: KeyFileKind, peerID: PeerID) -> Secret {
        let header = header(kind: kind, peerID: peerID) + "Checksum: \(checksum(of: secret, kind, peerID))\n\n"
        let body = secret.base64()
        let footer = [UInt8]("\n\(end)\n".utf8)
        var buffer = SecretBuffer(capacity: header.utf8.count + body.count + footer.count)
        buffer.append([UInt8](header.utf8))
        buffer.append(body)
        buffer.append(footer)
        return buffer.finish()
    }

    /// The whole file of a key under a passphrase. Nothing in it is secret.
    static func sealedText(
        of secret: borrowing Secret, kind: KeyFileKind, peerID: PeerID, key: DerivedKey
    ) -> String {
        let fields = [
            SealedText.Field(name: "Kind", value: kind.rawValue), SealedText.Field(name: "Peer-ID", value: peerID.hex),
        ]
        return SealedText(sealing: secret, title: .privateKey, fields: fields, key: key).text
    }

    private static func header(kind: KeyFileKind, peerID: PeerID) -> String {
        "\(begin)\nVersion: 1\nKind: \(kind.rawValue)\nPeer-ID: \(peerID.hex)\n"
    }

    /// 16 bytes of HMAC-SHA256 under the key itself over the header: tells damage from a wrong key, and nothing to those
    /// who do not have the key.
    private static func checksum(of secret: borrowing Secret, _ kind: KeyFileKind, _ peerID: PeerID) -> String {
        Hex.encode(Array(Hash.hmacSHA256(key: secret, [UInt8](header(kind: kind, peerID: peerID).utf8)).prefix(16)))
    }

    // MARK: Reading

    /// Reads a file of mode 0600 that holds a key of this kind.
    ///
    /// - Parameter what: names it where a person is asked for its passphrase; nil = its path.
    static func read(_ path: String, kind: KeyFileKind, unlocker: Unlocker, asking what: String? = nil) throws
        -> Content
    {
        let file = try ProtectedFile.open(path, noun: "key file", maximumSize: maximumSize)
        let size = try file.status().size
        let text = try file.readSecret(count: size)
        guard isSealed(text) else { return try decode(text, path: path, kind: kind) }
        return try decode(sealed: text.exposedCopy(), path: path, kind: kind, unlocker: unlocker, asking: what)
    }

    /// Whether the file is under a passphrase; its content is not checked.
    static func isEncrypted(_ path: String) throws -> Bool {
        let file = try ProtectedFile.open(path, noun: "key file", maximumSize: maximumSize)
        return isSealed(try file.readSecret(count: file.status().size))
    }

    /// Whether this is the public text of a key under a passphrase; a plain key must not leave secret memory to be asked.
    static func isSealed(_ text: borrowing Secret) -> Bool {
        let begin = [UInt8]("-----BEGIN PQVPN ENCRYPTED".utf8)
        return text.count >= begin.count && begin.indices.allSatisfy { text.byte(at: $0) == begin[$0] }
    }

    /// Decodes the text of an encrypted file; `path` is for messages.
    static func decode(
        sealed bytes: [UInt8], path: String, kind: KeyFileKind, unlocker: Unlocker, asking what: String? = nil
    ) throws -> Content {
        func refuse(_ reason: String) -> NodeFailure {
            NodeFailure(.usage, "key file \(path) \(reason): \(advice)")
        }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw refuse("is damaged: it is not text") }
        let sealed: SealedText
        do throws(SealedText.Fault) {
            sealed = try SealedText(parsing: text, title: .privateKey, fieldNames: ["Kind", "Peer-ID"])
        } catch { throw refuse(error.reason) }
        guard let found = KeyFileKind(rawValue: sealed.fields[0].value) else { throw refuse("is of an unknown kind") }
        guard found == kind else { throw refuse("holds a key of kind \(found.rawValue), expected \(kind.rawValue)") }
        guard let peerID = PeerID(hex: sealed.fields[1].value), peerID.hex == sealed.fields[1].value else {
            throw refuse("has a damaged Peer-ID")
        }
        guard let secret = try sealed.open(with: unlocker.key(for: sealed.derivation, opening: what ?? path)) else {
            throw NodeFailure(
                .permission, "key file \(path) does not open: the passphrase is wrong, or the file is damaged")
        }
        guard secret.count == kind.size else {
            throw refuse("holds a key of \(secret.count) bytes, expected \(kind.size)")
        }
        return Content(secret: secret, peerID: peerID)
    }

    /// Decodes the text of a file; `path` is for messages.
    static func decode(_ text: borrowing Secret, path: String, kind: KeyFileKind) throws -> Content {
        let lines = lineRanges(text)
        func line(_ number: Int) -> String? {
            guard number < lines.count else { return nil }
            return String(validating: lines[number].map { text.byte(at: $0) }, as: UTF8.self)
        }
        func refuse(_ reason: String) -> NodeFailure {
            NodeFailure(.usage, "key file \(path) \(reason): \(advice)")
        }
        if text.count == 0 { throw refuse("is empty") }
        guard line(0) == begin else {
            throw refuse(isStart(text) ? "is truncated" : "is not a PQVPN private key file")
        }
        // The last line ends with a line break, so that a cut anywhere shows.
        guard lines.count >= 2, line(lines.count - 1) == end else { throw refuse("is truncated or damaged at its end") }
        guard lines.count == 8 else { throw refuse("has \(lines.count) lines, expected 8") }
        guard let version = value(of: "Version", in: line(1)) else { throw refuse("has no version") }
        guard version == "1" else { throw refuse("has version \(version), and this program knows version 1") }
        guard let found = value(of: "Kind", in: line(2)) else { throw refuse("does not say its kind") }
        guard found == kind.rawValue else {
            let isKind = KeyFileKind(rawValue: found) != nil
            throw refuse(isKind ? "holds a key of kind \(found), expected \(kind.rawValue)" : "is of an unknown kind")
        }
        guard let peerID = value(of: "Peer-ID", in: line(3)).flatMap(PeerID.init(hex:)) else {
            throw refuse("has a damaged Peer-ID")
        }
        guard let secret = text.decodingBase64(lines[6]) else { throw refuse("is damaged: the key is not base64") }
        guard secret.count == kind.size else {
            throw refuse("holds a key of \(secret.count) bytes, expected \(kind.size)")
        }
        guard value(of: "Checksum", in: line(4)) == checksum(of: secret, kind, peerID) else {
            throw refuse("is damaged: its checksum does not match")
        }
        // Everything else, such as a blank too many.
        guard Self.text(of: secret, kind: kind, peerID: peerID).isEqual(to: text) else {
            throw refuse("is damaged: it is not in the form that keygen writes")
        }
        return Content(secret: secret, peerID: peerID)
    }

    /// The lines that end with a line break; what follows the last one is no line.
    private static func lineRanges(_ text: borrowing Secret) -> [Range<Int>] {
        var ranges: [Range<Int>] = []
        var start = 0
        for index in 0..<text.count where text.byte(at: index) == UInt8(ascii: "\n") {
            ranges.append(start..<index)
            start = index + 1
        }
        return ranges
    }

    /// Whether the text is the beginning of the first line and no more.
    private static func isStart(_ text: borrowing Secret) -> Bool {
        let first = [UInt8](begin.utf8)
        guard text.count <= first.count else { return false }
        return (0..<text.count).allSatisfy { text.byte(at: $0) == first[$0] }
    }

    private static func value(of name: String, in line: String?) -> String? {
        guard let line, line.hasPrefix("\(name): ") else { return nil }
        return String(line.dropFirst(name.count + 2))
    }
}
