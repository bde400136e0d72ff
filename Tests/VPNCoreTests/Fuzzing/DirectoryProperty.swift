// SPDX-License-Identifier: Apache-2.0
// What relays say to each other of relays (§7), and the form of descriptors (§2): a decoder accepts exactly what the encoder makes.

import VPNTesting

@testable import VPNCore

enum DirectoryProperty {
    static func check(_ input: inout FuzzInput) throws {
        let kind = input.byte()
        if kind & 1 == 0 { try checkMessage(kind, &input) } else { try checkDescriptor(&input) }
    }

    private static func checkMessage(_ kind: UInt8, _ input: inout FuzzInput) throws {
        var bytes = input.rest(upTo: 400)
        // A fuzzer does not guess lengths: names in a list, bytes in a piece.
        if kind & 2 != 0, bytes.count >= 24 {
            switch bytes[0] {
            case 1: bytes[1] = UInt8((bytes.count - 12) / 16)
            case 3:
                let total = bytes.count - 24
                (bytes[20], bytes[21]) = (UInt8(total >> 8), UInt8(total & 255))
            default: break
            }
        }
        guard let message = DirectoryMessage(bytes) else { return }
        try FuzzFinding.unless(message.encoded == bytes, "\(bytes), encoded")
        switch message {
        case .list(let after, let names, _):
            var last = after
            for name in names {
                try FuzzFinding.unless(last.map { name.prefix > $0 } ?? true, "out of order: \(bytes)")
                last = name.prefix
            }
        case .piece(_, let index, let total, let chunk):
            try FuzzFinding.unless(
                index * DirectoryMessage.pieceSize + chunk.count <= total || total == 0, "past the end: \(bytes)")
        case .ask, .fetch: break
        }
    }

    /// Keys and signatures are somebody else's business: zeros stand for them.
    private static func checkDescriptor(_ input: inout FuzzInput) throws {
        let head = input.rest(upTo: 400)
        let fixed = Array((head + [UInt8](repeating: 0, count: 28)).prefix(28))
        let bytes =
            fixed + [UInt8](repeating: 0, count: DescriptorLayout.keys.count) + head.dropFirst(28)
            + [UInt8](repeating: 0, count: DescriptorLayout.signatureSize)
        let layout: DescriptorLayout
        do { layout = try DescriptorLayout(bytes) } catch { return }
        let again = DescriptorLayout.encoded(
            roles: layout.roles, capacity: layout.capacity, notBefore: layout.notBefore, notAfter: layout.notAfter,
            serial: layout.serial, keys: Array(bytes[DescriptorLayout.keys]), names: layout.names,
            addresses: layout.addresses)
        try FuzzFinding.unless(again == Array(bytes[..<layout.signedCount]), "\(head), encoded")
        try FuzzFinding.unless(layout.signedCount + DescriptorLayout.signatureSize == bytes.count, "\(head), length")
        for text in layout.names + layout.addresses {
            try FuzzFinding.unless(DescriptorLayout.cut(text) == text, "\(head), text")
        }
    }
}
