// SPDX-License-Identifier: Apache-2.0
// The replay window with counters as they come, and the look-up of one of 65,536 prefixes.

import VPNCore

/// `ReplayWindow.check` and then `accept`, as around an `open`; every eighth counter comes late.
struct Replay: Workload {
    let name = "replay"
    let packets = 64
    private var window = ReplayWindow()
    private var next: UInt64 = 1

    mutating func prepare() {}

    mutating func run() -> Int {
        var fresh = 0
        for place in 0..<UInt64(packets) {
            // 7, 0, 1, 2, … 6, 15, 8, …
            let counter = next &+ (place & ~7) &+ ((place &+ 7) & 7)
            if window.check(counter) == .fresh, window.accept(counter) == .fresh { fresh += 1 }
        }
        next &+= UInt64(packets)
        return fresh
    }
}

/// `RouteTable.lookup`, in an order that is none.
struct Lookup: Workload {
    private static let prefixes = 65_536

    let name: String
    let packets = 64
    private let routes: RouteTable
    private var queries: [IPAddress]
    private var place = 0

    init(_ family: IPFamily) {
        name = "lookup-\(family)-65536"
        var table = PrefixTable<PeerSlot>()
        var random: UInt64 = 1
        queries = []
        while table.count < Lookup.prefixes {
            // Knuth's MMIX generator: the same tables everywhere.
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let address =
                family == .ipv4
                ? IPAddress(v4: UInt32(random >> 32)) : IPAddress(v6: UInt128(random) << 64 | UInt128(random >> 7))
            let length = family == .ipv4 ? 16 + table.count % 17 : 32 + table.count % 97
            let count = table.count
            table.insert(IPPrefix(containing: address, length: length), count)
            if table.count > count { queries.append(address) }
        }
        routes = RouteTable(table)
    }

    mutating func prepare() { place = (place + 64 * 911) % (queries.count - 64) }

    mutating func run() -> Int {
        var found = 0
        for offset in 0..<packets where routes.lookup(queries[place + offset]) != nil { found += 1 }
        return found
    }
}

/// Work of a known number of instructions: two for each packet and turn.
struct Known: Workload {
    static let perPacket = 2000
    let name = "known"
    let packets = 64
    mutating func prepare() {}
    mutating func run() -> Int {
        for _ in 0..<packets { Counters.spin(UInt64(Known.perPacket / 2)) }
        return packets
    }
}
