// SPDX-License-Identifier: Apache-2.0
// What a relay's workers know of circuits that pass through (§8): where each goes on, what it carried, and how much it may.

import Synchronization

/// What one circuit carried through this node, both ways. Workers count, the control side looks.
public final class RelayedTraffic: Sendable {
    private let packetCount = Atomic<UInt64>(0)
    private let byteCount = Atomic<UInt64>(0)
    private let usedAt: Atomic<UInt64>
    /// Of what the relay, whoever asked for the circuit, and the link that it goes on by may have; none where that is not limited.
    private let shares: [RelayShare]

    init(_ shares: [RelayShare], now: Instant) {
        self.shares = shares
        usedAt = Atomic(now.nanoseconds)
    }

    /// Goes on counting where another left off, with other shares.
    init(_ shares: [RelayShare], after other: RelayedTraffic) {
        self.shares = shares
        packetCount.store(other.packets, ordering: .relaxed)
        byteCount.store(other.bytes, ordering: .relaxed)
        usedAt = Atomic(other.lastUsed.nanoseconds)
    }

    /// Counts a RELAY payload; false if the datagram around it is more than there is for it.
    func admit(_ bytes: Int, now: Instant) -> Bool {
        for place in shares.indices where !shares[place].take(bytes + Limits.layerOverhead, now: now) { return false }
        packetCount.wrappingAdd(1, ordering: .relaxed)
        byteCount.wrappingAdd(UInt64(bytes), ordering: .relaxed)
        usedAt.max(now.nanoseconds, ordering: .relaxed)
        return true
    }

    /// RELAY payloads, both ways.
    public var packets: UInt64 { packetCount.load(ordering: .relaxed) }
    public var bytes: UInt64 { byteCount.load(ordering: .relaxed) }
    /// When it was opened, or last carried something.
    var lastUsed: Instant { Instant(nanoseconds: usedAt.load(ordering: .relaxed)) }
}

/// Circuit → where what comes on it goes on.
struct RelayTable {
    struct Onward {
        /// `CircuitPlace.key`, the shortest that it is said in.
        fileprivate let key: UInt64
        let traffic: RelayedTraffic

        var place: CircuitPlace { CircuitPlace(key: key) }
    }

    /// By the place's key. Peers choose half of the ids: the standard library's seeded hash lets none of them collide at will.
    private var entries: [UInt64: Onward] = [:]

    @inline(__always)
    subscript(place: CircuitPlace) -> Onward? { entries.isEmpty ? nil : entries[place.key] }

    var count: Int { entries.count }

    mutating func add(_ place: CircuitPlace, to onward: CircuitPlace, _ traffic: RelayedTraffic) {
        entries[place.key] = Onward(key: onward.key, traffic: traffic)
    }

    mutating func remove(_ place: CircuitPlace) { entries[place.key] = nil }
}
