// SPDX-License-Identifier: Apache-2.0
// The one text of the protocol (§7): what is accepted is a flat object of RFC 8259, means the same when it is said again, and is
// nothing else with a byte more.

import VPNTesting

@testable import VPNCore

enum KeepaliveProperty {
    static func check(_ input: inout FuzzInput) throws {
        let kind = input.byte()
        let bytes = kind & 1 == 0 ? input.rest(upTo: 520) : built(&input)
        if let fields = FlatJSON.parse(bytes) {
            try FuzzFinding.unless(bytes.count >= 2, "\(bytes) is an object")
            let again = "{" + fields.map { "\"\($0)\":\(text($1))" }.joined(separator: ",") + "}"
            try FuzzFinding.unless(FlatJSON.parse(Array(again.utf8)) == fields, "'\(again)' means another")
            for extra in [0x2C, 0x7D, 0x30, 0x22, 0] as [UInt8] {
                try FuzzFinding.unless(FlatJSON.parse(bytes + [extra]) == nil, "\(bytes) and \(extra)")
            }
            try FuzzFinding.unless(FlatJSON.parse([0x20] + bytes + [0x0A]) == fields, "\(bytes) with room around it")
            try FuzzFinding.unless(
                FlatJSON.parse(bytes.dropLast().filter { _ in true }) == nil || bytes.last == 0x20
                    || bytes.last == 0x0A || bytes.last == 0x0D || bytes.last == 0x09, "\(bytes), cut")
        }
        guard let message = KeepaliveMessage(bytes) else { return }
        try FuzzFinding.unless(bytes.count <= 512, "\(bytes.count) bytes")
        try FuzzFinding.unless(KeepaliveMessage(message.encoded) == message, "\(bytes), said again")
        try FuzzFinding.unless(
            message.sessionID.utf8.count == 32 && message.peerID.utf8.count == 64
                && (message.sessionID + message.peerID).utf8.allSatisfy {
                    (0x30...0x39).contains($0) || (0x61...0x66).contains($0)
                }, "\(bytes), texts")
    }

    private static func text(_ value: FlatJSON.Value) -> String {
        switch value {
        case .text(let text): "\"\(text)\""
        case .number(let number): "\(number)"
        }
    }

    /// Five fields, most of them right.
    private static func built(_ input: inout FuzzInput) -> [UInt8] {
        let choice = input.byte()
        func digits(_ count: Int, _ input: inout FuzzInput) -> String {
            let seed = input.byte()
            return String(repeating: ["0", "a", "7", "f", "c", "A", "g", "\\"][Int(seed & 7)], count: count)
        }
        var fields = [
            "\"type\":\"KEEPALIVE\(choice & 1 == 0 ? "" : "_ACK")\"",
            "\"sessionid\":\"\(digits(choice & 2 == 0 ? 32 : 31, &input))\"",
            "\"timestamp\":\(input.wide())\(choice & 4 == 0 ? "" : ".5")",
            "\"peerid\":\"\(digits(64, &input))\"", "\"uptime\":\(choice & 8 == 0 ? "" : "0")\(input.word())",
        ]
        if choice & 16 != 0 { fields.swapAt(0, 3) }
        if choice & 32 != 0 { fields.append(fields[Int(input.byte()) % 5]) }
        var bytes = Array(("{" + fields.joined(separator: choice & 64 == 0 ? "," : " , ") + "}").utf8)
        if choice & 128 != 0 { input.damage(&bytes) }
        return bytes
    }
}
