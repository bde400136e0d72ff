// SPDX-License-Identifier: Apache-2.0
// The datagrams of the handshake (§4, §5): what is accepted has exactly its length and says what stands there; whatever an encoder
// makes is accepted and authentic, and with another byte anywhere that a key covers it is not.
import VPNCrypto
import VPNTesting

@testable import VPNCore

enum DatagramProperty {
    static func check(_ input: inout FuzzInput) throws {
        switch input.byte() % 7 {
        case 0: try checkS0(&input)
        case 1: try checkRetry(&input)
        case 2: try checkS1(&input)
        case 3: try checkS2(&input)
        case 4: try checkInfoRequest(&input)
        case 5: try checkInfoResponse(&input)
        default: try checkNeedFull(&input)
        }
    }

    private static let key = MAC1Key(responder: PeerID(bytes: [UInt8](repeating: 7, count: 32))!)
    private static let pattern = (0..<2048).map { UInt8(truncatingIfNeeded: $0 &* 151 &+ $0 >> 8) }

    /// A header as it should be for so many bytes, then what the input says, then a pattern or zeros; a byte or two changed.
    private static func datagram(
        _ input: inout FuzzInput, _ type: DatagramType, size: Int, start: [UInt8], zeros: Bool = false
    ) -> [UInt8] {
        let kind = input.byte()
        let size = kind & 7 == 7 ? 16 + input.number(below: 1300) : size
        var bytes = OuterHeader.bytes(
            type, bodyLength: size - OuterHeader.size, receiverIndex: kind & 8 == 0 ? 0 : input.wide(),
            word: kind & 16 == 0 ? 0 : UInt64(input.wide()) << 32 | 1)
        bytes += start.prefix(size - 16)
        if bytes.count < size {
            if zeros { bytes.append(zeros: size - bytes.count) } else { bytes += pattern[bytes.count..<size] }
        }
        for _ in 0..<Int(kind >> 5 & 3) {
            let place = input.number(below: size)
            bytes[place] ^= input.byte()
        }
        return bytes
    }

    private static func isOffer(_ bytes: [UInt8]) -> Bool {
        bytes[17] & 1 == 1 && bytes[18] & 1 == 1 && (bytes[19] == 1 || bytes[19] == 3)
    }

    private static func isZero(_ bytes: [UInt8], _ range: Range<Int>) -> Bool { bytes[range].allSatisfy { $0 == 0 } }

    private static func same(_ isAccepted: Bool, _ isGood: Bool, _ bytes: [UInt8], _ name: String) throws {
        try FuzzFinding.unless(isAccepted == isGood, "\(name), accepted \(isAccepted): \(bytes)")
    }

    private static func other(_ bytes: [UInt8], _ range: Range<Int>, _ input: inout FuzzInput) -> [UInt8] {
        var bytes = bytes
        bytes[range.lowerBound + input.number(below: range.count)] ^= 1 << (input.byte() & 7)
        return bytes
    }

    private static func checkS0(_ input: inout FuzzInput) throws {
        let start: [UInt8] = [0, input.byte() | 1, input.byte(), input.byte() & 3] + input.take(4)
        let bytes = datagram(&input, .s0, size: 128, start: start)
        let message = S0Message(bytes)
        let isGood = bytes.count == 128 && isZero(bytes, 4..<16) && isOffer(bytes) && !isZero(bytes, 20..<24)
        try same(message != nil, isGood, bytes, "S0")
        guard let message else { return }
        let again = message.encoded(macKey: key)
        try FuzzFinding.unless(again[16..<112] == bytes[16..<112] && again.count == 128, "S0 \(bytes), encoded")
        try FuzzFinding.unless(S0Message.isAuthentic(again, macKey: key), "S0 \(again) is not authentic")
        try FuzzFinding.unless(
            !S0Message.isAuthentic(other(again, 0..<128, &input), macKey: key), "S0 \(again), changed")
    }

