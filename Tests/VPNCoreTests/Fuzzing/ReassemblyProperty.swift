// SPDX-License-Identifier: Apache-2.0
// Fragments of S1, S2 and descriptors (§5, §4) in any order, any of them lost, repeated or changed: a message comes out whole, or
// not at all, and what is kept stays bounded.
import VPNCrypto
import VPNTesting

@testable import VPNCore

enum ReassemblyProperty {
    static func check(_ input: inout FuzzInput) throws {
        switch input.byte() & 3 {
        case 0: try checkS2(&input)
        case 1: try checkDescriptor(&input)
        default: try checkS1(&input)
        }
    }

    private static func message(_ size: Int, _ seed: Int) -> [UInt8] {
        (0..<size).map { UInt8(truncatingIfNeeded: $0 &* (2 * seed + 1) &+ $0 >> 8 &+ seed) }
    }

    // MARK: - S1

    /// Four messages, cut as ends do: brief, brief again, full, and in 16 as those who are anonymous.
    private static let s1: [(message: [UInt8], fragments: [S1Fragment])] = (0..<4).map { number in
        let message = message(number < 2 ? S1Message.briefSize : S1Message.fullSize, number)
        let shape = FragmentShape.ofS1(total: message.count, isAnonymous: number == 3)!
        let cookie = [UInt8](repeating: UInt8(number), count: 32)
        let datagrams = S1Fragment.datagrams(
            of: message, shape: shape, senderIndex: 9, cookie: cookie, puzzleSolution: [UInt8](repeating: 0, count: 8),
            macKey: .unknownResponder)
        return (message, datagrams.map { S1Fragment($0)! })
    }

    /// What the table should hold of one message from one carrier.
    private struct Entry {
        var shape: FragmentShape
        var cookie: [UInt8]
        var chunks: [Int: [UInt8]] = [:]
        var expires: Instant
        /// 0 collecting, 1 answered, 2 busy.
        var stage = 0
    }

    private static func checkS1(_ input: inout FuzzInput) throws {
        var table = InboundHandshakes()
        var entries: [InboundKey: Entry] = [:]
        var now = Instant.origin + .seconds(1)
        for step in 0..<120 where !input.isEmpty {
            let kind = input.byte()
            if kind >= 0xF0 {
                now += .milliseconds(input.number(below: 20_000))
                let late = entries.filter { $0.value.expires <= now }.count
                entries = entries.filter { $0.value.expires > now }
                try FuzzFinding.unless(table.expire(now: now) == late, "step \(step): not \(late) expired")
                continue
            }
            let original = s1[Int(kind & 3)]
            var fragment = original.fragments[Int(input.byte()) % original.fragments.count]
            if kind & 0x0C == 0x0C {
                switch input.byte() & 7 {
                case 0: fragment.cookie[3] ^= 1
                case 1:
                    fragment.shape = FragmentShape(total: fragment.shape.total, count: 16 - fragment.index)
                    fragment.chunk = [UInt8](repeating: 1, count: fragment.shape.chunk)
                case 2: fragment.index = min(Int(input.byte() & 15), fragment.shape.count - 1)
                default: fragment.chunk[input.number(below: fragment.chunk.count)] ^= input.byte()
                }
                guard fragment.index < fragment.shape.count, fragment.chunk.count == fragment.shape.chunk else {
                    continue
                }
            }
            // Each in a network of its own, so that none has to give way.
            let carrier = Carrier.udp(Endpoint(v4: 0x0A00_0001 + UInt32(kind >> 4 & 3) << 16, port: 9000))
            let key = InboundKey(carrier: carrier, senderIndex: 9, message: fragment.messageHash)
            let verdict = table.add(fragment, size: 1232, issued: 0, from: carrier, now: now)
            try judge(verdict, fragment, original.message, &entries[key], now, "step \(step) of \(kind & 3)")
            if case .complete = verdict {
                let stage = input.byte() & 3
                let life = TimeSpan.seconds(1 + Int(stage))
                switch stage {
                case 0: table.setStage(.working, of: key, until: now + life)
                case 1: table.setStage(.answered([[1], [2]]), of: key, until: now + life)
                case 2: table.setStage(.waiting([0], paid: 0, load: 0), of: key, until: now + life)
                default:
                    table.remove(key)
                    entries[key] = nil
                    continue
                }
                entries[key]?.stage = stage == 1 ? 1 : 2
                entries[key]?.expires = now + life
            }
            try FuzzFinding.unless(
                table.count == entries.count && table.collectingCount == entries.values.count { $0.stage == 0 },
                "step \(step): \(table.count) and \(table.collectingCount), not \(entries.count)")
        }
    }

