// SPDX-License-Identifier: Apache-2.0
// What packets are looked up in: an immutable snapshot of a prefix table, made for longest prefix match in a few cache
// lines. Nested prefixes are flattened into disjoint intervals when the snapshot is made, so a look-up is one search
// for the last interval that starts at or below the address, whatever the family and however deep the nesting.

/// Prefix → peer slot for both families.
public final class RouteTable: Sendable {
    let v4: IntervalMap<UInt32>
    let v6: IntervalMap<UInt128>

    public init(_ table: PrefixTable<PeerSlot> = PrefixTable()) {
        var prefixes4: [IntervalMap<UInt32>.Source] = []
        var prefixes6: [IntervalMap<UInt128>.Source] = []
        for (prefix, slot) in table.entries {
            precondition((0..<Limits.peerSlots).contains(slot))
            switch prefix.family {
            case .v4:
                prefixes4.append(.init(first: UInt32(prefix.first), last: UInt32(prefix.last), slot: Int32(slot)))
            case .v6:
                prefixes6.append(.init(first: prefix.first, last: prefix.last, slot: Int32(slot)))
            }
        }
        v4 = IntervalMap(prefixes4)
        v6 = IntervalMap(prefixes6)
    }

    /// The slot of the longest prefix that contains the address.
    public func lookup(_ address: IPAddress) -> PeerSlot? {
        let slot = address.family == .v4 ? v4.lookup(UInt32(address.value)) : v6.lookup(address.value)
        return slot < 0 ? nil : PeerSlot(slot)
    }
}

/// Disjoint intervals that cover all keys, searched through a static tree of blocks of 16 keys.
struct IntervalMap<Key: FixedWidthInteger & UnsignedInteger & Sendable>: Sendable {
    struct Source {
        var first: Key
        var last: Key
        var slot: Int32
    }

    static var none: Int32 { -1 }
    private static var fanout: Int { 16 }

    /// All levels, the root first. Level 0 of the tree holds where each interval starts, padded to a multiple of 16
    /// with the greatest key; each level above holds every 16th key of the one below.
    private let keys: [Key]
    /// Where each level begins in `keys`, the root first.
    private let levels: [Int]
    /// The slot of each interval, or −1.
    private let slots: [Int32]

    init(_ sources: [Source]) {
        let (starts, slots) = IntervalMap.flatten(sources)
        self.slots = slots
        var stack: [[Key]] = []
        var level = starts
        while true {
            let padded = (level.count + IntervalMap.fanout - 1) / IntervalMap.fanout * IntervalMap.fanout
            stack.append(level + Array(repeating: .max, count: padded - level.count))
            if level.count <= IntervalMap.fanout { break }
            level = stride(from: 0, to: level.count, by: IntervalMap.fanout).map { level[$0] }
        }
        var keys: [Key] = []
        var levels: [Int] = []
        for level in stack.reversed() {
            levels.append(keys.count)
            keys += level
        }
        self.keys = keys
        self.levels = levels
    }

    /// The slot of the interval that holds `key`, or −1.
    @inline(__always)
    func lookup(_ key: Key) -> Int32 {
        // The greatest key, which also pads the blocks, lies in the last interval.
        if key == .max { return slots[slots.count - 1] }
        var index = 0
        for base in levels {
            let block = base + index * IntervalMap.fanout
            var below = 0
            for offset in block + 1..<block + IntervalMap.fanout { below += keys[offset] <= key ? 1 : 0 }
            index = index * IntervalMap.fanout + below
        }
        return slots[index]
    }

    /// Sorts nested prefixes into consecutive intervals: a prefix covers what no longer one inside it covers.
    private static func flatten(_ sources: [Source]) -> ([Key], [Int32]) {
        // Of two prefixes that start together, the shorter (with the higher end) opens first.
        let sorted = sources.sorted { ($0.first, $1.last) < ($1.first, $0.last) }
        var starts: [Key] = [0]
        var slots: [Int32] = [none]
        func begin(_ start: Key, _ slot: Int32) {
            if starts.last == start {
                slots[slots.count - 1] = slot
            } else if slots.last != slot {
                starts.append(start)
                slots.append(slot)
            }
        }
        var open: [Source] = []
        func close(before key: Key?) {
            while let top = open.last, key.map({ top.last < $0 }) ?? true {
                open.removeLast()
                if top.last < .max { begin(top.last + 1, open.last?.slot ?? none) }
            }
        }
        for source in sorted {
            close(before: source.first)
            begin(source.first, source.slot)
            open.append(source)
        }
        close(before: nil)
        return (starts, slots)
    }
}