    private static func checkRetry(_ input: inout FuzzInput) throws {
        let start: [UInt8] = [0, input.byte() | 1, input.byte(), input.byte() & 3]
        let bytes = datagram(&input, .retry, size: 128, start: start)
        let message = RetryMessage(bytes)
        try same(message != nil, bytes.count == 128 && isZero(bytes, 8..<16) && isOffer(bytes), bytes, "RETRY")
        guard let message, input.byte() & 3 == 3 else { return }
        let s0 = Array(pattern[..<128])
        let (cookie, id) = (input.take(32), Array(pattern[500..<532]))
        let sealed = RetryMessage.encoded(
            offers: message.offers, cookie: cookie, salt: message.salt, answering: s0, senderIndex: bytes.u32(at: 4),
            sealingID: id)
        try FuzzFinding.unless(sealed[..<36] == [1, 4, 0, 112] + bytes[4..<36], "RETRY \(bytes), encoded \(sealed)")
        func opened(_ bytes: [UInt8], _ s0: [UInt8]) -> [UInt8]? {
            RetryMessage(bytes)?.openCookie(answering: s0, sealingID: id)
        }
        try FuzzFinding.unless(opened(sealed, s0) == (cookie[1] <= 20 ? cookie : nil), "cookie \(cookie)")
        try FuzzFinding.unless(opened(other(sealed, 20..<128, &input), s0) == nil, "RETRY \(sealed), changed")
        try FuzzFinding.unless(opened(sealed, other(s0, 0..<128, &input)) == nil, "RETRY \(sealed), of another S0")
    }

    /// Index, count and total of a fragment, and how long its chunk is.
    private static func shape(_ input: inout FuzzInput, totals: [Int]) -> (start: [UInt8], chunk: Int) {
        let kind = input.byte()
        let total = kind & 0x30 == 0x30 ? Int(input.word()) : totals[Int(kind >> 6) % totals.count]
        let count = kind & 8 == 0 ? Int(kind & 7) + 5 : Int(input.byte())
        let start =
            [kind & 0x30 == 0 ? input.byte() & 7 : input.byte(), UInt8(count)] + PacketModel.bytes(UInt16(total))
        return (start, count == 0 ? 0 : (total + count - 1) / count)
    }

    private static func isFragment(_ bytes: [UInt8], overhead: Int, totals: [Int]) -> Bool {
        guard bytes.count > overhead, bytes.count <= 1232 else { return false }
        let (index, count, total) = (Int(bytes[16]), Int(bytes[17]), PacketModel.number(bytes, 18))
        guard totals.contains(total), (1...16).contains(count), index < count else { return false }
        return bytes.count == overhead + (total + count - 1) / count
    }

    private static func checkS1(_ input: inout FuzzInput) throws {
        let totals = [8064, 12672]
        let (start, chunk) = shape(&input, totals: totals)
        let bytes = datagram(&input, .s1, size: min(80 + chunk, 1300), start: start + input.take(4))
        let fragment = S1Fragment(bytes)
        let isGood = isFragment(bytes, overhead: 80, totals: totals) && isZero(bytes, 4..<8) && !isZero(bytes, 20..<24)
        try same(fragment != nil, isGood, bytes, "S1")
        guard let fragment else { return }
        try FuzzFinding.unless(
            fragment.index == Int(bytes[16]) && fragment.shape.count == Int(bytes[17])
                && fragment.cookie == Array(bytes[24..<56]) && fragment.puzzleSolution == Array(bytes[56..<64])
                && fragment.chunk == Array(bytes[80...]) && fragment.senderIndex == bytes.u32(at: 20)
                && fragment.messageHash == bytes.u64(at: 8), "fields of S1 \(bytes)")
        guard input.byte() & 3 == 3 else { return }
        let signed = Array(bytes[..<64]) + key.mac(Array(bytes[..<64])) + bytes[80...]
        try FuzzFinding.unless(S1Fragment.isAuthentic(signed, macKey: key), "S1 \(signed) is not authentic")
        try FuzzFinding.unless(
            !S1Fragment.isAuthentic(other(signed, 0..<80, &input), macKey: key), "S1 \(signed), changed")
    }