    private static func judge(
        _ verdict: InboundHandshakes.Verdict, _ fragment: S1Fragment, _ message: [UInt8], _ entry: inout Entry?,
        _ now: Instant, _ place: String
    ) throws {
        if entry == nil {
            entry = Entry(shape: fragment.shape, cookie: fragment.cookie, expires: now + .seconds(10))
        } else if entry?.shape != fragment.shape || entry?.cookie != fragment.cookie {
            guard case .inconsistent = verdict else { throw FuzzFinding("\(place): \(verdict), not inconsistent") }
            return
        }
        switch (verdict, entry!.stage) {
        case (.answer(let datagram), 1):
            return try FuzzFinding.unless(datagram == [UInt8(fragment.index + 1)], "\(place): answer \(datagram)")
        case (.duplicate, 1): return try FuzzFinding.unless(fragment.index >= 2, "\(place): no answer")
        case (.duplicate, 2): return
        case (.duplicate, _):
            return try FuzzFinding.unless(entry!.chunks[fragment.index] != nil, "\(place): called a duplicate")
        default: break
        }
        try FuzzFinding.unless(entry!.stage == 0 && entry!.chunks[fragment.index] == nil, "\(place): \(verdict)")
        entry!.chunks[fragment.index] = fragment.chunk
        let isWhole = entry!.chunks.count == fragment.shape.count
        let whole = (0..<fragment.shape.count).flatMap { entry!.chunks[$0] ?? [] }
        let isGood =
            isWhole && Array(whole.prefix(message.count)) == message
            && whole.dropFirst(message.count).allSatisfy { $0 == 0 }
        switch verdict {
        case .incomplete: try FuzzFinding.unless(!isWhole, "\(place): incomplete")
        case .complete(let bytes):
            try FuzzFinding.unless(isGood && bytes == message, "\(place): another message")
        case .corrupt:
            try FuzzFinding.unless(isWhole && !isGood, "\(place): called corrupt")
            entry = nil
        default: throw FuzzFinding("\(place): \(verdict)")
        }
    }

    // MARK: - S2

    private static let s2: (message: [UInt8], fragments: [S2Fragment]) = {
        let message = Self.message(S2Message.size, 9)
        let datagrams = S2Fragment.datagrams(
            of: message, shape: FragmentShape(total: message.count, count: 7), receiverIndex: 1, senderIndex: 2,
            key: Secret(copying: [UInt8](repeating: 1, count: 32)))
        return (message, datagrams.map { S2Fragment($0)! })
    }()

    private static func checkS2(_ input: inout FuzzInput) throws {
        var parts: S2Reassembly?
        var isSpoilt = false
        var seen: Set<Int> = []
        for _ in 0..<40 where !input.isEmpty {
            let kind = input.byte()
            var fragment = s2.fragments[Int(kind & 7) % 7]
            var isForeign = false
            switch kind >> 5 {
            case 7: fragment.chunk[input.number(below: fragment.chunk.count)] ^= 1 << (kind >> 3 & 3)
            case 6: (fragment.messageHash, isForeign) = (fragment.messageHash ^ 1, true)
            case 5: (fragment.senderIndex, isForeign) = (fragment.senderIndex ^ 1, true)
            default: break
            }
            // The first says what all are about.
            if parts == nil, isForeign { continue }
            var reassembly = parts ?? S2Reassembly(fragment)
            let isTaken = reassembly.add(fragment)
            try FuzzFinding.unless(
                isTaken == (!isForeign && !seen.contains(fragment.index)), "fragment \(fragment.index)")
            parts = reassembly
            guard isTaken else { continue }
            seen.insert(fragment.index)
            if kind >> 5 == 7 { isSpoilt = true }
            try FuzzFinding.unless(
                Set(reassembly.missing) == Set(0..<7).subtracting(seen), "missing \(reassembly.missing)")
            let expected = seen.count == 7 && !isSpoilt ? s2.message : nil
            try FuzzFinding.unless(reassembly.message == expected, "message of \(seen), spoilt \(isSpoilt)")
        }
    }

    // MARK: - Descriptors

    private static func checkDescriptor(_ input: inout FuzzInput) throws {
        let text = message(1 + input.number(below: 10_000), 3)
        let hash = Hash.sha256(text).u64(at: 0)
        var parts: DescriptorReassembly?
        var seen: Set<Int> = []
        var isSpoilt = false
        let count = (text.count + 1151) / 1152
        for _ in 0..<30 where !input.isEmpty {
            let kind = input.byte()
            let request = InfoRequest(index: Int(kind & 15) % count, senderIndex: 5, cookie: [])
            guard let datagram = InfoResponse.encoded(text, hash: hash, answering: request),
                var fragment = InfoResponse(datagram)
            else { throw FuzzFinding("no INFO_RESP \(request.index) of \(text.count)") }
            let isChanged = kind >= 0xE0
            if isChanged { fragment.chunk[input.number(below: fragment.chunk.count)] ^= 1 << (kind >> 2 & 7) }
            let isForeign = kind & 0xE0 == 0xC0 && parts != nil
            if isForeign { fragment.descriptorHash ^= 1 }
            var reassembly = parts ?? DescriptorReassembly(fragment)
            let isTaken = reassembly.add(fragment)
            try FuzzFinding.unless(
                isTaken == (!isForeign && !seen.contains(fragment.index)), "fragment \(fragment.index)")
            parts = reassembly
            guard isTaken else { continue }
            seen.insert(fragment.index)
            isSpoilt = isSpoilt || isChanged
            try FuzzFinding.unless(
                Set(reassembly.missing) == Set(0..<count).subtracting(seen), "missing \(reassembly.missing)")
            let expected = seen.count == count && !isSpoilt ? text : nil
            try FuzzFinding.unless(reassembly.descriptor == expected, "descriptor of \(seen), spoilt \(isSpoilt)")
        }
    }
}
