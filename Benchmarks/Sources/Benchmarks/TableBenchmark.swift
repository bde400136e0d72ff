// SPDX-License-Identifier: Apache-2.0
// The replay window and the prefix table by themselves, the latter with 65,536 prefixes of each family.
import Nodes
import VPNCore

struct TableBenchmark {
    private static let prefixes = 65_536
    private static let counters: UInt64 = 2_000_000

    /// As they stand in a configuration.
    private let texts: [String]
    private let queries4: [IPAddress]
    private let queries6: [IPAddress]

    init() {
        var random = SplitMix64(seed: 1)
        let v4 = Self.distinct {
            IPPrefix(containing: IPAddress(v4: UInt32(random.next() >> 32)), length: 16 + $0 % 17)
        }
        let v6 = Self.distinct { IPPrefix(containing: IPAddress(v6: random.wide()), length: 32 + $0 % 97) }
        texts = (v4 + v6).map(\.description)
        // Addresses inside of prefixes, in no order: the dear case for caches.
        queries4 = v4.shuffled(using: &random).map { prefix in
            IPAddress(v4: UInt32(truncatingIfNeeded: prefix.first | (random.wide() & (prefix.last ^ prefix.first))))
        }
        queries6 = v6.shuffled(using: &random).map { prefix in
            IPAddress(v6: prefix.first | (random.wide() & (prefix.last ^ prefix.first)))
        }
    }

    private static func distinct(_ make: (Int) -> IPPrefix) -> [IPPrefix] {
        var seen: Set<IPPrefix> = []
        while seen.count < prefixes { seen.insert(make(seen.count)) }
        return seen.sorted()
    }

    func round(_ results: inout Results) throws {
        try replay(&results)
        var routes = RouteTable()
        let load = try Processor.nanoseconds(operations: 1) {
            var table = PrefixTable<PeerSlot>()
            for (slot, text) in texts.enumerated() { table.insert(try IPPrefix(text), slot) }
            guard table.count == texts.count else { throw Failure("prefixes were lost") }
            routes = RouteTable(table)
        }
        results.add(.tables, "read and load 65,536 prefixes of each family", "ms", load / 1e6)
        try look(queries4, "IPv4", in: routes, &results)
        try look(queries6, "IPv6", in: routes, &results)
    }

    private func look(
        _ queries: [IPAddress], _ family: String, in routes: RouteTable, _ results: inout Results
    ) throws {
        var found = 0
        let rounds = 10
        let time = Processor.nanoseconds(operations: queries.count * rounds) {
            for _ in 0..<rounds {
                for query in queries where routes.lookup(query) != nil { found += 1 }
            }
        }
        guard found == queries.count * rounds else { throw Failure("an address inside of a prefix was not found") }
        results.add(.tables, "look one of 65,536 \(family) prefixes up, in random order", "ns", time)
    }

    private func replay(_ results: inout Results) throws {
        var window = ReplayWindow()
        var fresh: UInt64 = 0
        let time = Processor.nanoseconds(operations: Int(Self.counters)) {
            for counter in 1...Self.counters where window.check(counter) == .fresh && window.accept(counter) == .fresh {
                fresh += 1
            }
        }
        guard fresh == Self.counters else { throw Failure("the replay window refused a fresh counter") }
        results.add(.tables, "replay window, check and accept, in order", "ns", time)
    }
}

/// A small seeded generator, so that all runs measure the same tables.
private struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }

    mutating func wide() -> UInt128 { UInt128(next()) << 64 | UInt128(next()) }
}
