// SPDX-License-Identifier: Apache-2.0
// The file of a preshared key (`peers[].psk_file`): 32 bytes as base64, as `openssl rand -base64 32` writes them. What is not
// exactly that is refused; nothing here makes a key.
internal import VPNCore
internal import VPNCrypto

enum PresharedKeyFile {
    private static let textSize = 44
    private static let noun = "preshared key"

    /// Those that the operator named, by the name of the peer.
    static func all(of peers: [NodeConfiguration.Peer]) throws -> [String: PresharedKey] {
        var keys: [String: PresharedKey] = [:]
        for peer in peers {
            if let path = peer.presharedKeyFile { keys[peer.name] = try read(path) }
        }
        return keys
    }

    /// Reads a file of mode 0600.
    static func read(_ path: String) throws -> PresharedKey {
        let file = try ProtectedFile.open(path, noun: noun, maximumSize: textSize + 1)
        let text = try file.readSecret(count: try file.status().size)
        func refuse(_ reason: String) -> NodeFailure {
            NodeFailure(
                .usage,
                "\(noun) \(path) \(reason): write one with `openssl rand -base64 32`, the same at both ends")
        }
        let hasBreak = text.count == textSize + 1 && text.byte(at: textSize) == UInt8(ascii: "\n")
        guard text.count == textSize || hasBreak else {
            throw refuse("is not \(textSize) characters of base64")
        }
        guard let secret = text.decodingBase64(0..<textSize), secret.count == PresharedKey.size else {
            throw refuse("is not the base64 of \(PresharedKey.size) bytes")
        }
        return PresharedKey(configured: secret)
    }
}
