// SPDX-License-Identifier: Apache-2.0
// The prefix table and its snapshot against a list that is searched to the end.

import Testing
import VPNCore

@Suite struct PrefixTableTests {
    private static func naive(_ list: [IPPrefix: Int], _ address: IPAddress) -> Int? {
        list.filter { $0.key.contains(address) }.max { $0.key.length < $1.key.length }?.value
    }

    private static func randomAddress(_ random: inout SeededGenerator, _ family: IPAddress.Family) -> IPAddress {
        // Few distinct bits, so that prefixes nest and addresses hit them.
        switch family {
        case .v4: return IPAddress(v4: UInt32.random(in: 0...0xFFFF, using: &random) & 0xF0F3 | 0x0A00_0000)
        case .v6:
            let high = UInt64.random(in: 0...0xFFFF, using: &random) & 0x3033 | 0xFD00_0000_0000_0000
            let low = UInt64.random(in: 0...3, using: &random) << 62 | UInt64.random(in: 0...3, using: &random)
            return IPAddress(v6: UInt128(high) << 64 | UInt128(low))
        }
    }

    @Test(arguments: 1...30 as ClosedRange<UInt64>) func equalsANaiveModel(seed: UInt64) {
        var random = SeededGenerator(seed)
        var table = PrefixTable<PeerSlot>()
        var model: [IPPrefix: Int] = [:]
        for step in 0..<300 {
            let family: IPAddress.Family = Bool.random(using: &random) ? .v4 : .v6
            let address = PrefixTableTests.randomAddress(&random, family)
            let length = Int.random(in: 0...family.bits, using: &random)
            let prefix = IPPrefix(containing: address, length: length)
            if Int.random(in: 0..<4, using: &random) == 0, let victim = model.keys.randomElement(using: &random) {
                #expect(table.remove(victim) == model.removeValue(forKey: victim))
                #expect(table.remove(victim) == nil)
            } else {
                #expect(table.insert(prefix, step) == model[prefix])
                if model[prefix] == nil { model[prefix] = step }
            }
        }
        #expect(table.count == model.count)
        let snapshot = RouteTable(table)
        var addresses: [IPAddress] = [
            IPAddress("0.0.0.0")!, IPAddress("255.255.255.255")!, IPAddress("::")!, IPAddress(v6: .max),
        ]
        for prefix in model.keys {
            // The edges of each prefix and their neighbours.
            for value in [prefix.first, prefix.first &- 1, prefix.last, prefix.last &+ 1] {
                addresses.append(
                    prefix.family == .v4 ? IPAddress(v4: UInt32(truncatingIfNeeded: value)) : IPAddress(v6: value))
            }
        }
        for _ in 0..<500 {
            addresses.append(PrefixTableTests.randomAddress(&random, .v4))
            addresses.append(PrefixTableTests.randomAddress(&random, .v6))
        }
        for address in addresses {
            let expected = PrefixTableTests.naive(model, address)
            guard snapshot.lookup(address) == expected, table.lookup(address) == expected else {
                Issue.record("seed \(seed): \(address) belongs to \(String(describing: expected))")
                return
            }
        }
    }

    @Test func longestPrefixWins() throws {
        let routes = try Fixture.routes([
            ("0.0.0.0/0", 1), ("10.0.0.0/8", 2), ("10.77.0.0/16", 3), ("10.77.0.5/32", 4), ("10.255.255.255/32", 5),
            ("::/0", 6), ("fd77::/16", 7), ("fd77::5/128", 8),
        ])
        for (text, slot) in [
            ("9.255.255.255", 1), ("10.0.0.0", 2), ("10.76.255.255", 2), ("10.77.0.4", 3), ("10.77.0.5", 4),
            ("10.77.0.6", 3), ("10.78.0.0", 2), ("10.255.255.254", 2), ("10.255.255.255", 5), ("11.0.0.0", 1),
            ("255.255.255.255", 1), ("::", 6), ("fd76:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 6), ("fd77::", 7),
            ("fd77::5", 8), ("fd77::6", 7), ("fd78::", 6), ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 6),
        ] {
            #expect(routes.lookup(IPAddress(text)!) == slot, "\(text)")
        }
        let empty = RouteTable()
        #expect(empty.lookup(IPAddress("255.255.255.255")!) == nil && empty.lookup(IPAddress(v6: .max)) == nil)
    }

    @Test func duplicatesAreReportedAndTheFirstStays() throws {
        var table = PrefixTable<String>()
        let prefix = try IPPrefix("10.0.0.0/8")
        #expect(table.insert(prefix, "alice") == nil)
        #expect(table.insert(prefix, "bob") == "alice")
        #expect(table[prefix] == "alice")
        table.insert(try IPPrefix("fd77::/64"), "bob")
        table.removeAll { $0 == "alice" }
        #expect(table.lookup(IPAddress("10.0.0.1")!) == nil)
        #expect(table.lookup(IPAddress("fd77::1")!) == "bob")
    }

    /// 65,536 prefixes of each family, each found where it is and not beside it.
    @Test func holdsAsManyPrefixesAsItMust() {
        var table = PrefixTable<PeerSlot>()
        let spread = { (n: Int) in UInt32(truncatingIfNeeded: n &* 2_654_435_761) }
        for n in 0..<65_536 {
            let v4 = IPAddress(v4: spread(n) & ~1)
            let v6 = IPAddress(v6: UInt128(0xFD77) << 112 | UInt128(spread(n)) << 64)
            #expect(table.insert(IPPrefix(containing: v4, length: 31), n) == nil)
            #expect(table.insert(IPPrefix(containing: v6, length: 96), n) == nil)
        }
        let routes = RouteTable(table)
        var wrong = 0
        for n in 0..<65_536 {
            if routes.lookup(IPAddress(v4: spread(n) | 1)) != n { wrong += 1 }
            let v6 = UInt128(0xFD77) << 112 | UInt128(spread(n)) << 64
            if routes.lookup(IPAddress(v6: v6 | 0xFFFF_FFFF)) != n { wrong += 1 }
            if routes.lookup(IPAddress(v6: v6 | 0x1_0000_0000)) != nil { wrong += 1 }
        }
        #expect(wrong == 0)
    }
}
