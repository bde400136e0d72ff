// SPDX-License-Identifier: Apache-2.0
// The text container of what a passphrase protects (docs/key-files.md): header lines, which are authenticated, and the
// sealed content in base64. It knows neither what is inside nor where the passphrase comes from.
internal import Foundation
internal import VPNCrypto

/// How the key of a container follows from a passphrase.
struct PassphraseDerivation: Hashable, Sendable {
    let parameters: ScryptParameters
    /// 16 bytes.
    let salt: [UInt8]

    /// With a fresh salt.
    init(parameters: ScryptParameters = .standard) {
        self.parameters = parameters
        salt = SystemCryptography().randomBytes(Scrypt.saltSize)
    }

    init(parameters: ScryptParameters, salt: [UInt8]) {
        self.parameters = parameters
        self.salt = salt
    }
}

struct SealedText: Sendable {
    enum Title: String {
        case privateKey = "PRIVATE KEY"
        case knownPeers = "KNOWN PEERS"

        fileprivate var begin: String { "-----BEGIN PQVPN ENCRYPTED \(rawValue)-----" }
        fileprivate var end: String { "-----END PQVPN ENCRYPTED \(rawValue)-----" }
    }

    let title: Title
    /// Header lines of this kind of content, in order.
    let fields: [Field]
    let derivation: PassphraseDerivation
    let nonce: [UInt8]
    /// With its tag.
    let ciphertext: [UInt8]

    struct Field: Equatable, Sendable {
        let name: String
        let value: String
    }

    /// What is wrong with a text, as the rest of a sentence that begins with the file's name.
    struct Fault: Error, Equatable {
        let reason: String
        init(_ reason: String) { self.reason = reason }
    }

    // MARK: Writing

    private static func header(
        _ title: Title, _ fields: [Field], _ derivation: PassphraseDerivation, _ nonce: [UInt8]
    ) -> String {
        let scrypt = derivation.parameters
        var lines = [title.begin, "Version: 1"] + fields.map { "\($0.name): \($0.value)" }
        lines.append("KDF: scrypt \(scrypt.n) \(scrypt.r) \(scrypt.p)")
        lines += ["Salt: \(Hex.encode(derivation.salt))", "Nonce: \(Hex.encode(nonce))"]
        return lines.joined(separator: "\n") + "\n"
    }

    /// The lines from BEGIN to Nonce, line feeds included: what is authenticated but not hidden.
    var header: String { Self.header(title, fields, derivation, nonce) }

    /// The whole file.
    var text: String {
        var lines = ""
        var rest = Data(ciphertext).base64EncodedString()[...]
        while !rest.isEmpty {
            lines += rest.prefix(76) + "\n"
            rest = rest.dropFirst(76)
        }
        return header + "\n" + lines + title.end + "\n"
    }

    /// Seals a secret under a fresh nonce.
    init(sealing secret: borrowing Secret, title: Title, fields: [Field], key: DerivedKey) {
        let nonce = SystemCryptography().randomBytes(SealedSecret.nonceSize)
        let header = Self.header(title, fields, key.derivation, nonce)
        self.title = title
        self.fields = fields
        derivation = key.derivation
        self.nonce = nonce
        ciphertext = SealedSecret.seal(secret, key: key.bytes, nonce: nonce, associatedData: [UInt8](header.utf8))
    }

    /// The same for bytes that are no secret, such as known peers.
    init(sealingPublic bytes: [UInt8], title: Title, fields: [Field], key: DerivedKey) {
        let nonce = SystemCryptography().randomBytes(SealedSecret.nonceSize)
        let header = Self.header(title, fields, key.derivation, nonce)
        self.title = title
        self.fields = fields
        derivation = key.derivation
        self.nonce = nonce
        ciphertext = SealedPayload.seal(
            .aes256GCM, key: key.bytes, nonce: nonce, associatedData: [UInt8](header.utf8), plaintext: bytes)
    }

    /// What `init(sealingPublic:)` sealed; nil as below.
    func openPublic(with key: DerivedKey) -> [UInt8]? {
        SealedPayload.open(
            .aes256GCM, key: key.bytes, nonce: nonce, associatedData: [UInt8](header.utf8), ciphertext: ciphertext)
    }

    /// The content; nil where the key is not the right one, or the file was changed.
    func open(with key: DerivedKey) -> Secret? {
        SealedSecret.open(ciphertext, key: key.bytes, nonce: nonce, associatedData: [UInt8](header.utf8))
    }

    // MARK: Reading

    /// Whether a text begins as one of these does.
    static func isSealed(_ text: String, _ title: Title) -> Bool { text.hasPrefix(title.begin + "\n") }

    /// Reads the form. Parameters that nobody sane wrote are refused here, before any work.
    init(parsing text: String, title: Title, fieldNames: [String]) throws(Fault) {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        guard lines.first == title.begin else { throw Fault("is not an encrypted file") }
        guard lines.count >= 3, lines.last == "", lines[lines.count - 2] == title.end else {
            throw Fault("is truncated or damaged at its end")
        }
        let names = ["Version"] + fieldNames + ["KDF", "Salt", "Nonce"]
        guard lines.count > names.count + 4, lines[names.count + 1].isEmpty else { throw Fault("has a damaged header") }
        var values: [String] = []
        for (name, line) in zip(names, lines.dropFirst()) {
            guard line.hasPrefix("\(name): ") else { throw Fault("has a damaged header: no \(name)") }
            values.append(String(line.dropFirst(name.count + 2)))
        }
        guard values[0] == "1" else { throw Fault("has version \(values[0]), and this program knows version 1") }
        self.title = title
        fields = zip(fieldNames, values.dropFirst()).map { Field(name: $0, value: $1) }
        let tail = values.suffix(3)
        derivation = PassphraseDerivation(
            parameters: try Self.parameters(tail[tail.startIndex]),
            salt: try Self.bytes(tail[tail.startIndex + 1], Scrypt.saltSize, "salt"))
        nonce = try Self.bytes(tail[tail.startIndex + 2], SealedSecret.nonceSize, "nonce")
        let body = lines[(names.count + 2)..<(lines.count - 2)].joined()
        guard let data = Data(base64Encoded: body), data.count > SealedSecret.tagSize else {
            throw Fault("is damaged: its content is not base64")
        }
        ciphertext = [UInt8](data)
        // Everything else, such as a blank too many or a digit of the other case.
        guard self.text == text else { throw Fault("is damaged: it is not in the form that pqvpn writes") }
    }

    private static func parameters(_ text: String) throws(Fault) -> ScryptParameters {
        let words = text.split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 4, words[0] == "scrypt", let n = Int(words[1]), let r = Int(words[2]),
            let p = Int(words[3])
        else { throw Fault("names an unknown key derivation") }
        guard let parameters = ScryptParameters(n: n, r: r, p: p) else {
            throw Fault("asks for scrypt with n \(n), r \(r), p \(p), which is refused: it is damaged or hostile")
        }
        return parameters
    }

    private static func bytes(_ hex: String, _ count: Int, _ what: String) throws(Fault) -> [UInt8] {
        guard let bytes = Hex.decode(hex), bytes.count == count else { throw Fault("has a damaged \(what)") }
        return bytes
    }
}
