// SPDX-License-Identifier: Apache-2.0
// Texts that people paste: invitations, endpoints, addresses, armoured statements, lines of a log. What is understood is said again
// in the same words.
import Foundation
import VPNCore
import VPNCrypto
import VPNTesting

@testable import VPNNode

enum TextProperty {
    private static let armour = Armour(title: "DESCRIPTOR", noun: "descriptor")

    static func check(_ input: inout FuzzInput) throws {
        switch input.byte() % 5 {
        case 0: try checkLink(&input)
        case 1: try checkEndpoint(&input)
        case 2: try checkArmour(&input)
        case 3: try checkLogLine(&input)
        default: try checkAddress(&input)
        }
    }

    private static func checkLink(_ input: inout FuzzInput) throws {
        let kind = input.byte()
        let port = max(1, input.word())
        let host: EndpointName.Host =
            switch kind & 3 {
            case 0: .address(IPAddress(v4: input.wide()))
            case 1: .address(IPAddress(bytes: input.take(16))!)
            default: .name("a" + String(repeating: "b.c", count: Int(input.byte() & 31)))
            }
        let link = InvitationLink(
            endpoint: EndpointName(host: host, port: port), peerID: PeerID(bytes: input.take(32))!,
            token: input.take(16))
        try FuzzFinding.unless(try InvitationLink(link.text) == link, "\(link.text) is another")
        var bytes = Array(link.text.utf8)
        if kind & 4 != 0 { bytes.insert(0x0A, at: Int(input.byte()) % bytes.count) }
        let place = Int(input.byte()) % bytes.count
        let new = input.byte()
        if kind & 8 != 0 { bytes[place] = new }
        if kind & 16 != 0 { bytes.removeLast(Int(input.byte()) % bytes.count) }
        let text =
            kind & 32 == 0
            ? String(decoding: bytes, as: UTF8.self) : String(decoding: input.rest(upTo: 300), as: UTF8.self)
        do {
            let found = try InvitationLink(text)
            try FuzzFinding.unless(
                found.text == text.filter { !$0.isWhitespace }, "\(text) is understood as \(found.text)")
        } catch let failure as NodeFailure {
            try FuzzFinding.unless(
                !failure.message.contains(text) || text.utf8.count < 20, "repeats the link: \(failure.message)")
        }
    }

    private static func checkEndpoint(_ input: inout FuzzInput) throws {
        let text = String(decoding: input.rest(upTo: 100), as: UTF8.self)
        guard let name = try? EndpointName(text) else { return }
        try FuzzFinding.unless(try EndpointName(name.description) == name, "'\(text)' is \(name)")
        try FuzzFinding.unless(name.port > 0 && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F }, "'\(text)' is a name")
    }

    private static func checkAddress(_ input: inout FuzzInput) throws {
        let text = String(decoding: input.rest(upTo: 100), as: UTF8.self)
        if let address = IPAddress(text) {
            try FuzzFinding.unless(IPAddress(address.description) == address, "'\(text)' is \(address)")
        }
        if let prefix = try? IPPrefix(text) {
            try FuzzFinding.unless(try IPPrefix(prefix.description) == prefix, "'\(text)' is \(prefix)")
        }
        if let address = try? InterfaceAddress(text) {
            try FuzzFinding.unless(try InterfaceAddress(address.description) == address, "'\(text)' is \(address)")
        }
    }

    private static func checkArmour(_ input: inout FuzzInput) throws {
        let content = input.filling(upTo: 300)
        let text = armour.text([("Peer-ID", "ab"), ("Nickname", "n")], content)
        let whole = try armour.decode(text, path: "d")
        try FuzzFinding.unless(whole.content == content && whole.fields["Nickname"] == "n", "\(text) is another")
        let edited = TextEdits.apply(text, &input)
        do {
            let (fields, content) = try armour.decode(edited, path: "d")
            let again = try armour.decode(
                armour.text(fields.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }, content), path: "d")
            try FuzzFinding.unless(again.content == content, "\(edited), said again")
        } catch let failure as NodeFailure {
            try FuzzFinding.unless(!failure.message.isEmpty, "a refusal without a word: \(edited)")
        }
    }

    /// Whatever stands there, a terminal is told nothing but text.
    private static func checkLogLine(_ input: inout FuzzInput) throws {
        let kind = input.byte()
        var line =
            #"{"ts":"2026-01-02T03:04:05.678Z","level":"info","component":"node","msg":"text","event":"a.b","peer":"x"}"#
        line =
            kind & 1 == 0
            ? String(decoding: input.rest(upTo: 300), as: UTF8.self) : TextEdits.apply(line, &input, atMost: 4)
        let text = LogRecord.text(ofLine: line, secondsFromGMT: 3600)
        try FuzzFinding.unless(
            text.unicodeScalars.allSatisfy {
                $0.value >= 0x20 && $0.value != 0x7F && !(0x80...0x9F).contains($0.value) || $0 == "\n" || $0 == "\t"
            },
            "control characters in '\(text)'")
    }
}
