// SPDX-License-Identifier: Apache-2.0
// The replay window against a set: the same verdict for every counter, in every order.

import Testing

@testable import VPNCore

/// The window as its definition reads: a set, and the highest counter.
private struct WindowModel {
    let width: UInt64
    var seen: Set<UInt64> = []
    var highest: UInt64?

    func check(_ counter: UInt64) -> ReplayVerdict {
        guard let highest, counter <= highest else { return .fresh }
        if highest - counter >= width { return .tooOld }
        return seen.contains(counter) ? .duplicate : .fresh
    }

    mutating func accept(_ counter: UInt64) -> ReplayVerdict {
        let verdict = check(counter)
        if verdict == .fresh {
            seen.insert(counter)
            highest = max(highest ?? 0, counter)
        }
        return verdict
    }
}

@Suite struct ReplayWindowTests {
    /// Every sequence of six counters out of eight, for every small width, at places where blocks begin and end.
    @Test(arguments: [1, 2, 3, 5, 8]) func equalsASetForAllShortSequences(width: Int) {
        for base in [0, 60, 127, UInt64.max - 7] {
            var differences = 0
            func explore(_ window: ReplayWindow, _ model: WindowModel, _ depth: Int) {
                for step in UInt64(0)..<8 {
                    var (window, model) = (window, model)
                    if window.check(base + step) != model.check(base + step) { differences += 1 }
                    if window.accept(base + step) != model.accept(base + step) { differences += 1 }
                    if depth > 1 { explore(window, model, depth - 1) }
                }
            }
            explore(ReplayWindow(width: width), WindowModel(width: UInt64(width)), width == 3 ? 6 : 5)
            #expect(differences == 0, "width \(width) at \(base)")
        }
    }

    /// Sparse jumps over whole blocks, for widths around the size of a block.
    @Test(arguments: [63, 64, 65, 128]) func equalsASetForAllJumpsAcrossBlocks(width: Int) {
        let steps: [UInt64] = [0, 1, 62, 63, 64, 65, 127, 128, 129, 191, 192, 256, 1000]
        var differences = 0
        func explore(_ window: ReplayWindow, _ model: WindowModel, _ depth: Int) {
            for step in steps {
                var (window, model) = (window, model)
                if window.accept(step) != model.accept(step) { differences += 1 }
                if depth > 1 { explore(window, model, depth - 1) }
            }
        }
        explore(ReplayWindow(width: width), WindowModel(width: UInt64(width)), 4)
        #expect(differences == 0)
    }

    @Test(arguments: [Limits.replayWindow, Limits.quiltReplayWindow], [1, 2, 3, 4] as [UInt64])
    func equalsASetForRandomTraffic(width: Int, seed: UInt64) {
        var random = SeededGenerator(seed)
        var window = ReplayWindow(width: width)
        var model = WindowModel(width: UInt64(width))
        var top = UInt64.random(in: 0..<1 << 31, using: &random)
        for _ in 0..<100_000 {
            let counter: UInt64
            switch Int.random(in: 0..<100, using: &random) {
            case 0..<50:
                top += 1
                counter = top
            case 50..<90: counter = top - min(top, UInt64.random(in: 0..<64, using: &random))
            case 90..<97: counter = top - min(top, UInt64.random(in: 0..<UInt64(width) + 200, using: &random))
            case 97..<99:
                top += UInt64.random(in: 1..<1000, using: &random)
                counter = top
            default:
                top += UInt64.random(in: 1..<UInt64(width) * 3, using: &random)
                counter = top
            }
            let (expected, actual) = (model.accept(counter), window.accept(counter))
            guard expected == actual else {
                Issue.record("seed \(seed), width \(width): \(counter) is \(expected), not \(actual)")
                return
            }
        }
    }

    /// A session that carries little has a small window: as large as what it saw, up to the whole one.
    @Test func memoryFollowsWhatWasSeen() {
        var window = ReplayWindow(width: Limits.replayWindow)
        for counter in UInt64(7_000)..<7_200 { #expect(window.accept(counter) == .fresh) }
        #expect(window.blockCount == 4)
        // Far below, and within the window.
        #expect(window.accept(5_000) == .fresh && window.accept(5_000) == .duplicate)
        #expect(window.blockCount == 64 && window.accept(7_100) == .duplicate)
        // A jump leaves nothing behind that would be worth the room.
        #expect(window.accept(1 << 40) == .fresh)
        #expect(window.blockCount == 64)
        for step in UInt64(0)..<100_000 { _ = window.accept(1 << 40 + step * 3) }
        #expect(window.blockCount == 256)
    }

    @Test func theEndOfTheCounterSpaceIsReached() {
        var window = ReplayWindow(width: 64)
        #expect(window.accept(0) == .fresh)
        #expect(window.accept(.max) == .fresh)
        #expect(window.accept(.max) == .duplicate)
        #expect(window.accept(.max - 63) == .fresh)
        #expect(window.accept(.max - 64) == .tooOld)
        #expect(window.accept(0) == .tooOld)
    }

    @Test func checkingMovesNothing() {
        var window = ReplayWindow()
        #expect(window.accept(100) == .fresh)
        #expect(window.check(1 << 60) == .fresh)
        #expect(window.highest == 100)
        #expect(window.accept(99) == .fresh)
    }
}
