// SPDX-License-Identifier: Apache-2.0
// What is taken out of a text, in every spelling, and what stays because it is nobody's.
import Foundation
import Testing

@testable import VPNNode

@Suite struct RedactionTests {
    private func redacted(_ text: String, names: [String] = []) -> String {
        var redaction = Redaction()
        for name in names { redaction.learn(name) }
        return redaction.redacted(text)
    }

    @Test(arguments: [
        ("198.51.100.7:9000", "<ipv4-1>:9000"), ("[2001:db8::7]:9000", "[<ipv6-1>]:9000"),
        ("\"10.77.0.2/32\"", "\"<ipv4-1>/32\""), ("via 192.168.1.1 dev", "via <ipv4-1> dev"),
        ("addr=fd77::1, then", "addr=<ipv6-1>, then"), ("::ffff:198.51.100.7", "<ipv6-1>"),
        ("from 198.51.100.7.", "from <ipv4-1>."), ("at 2001:DB8::7: gone", "at <ipv6-1>: gone"),
        ("198.51.100.7 198.51.100.8 198.51.100.7", "<ipv4-1> <ipv4-2> <ipv4-1>"),
        ("fe80::1%eth0", "<ipv6-1>%eth0"), ("ip198.51.100.7", "ip<ipv4-1>"), ("198.51.100.7.9000", "<ipv4-1>.9000"),
    ])
    func addresses(_ text: String, _ expected: String) { #expect(redacted(text) == expected) }

    @Test(arguments: [
        "0.0.0.0/0 ::/0 127.0.0.1:9001 [::1]:9000", "2026-11-25T18:19:53.123Z 12:04:05.123", "10.0.0.0/8, fc00::/7",
        "28785:\tnot from all fwmark 0x7071 lookup 28785", "ML-KEM-1024+brainpoolP512r1 pqvpn 0.1.0",
        "18446744073709551615 handshake_per_minute_per_ip TEMPORARY_IDENTITY",
        "/var/lib/pqvpn-host/profile-config.pid", "peer.brainpoolP512r1_sk_file: null",
        "Ed25519+ML-DSA-87 AES-256-GCM sid=0011223344556677",
        "a::b::c 1.2.3 256.1.1.1 ::",
    ])
    func whatIsNobodys(_ text: String) {
        // One long word of two names has capitals and small letters, and goes.
        guard !text.contains("ML-KEM-1024+b") else { return #expect(redacted(text).contains("pqvpn 0.1.0")) }
        #expect(redacted(text) == text)
    }

    @Test func secretsGoInEverySpelling() {
        for size in [16, 32, 57, 64] {
            for _ in 0..<20 {
                let bytes = (0..<size).map { _ in UInt8.random(in: 0...255) }
                let base64 = Data(bytes).base64EncodedString()
                let url = base64.replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
                let hex = bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
                for code in [base64, url, hex, hex.uppercased()] {
                    for text in [
                        code, "\"\(code)\"", "key \(code).", "psk_file: \(code)", "{\"a\":\"\(code)\"}", "x=\(code)&y",
                        "(\(code))", "keys-\(code)", "/etc/\(code)/x",
                    ] {
                        let result = redacted(text)
                        let core = code.filter { $0 != "=" }
                        #expect(
                            !result.contains(core.prefix(12)) && !result.contains(core.suffix(12)), "\(text): \(result)"
                        )
                    }
                }
            }
        }
        let link = "pqvpn://join/AXtVYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFh"
        #expect(redacted("join '\(link)' now") == "join '<link-1>' now")
        #expect(redacted("PQVPN://JOIN/abc \(link)") == "<link-1> <link-2>")
    }

    @Test func namesGoWhereTheyAreWords() {
        #expect(
            redacted("bob bobby bob.yaml 'bob' x-bob_y", names: ["bob"])
                == "<name-1> bobby <name-1>.yaml '<name-1>' x-<name-1>_y")
        // A short one only in quotes, or every article would be one.
        #expect(
            redacted("a \"a\" 'a' {\"name\":\"a\"}", names: ["a"])
                == "a \"<name-1>\" '<name-1>' {\"name\":\"<name-1>\"}")
        #expect(redacted("the laptop of zoë, zoës", names: ["zoë", "laptop of zoë"]) == "the <name-1>, zoës")
        #expect(
            redacted("Vpn.Example.ORG vpn.example.org:9000", names: ["Vpn.Example.ORG"]) == "<name-1> <name-2>:9000")
        #expect(redacted("{\"n\":\"o\\\"b\"}", names: ["o\"b"]) == "{\"n\":\"<name-1>\"}")
    }

    @Test func whateverComesIsTextAgain() {
        for _ in 0..<300 {
            let bytes = (0..<Int.random(in: 0...60)).map { _ in Array("a1:./[]\"'FfpqVPN:/=é <>".utf8).randomElement()!
            }
            let once = redacted(String(decoding: bytes, as: UTF8.self), names: ["pq", "F"])
            #expect(String(validating: once.utf8, as: UTF8.self) != nil)
        }
    }
}
