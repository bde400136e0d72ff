// SPDX-License-Identifier: Apache-2.0
// The replay window (§7) says of every counter what a set of all counters that were accepted says.

import VPNTesting

@testable import VPNCore

enum WindowProperty {
    static func check(_ input: inout FuzzInput) throws {
        let widths = [1, 63, 64, 65, 100, 128, 1000, 8192]
        var width = widths[Int(input.byte() & 7)]
        var window = ReplayWindow(width: width)
        var accepted: Set<UInt64> = []
        // Below it nobody can tell: what was too old for a narrow window stays so for a wider one.
        var floor: UInt64 = 0
        var last = input.byte() & 1 == 0 ? UInt64(input.wide()) : .max - UInt64(input.word())
        for step in 0..<200 where !input.isEmpty {
            let kind = input.byte()
            if kind == 0xFF {
                if let highest = accepted.max() {
                    floor = max(floor, highest >= UInt64(width) ? highest - UInt64(width) + 1 : 0)
                }
                width = max(width, widths[input.number(below: 8)])
                window.widen(to: width)
                continue
            }
            let distance = UInt64(kind & 0x20 == 0 ? UInt16(kind & 15) : input.word())
            let counter: UInt64
            switch kind >> 6 {
            case 0: counter = last
            case 1: counter = last >= distance ? last - distance : 0
            case 2: counter = last <= .max - distance ? last + distance : .max
            default: counter = last <= .max - distance << 8 ? last + distance << 8 : .max
            }
            let expected = verdict(counter, accepted, floor: floor, width: width)
            let text = "step \(step): \(counter) of \(accepted.max() ?? 0), width \(width)"
            try FuzzFinding.unless(window.check(counter) == expected, text)
            // Looking changes nothing.
            if kind & 0x10 != 0 { continue }
            try FuzzFinding.unless(window.accept(counter) == expected, text)
            if expected == .fresh { accepted.insert(counter) }
            try FuzzFinding.unless(window.accept(counter) != .fresh, "\(text), twice")
            if counter > last || kind & 0x08 != 0 { last = counter }
        }
        try FuzzFinding.unless(accepted.isEmpty || window.highest == accepted.max(), "highest")
    }

    private static func verdict(_ counter: UInt64, _ accepted: Set<UInt64>, floor: UInt64, width: Int) -> ReplayVerdict
    {
        guard let highest = accepted.max() else { return .fresh }
        if counter > highest { return .fresh }
        if highest - counter >= UInt64(width) { return .tooOld }
        if accepted.contains(counter) { return .duplicate }
        // The wider window calls it seen.
        return counter < floor ? .duplicate : .fresh
    }
}
