// SPDX-License-Identifier: Apache-2.0
// The receiving side of a quilt (§9) under any list of operations: each packet comes out once and whole, no later than it may, and
// what repairs bring back is what was sent.

import VPNTesting

@testable import VPNCore

enum OrderProperty {
    static func check(_ input: inout FuzzInput) throws {
        if input.byte() & 1 == 0 { try checkOrder(&input) } else { try checkRepairs(&input) }
    }

    // MARK: - Order

    private static let cell = 24

    private static func packet(_ counter: UInt64, _ length: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: counter)
        while bytes.count < length { bytes.append(UInt8(truncatingIfNeeded: counter &+ UInt64(bytes.count))) }
        return bytes
    }

    /// What went in and has not come out.
    private struct Receiver {
        var resequencer = Resequencer(cell: OrderProperty.cell)
        var waiting: [UInt64: (length: Int, since: Instant)] = [:]
        var used: Set<UInt64> = []
        var now = Instant.origin + .seconds(10)
        /// The longest that anything may have waited.
        var patience = Limits.resequencingLeast

        mutating func drain() throws {
            var last: UInt64?
            while let range = resequencer.nextReleased() {
                let bytes = Array(resequencer.cells[range])
                guard bytes.count >= 8 else { throw FuzzFinding("\(bytes.count) bytes came out") }
                let counter = bytes.u64(at: 0)
                guard let went = waiting.removeValue(forKey: counter) else {
                    throw FuzzFinding("\(counter) came out and did not wait")
                }
                try FuzzFinding.unless(bytes == packet(counter, went.length), "\(counter) is \(bytes)")
                try FuzzFinding.unless(last.map { $0 < counter } ?? true, "\(counter) after \(last ?? 0)")
                try FuzzFinding.unless(
                    now.since(went.since) <= patience, "\(counter) waited for \(now.since(went.since))")
                last = counter
            }
        }

        mutating func arrive(_ counter: UInt64, length: Int, on patch: Int) throws {
            guard used.insert(counter).inserted else { return }
            var verdict = resequencer.arrive(counter, length: length, on: patch, now: now)
            if verdict == .full {
                try drain()
                verdict = resequencer.arrive(counter, length: length, on: patch, now: now)
            }
            switch verdict {
            case .deliver: break
            case .full: throw FuzzFinding("no room for \(counter), twice")
            case .hold(let range):
                try FuzzFinding.unless(range.count == length && length <= OrderProperty.cell, "\(counter): \(range)")
                var bytes = OrderProperty.packet(counter, length)
                let span = bytes.mutableSpan
                resequencer.store(span, 0..<length, in: range)
                waiting[counter] = (length, now)
            }
            try drain()
        }

        /// As a worker does: nothing is looked at later than it is due.
        mutating func wait(_ span: TimeSpan) throws {
            let end = now + span
            var steps = 0
            while let due = resequencer.deadline, due <= end {
                now = max(now, due)
                resequencer.expire(now: now)
                try drain()
                steps += 1
                try FuzzFinding.unless(steps < 10_000, "time does not go on")
            }
            now = end
        }
    }

    private static func checkOrder(_ input: inout FuzzInput) throws {
        var receiver = Receiver()
        var base = input.byte() & 1 == 0 ? UInt64(input.wide()) : .max - 0x10_0000
        for _ in 0..<400 where !input.isEmpty {
            let kind = input.byte()
            let patch = Int(kind >> 3 & 7)
            switch kind & 7 {
            case 0, 1, 2: try receiver.arrive(base &+ UInt64(input.byte()), length: 8 + Int(kind >> 5) * 2, on: patch)
            // Longer than a cell, and far ahead.
            case 3:
                let counter = base &+ UInt64(input.word())
                try receiver.arrive(counter, length: 8 + Int(input.byte() & 31), on: patch)
            case 4:
                let counter = base &+ UInt64(input.byte())
                guard receiver.used.insert(counter).inserted else { continue }
                receiver.resequencer.pass(counter, on: patch, now: receiver.now)
                try receiver.drain()
            case 5: try receiver.wait(.microseconds(input.number(below: 20_000)))
            case 6:
                receiver.resequencer.adjust(
                    skew: .microseconds(Int(input.word()) * 4), jitter: .microseconds(input.number(below: 20_000)))
                receiver.patience = max(receiver.patience, receiver.resequencer.patience)
                if kind & 0x80 != 0 { receiver.resequencer.forget(patch: patch) }
                if kind & 0x40 != 0 {
                    // Whoever sent says which counters bring nothing; it may lie.
                    receiver.resequencer.skip(Int(input.byte()), before: base &+ UInt64(input.byte()))
                    try receiver.drain()
                }
            default: if base < .max - 0x2_0000 { base += UInt64(input.byte()) }
            }
        }
        try receiver.wait(.seconds(1))
        try FuzzFinding.unless(receiver.waiting.isEmpty, "\(receiver.waiting.keys.sorted()) wait for ever")
    }

    // MARK: - Repairs

    private static func checkRepairs(_ input: inout FuzzInput) throws {
        let isHonest = input.byte() & 1 == 0
        var encoder = RepairEncoder(window: 1 + input.number(below: 64), seed: input.wide())
        var decoder = RepairDecoder()
        var sent: [UInt64: [UInt8]] = [:]
        var received: Set<UInt64> = []
        var kept: [RepairMessage] = []
        var counter = UInt64(input.wide())
        func look(_ found: [(counter: UInt64, packet: [UInt8])]) throws {
            for (counter, packet) in found where isHonest {
                try FuzzFinding.unless(sent[counter] == packet, "\(counter) is \(packet), was \(sent[counter] ?? [])")
                try FuzzFinding.unless(received.insert(counter).inserted, "\(counter) came twice")
            }
            let size = decoder.footprint
            try FuzzFinding.unless(
                size.packets <= Limits.repairMemory && size.equations <= Limits.repairEquations, "keeps \(size)")
        }
        for _ in 0..<300 where !input.isEmpty {
            let kind = input.byte()
            switch kind & 3 {
            case 0, 1:
                counter += 1 + UInt64(kind >> 6)
                let packet = (0..<1 + Int(kind >> 2 & 7)).map { _ in input.byte() }
                sent[counter] = packet
                if let repair = encoder.sent(packet, under: counter) { kept.append(repair) }
                // Half of them arrive.
                if kind & 0x20 == 0 {
                    received.insert(counter)
                    try look(decoder.received(packet, under: counter))
                }
            case 2:
                if let repair = encoder.repair() { kept.append(repair) }
                if !kept.isEmpty { try look(decoder.received(kept[Int(kind >> 2) % kept.count])) }
            default:
                encoder.adjust(lossPerMille: Int(input.word()))
                if !isHonest,
                    let lie = RepairMessage(input.take(20) + [UInt8](repeating: kind, count: 3 + Int(kind >> 3)))
                {
                    var lie = lie
                    if kind & 4 == 0 { lie.first = counter - min(counter, UInt64(kind >> 3)) }
                    try look(decoder.received(lie))
                }
            }
        }
    }
}
