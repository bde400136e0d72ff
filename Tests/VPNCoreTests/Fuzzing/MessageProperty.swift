// SPDX-License-Identifier: Apache-2.0
// S1 and S2 as wholes, and what is sealed in them (§6): a decoder accepts exactly what the encoder makes.
import VPNTesting

@testable import VPNCore

enum MessageProperty {
    private static let pattern = (0..<16_384).map { UInt8(truncatingIfNeeded: $0 &* 151 &+ $0 >> 8) }

    static func check(_ input: inout FuzzInput) throws {
        let kind = input.byte()
        switch kind & 3 {
        case 0: try checkS1(&input)
        case 1: try checkS2(&input)
        case 2: try checkPayload1(&input)
        default: try checkPayload2(&input)
        }
    }

    /// So many bytes that begin as the input says; some are changed.
    private static func made(_ input: inout FuzzInput, sizes: [Int], start: [UInt8], zeros: Range<Int>? = nil)
        -> [UInt8]
    {
        let kind = input.byte()
        let size = kind & 7 == 7 ? input.number(below: 16_384) : sizes[Int(kind & 7) % sizes.count]
        var bytes = Array(pattern[..<size])
        bytes.replaceSubrange(0..<min(start.count, size), with: start.prefix(size))
        if let zeros = zeros?.clamped(to: 0..<size) { for place in zeros { bytes[place] = 0 } }
        if kind & 8 != 0, size > 0 { bytes[input.number(below: size)] ^= input.byte() }
        return bytes
    }

    private static func checkS1(_ input: inout FuzzInput) throws {
        let start = [1, 1, input.byte() & 3, 0] + input.take(20)
        let bytes = made(&input, sizes: [8064, 12_672], start: start)
        let message = S1Message(bytes)
        let isGood =
            (bytes.count == 8064 || bytes.count == 12_672) && bytes[0] == 1 && bytes[1] == 1
            && (bytes[2] == 1 || bytes[2] == 3) && bytes[3] == 0
        try FuzzFinding.unless((message != nil) == isGood, "S1 \(bytes.prefix(32)), \(bytes.count) bytes")
        guard let message else { return }
        let head = S1Message.head(
            ciphers: message.ciphers, senderIndex: message.senderIndex, nonce: Array(bytes[8..<24]),
            ephemeralKEM: message.ephemeralKEM, ciphertextToResponder: message.ciphertextToResponder,
            ephemeralPoint: message.ephemeralPoint)
        try FuzzFinding.unless(head + message.sealedPayload == bytes && head == message.head, "S1 \(bytes.prefix(32))")
    }

    private static func checkS2(_ input: inout FuzzInput) throws {
        let start = [1, 1, input.byte() & 3, input.byte() & 1] + input.take(8)
        let bytes = made(&input, sizes: [8344], start: start)
        let message = S2Message(bytes)
        let isGood =
            bytes.count == 8344 && bytes[0] == 1 && bytes[1] == 1 && (bytes[2] == 1 || bytes[2] == 2) && bytes[3] <= 1
            && bytes[4..<8].contains { $0 != 0 }
        try FuzzFinding.unless((message != nil) == isGood, "S2 \(bytes.prefix(32)), \(bytes.count) bytes")
        guard let message else { return }
        let head = S2Message.head(
            cipher: message.cipher, mixesChainedKey: message.mixesChainedKey, senderIndex: message.senderIndex,
            receiverIndex: message.receiverIndex, nonce: Array(bytes[12..<28]), ephemeralPoint: message.ephemeralPoint,
            ciphertextToEphemeral: message.ciphertextToEphemeral,
            ciphertextToInitiator: message.ciphertextToInitiator)
        try FuzzFinding.unless(head + message.sealedPayload == bytes && head == message.head, "S2 \(bytes.prefix(32))")
    }

    private static func checkPayload1(_ input: inout FuzzInput) throws {
        let kind = input.byte() & 3
        var start = input.take(4) + pattern[4..<32]
        start += [kind, 0, 0, 1] + input.take(12)
        let (size, keys, padding) = kind == 0 ? (4759, 0, 20) : (9367, 4321, 307)
        let gap = 48 + keys..<48 + keys + padding
        let bytes = made(&input, sizes: [size], start: start, zeros: gap)
        let decoded = S1Payload.decode(bytes)
        var isGood = bytes.count == 4759 || bytes.count == 9367
        if isGood {
            isGood =
                bytes.count == (bytes[32] == 0 ? 4759 : 9367) && bytes[32] <= 2 && bytes[33] == 0 && bytes[35] & 1 == 1
                && bytes[(bytes.count == 4759 ? 48..<68 : 4369..<4676)].allSatisfy { $0 == 0 }
        }
        try FuzzFinding.unless((decoded != nil) == isGood, "payload1 \(bytes.prefix(64)), \(bytes.count) bytes")
        guard let decoded else { return }
        try FuzzFinding.unless(
            decoded.payload.unsigned + decoded.signatures == bytes && decoded.signatures.count == 4691,
            "payload1 \(bytes.prefix(64)), encoded")
    }

    private static func checkPayload2(_ input: inout FuzzInput) throws {
        let start = pattern[..<32] + input.take(12) + [0, input.byte() | 1, input.byte(), input.byte() & 3]
        let bytes = made(&input, sizes: [5035], start: Array(start), zeros: 48..<344)
        let decoded = S2Payload.decode(bytes)
        let isGood =
            bytes.count == 5035 && bytes[45] & 1 == 1 && bytes[46] & 1 == 1 && (bytes[47] == 1 || bytes[47] == 3)
            && bytes[48..<344].allSatisfy { $0 == 0 }
        try FuzzFinding.unless((decoded != nil) == isGood, "payload2 \(bytes.prefix(64)), \(bytes.count) bytes")
        guard let decoded else { return }
        try FuzzFinding.unless(
            decoded.payload.unsigned + decoded.signatures == bytes && decoded.signatures.count == 4691,
            "payload2 \(bytes.prefix(64)), encoded")
    }
}
