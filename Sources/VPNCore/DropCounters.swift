// SPDX-License-Identifier: Apache-2.0
// One counter per drop reason, in one flat block: no dictionary on the packet path. Each worker has its own and a
// scrape adds them up, so the increments are not contended.

import Synchronization

/// Counts drops by reason. Safe to read from any thread while a worker counts.
public final class DropCounters: Sendable {
    /// More than there are reasons; `DropReason` may grow up to this without a change here.
    static let capacity = 128

    private let counts: InlineArray<128, Atomic<UInt64>>

    public init() {
        precondition(DropReason.allCases.count <= DropCounters.capacity)
        counts = InlineArray { _ in Atomic(0) }
    }

    public func add(_ reason: DropReason, _ count: Int = 1) {
        counts[Int(reason.rawValue)].wrappingAdd(UInt64(count), ordering: .relaxed)
    }

    public subscript(reason: DropReason) -> UInt64 {
        counts[Int(reason.rawValue)].load(ordering: .relaxed)
    }

    /// The reasons that occurred, with their counts, in the order of `DropReason`.
    public var nonZero: [(reason: DropReason, count: UInt64)] {
        DropReason.allCases.compactMap { reason in
            let count = self[reason]
            return count == 0 ? nil : (reason, count)
        }
    }

    public var total: UInt64 { DropReason.allCases.reduce(0) { $0 &+ self[$1] } }
}
