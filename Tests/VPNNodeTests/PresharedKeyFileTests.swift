// SPDX-License-Identifier: Apache-2.0
// Files of preshared keys: one form, and every other one refused by the file's name.
import Foundation
import Testing
import VPNCore

@testable import VPNNode

@Suite struct PresharedKeyFileTests {
    /// The base64 of the bytes 0 … 31.
    private static let text = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="

    private func permit(_ mode: Int, _ path: String) throws {
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
    }

    private func refusal(_ scratch: Scratch, _ name: String) -> String? {
        do {
            _ = try PresharedKeyFile.read(scratch.file(name))
            return nil
        } catch { return "\(error)" }
    }

    @Test func whatOpenSSLWritesIsRead() throws {
        let scratch = try Scratch()
        for (name, text) in [("plain", Self.text), ("line", Self.text + "\n")] {
            try scratch.write(text, to: name)
            try permit(0o600, scratch.file(name))
            #expect(refusal(scratch, name) == nil)
        }
    }

    @Test func everythingElseIsRefusedByName() throws {
        let scratch = try Scratch()
        var texts = [
            "", "\n", String(Self.text.dropLast()), Self.text + "\n\n", Self.text + " ", " " + Self.text,
            Self.text + "\r\n", Self.text.replacingOccurrences(of: "A", with: "*"),
            // 31 and 33 bytes; bits behind the last byte.
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g",
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=",
        ]
        texts += [String(repeating: "0123456789abcdef", count: 4)]
        for (number, text) in texts.enumerated() {
            try scratch.write(text, to: "key\(number)")
            try permit(0o600, scratch.file("key\(number)"))
            let message = try #require(refusal(scratch, "key\(number)"), "\(text.debugDescription) was read")
            #expect(message.contains("key\(number)") && !message.contains(Self.text))
        }
    }

    @Test func aFileThatOthersReachIsRefused() throws {
        let scratch = try Scratch()
        try scratch.write(Self.text, to: "key")
        try permit(0o644, scratch.file("key"))
        #expect(refusal(scratch, "key")?.contains("chmod 600") == true)
        try permit(0o600, scratch.file("key"))
        try FileManager.default.createSymbolicLink(
            atPath: scratch.file("link"), withDestinationPath: scratch.file("key"))
        #expect(refusal(scratch, "link")?.contains("symbolic link") == true)
        #expect(refusal(scratch, "absent")?.contains("does not exist") == true)
    }

    @Test func theConfigurationNamesItRelativeToItself() throws {
        let id = String(repeating: "ab", count: 32)
        let text =
            "peers:\n  - { name: a, peer_id: \"\(id)\", psk_file: keys/a.psk }\n  - { name: b, peer_id: \"\(id.replacingOccurrences(of: "a", with: "c"))\" }\n"
        let loaded = try LoadedConfiguration(text: text, file: "/etc/pqvpn/pqvpn.yaml")
        #expect(loaded.configuration.peers.map(\.presharedKeyFile) == ["/etc/pqvpn/keys/a.psk", nil])
    }
}
