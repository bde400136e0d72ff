// SPDX-License-Identifier: Apache-2.0
// Links: what is written is what is read, and everything else is refused with the words that tell what to do.
import Foundation
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

@Suite struct InvitationLinkTests {
    private static let id = Identities.alice.publicKeys.peerID
    private static let token = (0..<16).map { UInt8($0 * 7 + 3) }
    private static let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")

    private static func link(_ endpoint: String) throws -> InvitationLink {
        InvitationLink(endpoint: try EndpointName(endpoint), peerID: id, token: token)
    }

    @Test(arguments: [
        "192.0.2.7:9000", "[2001:db8::7]:1", "vpn.example.org:65535", "a:9000",
        String(repeating: "abcdefgh.", count: 21) + "org:9000",
    ])
    func whatIsWrittenIsRead(_ endpoint: String) throws {
        let link = try Self.link(endpoint)
        #expect(try InvitationLink(link.text) == link)
        #expect(link.endpoint.description == endpoint)
        // As mail breaks it.
        let middle = link.text.index(link.text.startIndex, offsetBy: 40)
        let broken = "  \(link.text[..<middle])\r\n \(link.text[middle...])\n"
        #expect(try InvitationLink(broken) == link)
    }

    @Test func aLinkIsShort() throws {
        #expect(try Self.link("192.0.2.7:9000").text.count == 95)
        #expect(try Self.link("[2001:db8::7]:9000").text.count == 111)
    }

    @Test func everyOtherCharacterIsNoticed() throws {
        let text = try Self.link("192.0.2.7:9000").text
        let characters = Array(text)
        for place in characters.indices {
            for other in Self.digits + ["=", "+", "/", "ä", "%"] where other != characters[place] {
                var spoilt = characters
                spoilt[place] = other
                let failure = failure { _ = try InvitationLink(String(spoilt)) }
                #expect(failure?.status == .usage, "character \(place) as \(other)")
                #expect(failure?.message.contains(String(spoilt.suffix(20))) == false)
            }
        }
    }

    @Test func everyCutIsCalledOne() throws {
        let text = try Self.link("vpn.example.org:9000").text
        for count in 0..<text.count {
            let failure = failure { _ = try InvitationLink(String(text.prefix(count))) }
            let isStart = count < InvitationLink.prefix.count
            #expect(failure?.status == .usage, "\(count)")
            #expect(
                failure?.message.contains(isStart ? "begins with" : "is cut") == true,
                "\(count): \(failure?.message ?? "")")
            if count > InvitationLink.prefix.count + 4 {
                #expect(
                    failure?.message.contains(": \(text.count - count) characters") == true, "\(failure?.message ?? "")"
                )
            }
        }
        for more in ["A", "AA", "AAAA", text] {
            #expect(failure { _ = try InvitationLink(text + more) }?.message.contains("damaged") == true)
        }
    }

    @Test func anotherVersionIsCalledOne() throws {
        func code(_ bytes: [UInt8]) -> String {
            let sum = Hash.sha256(bytes).prefix(4)
            return InvitationLink.prefix
                + Data(bytes + sum).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_")
                .replacing("=", with: "")
        }
        for length in [3, 20, 60, 200] {
            let failure = failure { _ = try InvitationLink(code([2] + [UInt8](repeating: 9, count: length))) }
            #expect(failure?.message.contains("version 2") == true, "\(failure?.message ?? "")")
        }
        // Of this version, and with a good checksum, but nothing that this program writes.
        let good = [1, 60] + Self.id.bytes + Self.token
        for rest in [
            [0x23, 0x28, 4, 1, 2, 3], [0x23, 0x28, 6, 1, 2, 3, 4], [0, 0, 4, 1, 2, 3, 4], [0x23, 0x28, 9, 1, 2, 3, 4],
            [0x23, 0x28, 0, 0x31, 0x2E, 0x32, 0x2E], [0x23, 0x28, 0, 0xFF, 0xFF, 0xFF, 0xFF],
        ] as [[UInt8]] {
            #expect(
                failure { _ = try InvitationLink(code(good + rest)) }?.message.contains("damaged") == true, "\(rest)")
        }
        for text in [
            "", "mailto:anna", "pqvpn://join", "pqvpn:join/AAAA",
            "pqvpn://join/" + String(repeating: "A", count: 5000),
        ] {
            #expect(failure { _ = try InvitationLink(text) }?.status == .usage)
        }
    }

    @Test func guestsGetTheFirstFreeAddressOfEachNetwork() throws {
        func allocate(_ own: [String], _ taken: [String] = []) throws -> [String]? {
            try InnerAddressPlan.allocate(
                own: own.map { try InterfaceAddress($0) }, taken: taken.map { try IPPrefix($0) }
            )?.map { "\($0)" }
        }
        #expect(try allocate(["10.77.0.1/24", "fd77::1/64"]) == ["10.77.0.2/24", "fd77::2/64"])
        #expect(try allocate(["10.77.0.2/24"], ["10.77.0.1/32", "10.77.0.3/32", "10.77.0.4/30"]) == ["10.77.0.8/24"])
        #expect(try allocate(["10.77.0.1/24"], ["10.77.0.0/24", "0.0.0.0/0"]) == ["10.77.0.2/24"])
        #expect(try allocate(["10.77.0.1/30"]) == ["10.77.0.2/30"])
        #expect(try allocate(["10.77.0.1/30"], ["10.77.0.2/32"]) == nil)
        #expect(try allocate(["10.77.0.1/30", "fd77::1/64"], ["10.77.0.2/32"]) == nil, "half a lease is none")
        #expect(try allocate(["10.77.0.1/32", "fd77::1/128", "10.77.0.1/31"]) == nil)
        #expect(try allocate([]) == nil)
        #expect(try allocate(["10.77.0.1/24", "10.77.0.9/24"]) == ["10.77.0.2/24"])
        #expect(try allocate(["255.255.255.1/24"]) == ["255.255.255.2/24"])
    }

    @Test func timesAreReadAndBounded() throws {
        for (text, seconds) in [("90s", 90), ("30m", 1800), ("24h", 86_400), ("7d", 604_800), ("30d", 2_592_000)]
            as [(String, UInt64)]
        {
            #expect(try InvitationTime.seconds(text) == seconds)
        }
        for text in ["", "h", "24", "0h", "59s", "31d", "-1h", "1.5h", "9999999d", "99999999d", "24 h", "１h", "24H"] {
            #expect(failure { _ = try InvitationTime.seconds(text) }?.status == .usage, "\(text)")
        }
        #expect(InvitationTime.text(1_800_000_000) == "2027-01-15 08:00 UTC")
    }
}
