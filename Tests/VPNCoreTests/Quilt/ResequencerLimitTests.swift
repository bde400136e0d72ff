// SPDX-License-Identifier: Apache-2.0
// Order where its room ends: lines that are full, cells that are not there or come twice, and looks that come late.
import Testing

@testable import VPNCore

private func at(_ milliseconds: Int) -> Instant { .origin + .seconds(1) + .milliseconds(milliseconds) }

/// A resequencer and what came out of it, in order. Whoever drives it never looks at the clock unless a test does.
private struct Order {
    var resequencer: Resequencer
    var out: [UInt64] = []
    /// The counters that wait, by where their cells begin.
    private var waiting: [Int: UInt64] = [:]

    init(takesCells: Bool = true) { resequencer = Resequencer(cell: 8, takesCells: takesCells) }

    @discardableResult
    mutating func arrive(_ counter: UInt64, on patch: Int, now: Instant = at(0)) -> Resequencer.Verdict {
        let verdict = resequencer.arrive(counter, length: 4, on: patch, now: now)
        switch verdict {
        case .deliver: out.append(counter)
        case .hold(let cell): waiting[cell.lowerBound] = counter
        case .full: break
        }
        return verdict
    }

    mutating func release() {
        while let cell = resequencer.nextReleased() { out.append(waiting.removeValue(forKey: cell.lowerBound) ?? 0) }
    }

    /// Both patches bring something, so that what comes by either waits for the other.
    mutating func begin() {
        arrive(1, on: 0)
        arrive(2, on: 1)
    }
}

@Suite struct ResequencerLimitTests {
    private static let capacity = UInt64(Limits.resequencedPackets)

    /// Two packets change places again and again, more often than the line is long: what went by takes no room in it.
    @Test func whatWentByIsNotInLineAnyMore() {
        var order = Order()
        order.begin()
        for round in 0..<2 * Self.capacity {
            let first = 3 + 2 * round
            let verdict = order.arrive(first + 1, on: 0)
            order.arrive(first, on: 1)
            order.release()
            guard case .hold = verdict else { return fail("\(verdict) in round \(round)") }
        }
        #expect(order.out == Array(1...2 + 4 * Self.capacity))
        #expect(order.resequencer.statistics.crowded == 0 && order.resequencer.statistics.late == 0)
    }

    /// One packet waits at the head of the line while others come and go behind it, until the line is full: then it is
    /// let go with all before it, nothing is lost or comes twice, and the line is good for as many again.
    @Test func aFullLineLetsItsOldestGo() {
        var order = Order()
        order.begin()
        // The last that may wait for 3.
        let far = 2 + Self.capacity
        order.arrive(far, on: 0)
        for counter in UInt64(4)..<1004 { order.arrive(counter, on: 0) }
        order.arrive(3, on: 1)
        order.release()
        #expect(order.out == Array(1..<1004))
        // 1004 is missing, and there are cells for all that follow, but no room in the line.
        var full: UInt64 = 1005
        while full == far || order.arrive(full, on: 0) != .full { full += 1 }
        #expect(full == far + 3 && order.resequencer.statistics.crowded == 1)
        order.release()
        let verdict = order.arrive(full, on: 0)
        #expect(verdict == .deliver)
        order.arrive(1004, on: 1)
        let wanted: [UInt64] = Array(1..<1004) + Array(1005...full) + [1004]
        #expect(order.out == wanted)
        #expect(order.resequencer.statistics.late == 1 && order.resequencer.statistics.crowded == 1)
        let held = order.arrive(full + 2, on: 0)
        guard case .hold = held else { return fail("\(held)") }
        order.arrive(full + 1, on: 1)
        order.release()
        #expect(order.out.suffix(2) == [full + 1, full + 2])
    }

    // MARK: - Cells

    /// Without cells nothing waits, and none are taken that were not given: they are 3 MB each.
    @Test func withoutCellsNothingWaits() {
        var order = Order(takesCells: false)
        order.begin()
        let verdict = order.arrive(4, on: 0)
        #expect(verdict == .deliver && order.resequencer.cells.isEmpty)
        order.resequencer.pass(7, on: 0, now: at(0))
        order.resequencer.skip(2, before: 10)
        #expect(order.resequencer.cells.isEmpty && !order.resequencer.hasPackets)
        order.arrive(3, on: 1)
        order.release()
        #expect(order.out == [1, 2, 4, 3])
        // Once there are some, what comes too early waits as everywhere.
        order.resequencer.equip()
        let held = order.arrive(20, on: 0)
        guard case .hold = held else { return fail("\(held)") }
        #expect(order.resequencer.hasPackets)
    }

    /// Cells for a second time: what waits in the first ones stays.
    @Test func cellsThatComeTwiceLoseNothing() {
        var order = Order()
        order.begin()
        order.arrive(4, on: 0)
        order.resequencer.equip([UInt8](repeating: 7, count: order.resequencer.cells.count))
        #expect(order.resequencer.hasPackets && order.resequencer.cells.allSatisfy { $0 == 0 })
        order.arrive(3, on: 1)
        order.release()
        #expect(order.out == [1, 2, 3, 4])
    }

    // MARK: - Time

    /// A look that comes long after all patches fell silent lets go of what waits, and of nothing that still comes.
    @Test func aLateLookGivesUpNothingThatFollows() {
        var order = Order()
        order.begin()
        order.arrive(4, on: 0)
        order.resequencer.expire(now: at(10_000))
        order.release()
        #expect(order.out == [1, 2, 4] && order.resequencer.statistics.expired == 1)
        order.arrive(5, on: 0, now: at(10_001))
        order.arrive(6, on: 1, now: at(10_001))
        order.arrive(8, on: 0, now: at(10_002))
        order.arrive(7, on: 1, now: at(10_003))
        order.release()
        #expect(order.out == Array(1...2) + Array(4...8), "\(order.out)")
    }
}