    private static func checkS2(_ input: inout FuzzInput) throws {
        let (start, chunk) = shape(&input, totals: [8344])
        var bytes = datagram(&input, .s2, size: min(40 + chunk, 1300), start: start + input.take(4))
        let isGood = isFragment(bytes, overhead: 40, totals: [8344])
        let fragment = S2Fragment(bytes)
        try same(fragment != nil, isGood, bytes, "S2")
        guard let fragment else { return }
        try FuzzFinding.unless(
            fragment.index == Int(bytes[16]) && fragment.shape.count == Int(bytes[17])
                && fragment.chunk == Array(bytes[40...]) && fragment.senderIndex == bytes.u32(at: 20)
                && fragment.receiverIndex == bytes.u32(at: 4) && fragment.messageHash == bytes.u64(at: 8),
            "fields of S2 \(bytes)")
        guard input.byte() & 3 == 3 else { return }
        let secret = Secret(copying: Array(pattern[..<32]))
        let covered = Array(bytes[..<24]) + bytes[40...]
        bytes.replaceSubrange(24..<40, with: Hash.hmacSHA256(key: secret, covered)[..<16])
        try FuzzFinding.unless(S2Fragment(bytes)?.isAuthentic(under: secret) == true, "S2 \(bytes) is not authentic")
        let changed = S2Fragment(other(bytes, 20..<bytes.count, &input))
        try FuzzFinding.unless(changed?.isAuthentic(under: secret) == false, "S2 \(bytes), changed")
    }

    private static func checkInfoRequest(_ input: inout FuzzInput) throws {
        let start = [input.byte() & 31, 0, 0, 0] + input.take(52)
        let bytes = datagram(&input, .infoRequest, size: 1232, start: start, zeros: true)
        let message = InfoRequest(bytes)
        let isGood =
            bytes.count == 1232 && isZero(bytes, 4..<16) && bytes[16] < 16 && isZero(bytes, 17..<20)
            && !isZero(bytes, 20..<24) && isZero(bytes, 72..<1232)
        try same(message != nil, isGood, bytes, "INFO_REQ")
        guard let message else { return }
        let again = message.encoded(macKey: key)
        try FuzzFinding.unless(
            again[4..<56] == bytes[4..<56] && again.count == 1232 && isZero(again, 72..<1232), "INFO_REQ, encoded")
        try FuzzFinding.unless(InfoRequest.isAuthentic(again, macKey: key), "INFO_REQ \(again) is not authentic")
        try FuzzFinding.unless(
            !InfoRequest.isAuthentic(other(again, 0..<72, &input), macKey: key), "INFO_REQ \(again), changed")
    }

    private static func checkInfoResponse(_ input: inout FuzzInput) throws {
        let total = 1 + input.number(below: 13_000)
        let count = (total + 1151) / 1152
        let index = Int(input.byte()) % count
        let chunk = (total + count - 1) / count
        let text = (0..<total).map { pattern[$0 & 2047] }
        var request = InfoRequest(index: index, senderIndex: input.wide(), cookie: [])
        guard var bytes = InfoResponse.encoded(text, hash: UInt64(input.wide()), answering: request) else {
            throw FuzzFinding("no INFO_RESP \(index) of \(total)")
        }
        request.index = count
        try FuzzFinding.unless(InfoResponse.encoded(text, hash: 1, answering: request) == nil, "INFO_RESP \(count)")
        let original = InfoResponse(bytes)
        let part = text[min(index * chunk, total)..<min((index + 1) * chunk, total)]
        try FuzzFinding.unless(
            original?.index == index && original?.shape == FragmentShape(total: total, count: count)
                && original?.chunk.prefix(part.count) == part, "INFO_RESP \(bytes)")
        for _ in 0..<Int(input.byte() & 3) { bytes[input.number(below: bytes.count)] ^= input.byte() }
        let message = InfoResponse(bytes)
        let (places, size) = (Int(bytes[17]), PacketModel.number(bytes, 18))
        let length = places == 0 ? 0 : (size + places - 1) / places
        let isGood =
            (1...16).contains(places) && size > 0 && Int(bytes[16]) < places && length <= 1152
            && isZero(bytes, 24 + length..<1232) && bytes[20..<24] == bytes[4..<8]
        try same(message != nil, isGood, bytes, "INFO_RESP")
        if let message { try FuzzFinding.unless(message.chunk == Array(bytes[24..<24 + length]), "chunk of \(bytes)") }
    }

    private static func checkNeedFull(_ input: inout FuzzInput) throws {
        let secret = Secret(copying: Array(pattern[..<32]))
        let bytes = NeedFull.encoded(receiverIndex: input.wide(), key: secret)
        try FuzzFinding.unless(NeedFull.isAuthentic(bytes, key: secret), "NEED_FULL \(bytes) is not authentic")
        try FuzzFinding.unless(!NeedFull.isAuthentic(other(bytes, 0..<128, &input), key: secret), "NEED_FULL, changed")
        try FuzzFinding.unless(!NeedFull.isAuthentic(input.rest(upTo: 300), key: secret), "NEED_FULL of nothing")
    }
}
