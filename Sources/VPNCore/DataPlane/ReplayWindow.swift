// SPDX-License-Identifier: Apache-2.0
// The replay window of one receiving key (§7): which counters were seen, in a ring of 64-bit blocks as in RFC 6479.
// It knows nothing of keys: whoever calls `accept` has verified the tag before, or forged counters would move it.

/// What a replay window says of a counter.
public enum ReplayVerdict: Hashable, Sendable {
    /// Never seen, and not older than the window.
    case fresh
    case duplicate
    /// Below the window, so that nobody can tell.
    case tooOld
}

/// A sliding window over the `width` highest counters: exactly those in `highest − width + 1 ... highest`.
public struct ReplayWindow: Sendable {
    /// Counters that the window spans.
    public let width: Int
    /// The highest counter accepted so far; meaningless before the first.
    public private(set) var highest: UInt64 = 0
    /// One bit per counter; block b of the counter space lives at index b mod count. The count is a power of two and at
    /// least one block more than the window can touch, so that a block is cleared before it is used again.
    private var blocks: [UInt64]
    private var isEmpty = true

    /// A window that accepts any counter first.
    public init(width: Int = Limits.replayWindow) {
        precondition(width > 0)
        self.width = width
        var count = 2
        while count < (width + 63) / 64 + 1 { count *= 2 }
        blocks = Array(repeating: 0, count: count)
    }

    /// What `accept` would say, without moving anything: the cheap check before the dear `open`.
    @inline(__always)
    public func check(_ counter: UInt64) -> ReplayVerdict {
        if isEmpty || counter > highest { return .fresh }
        if highest - counter >= UInt64(width) { return .tooOld }
        return blocks[index(of: counter)] & bit(of: counter) == 0 ? .fresh : .duplicate
    }

    /// Marks a counter **whose datagram was authenticated** as seen; says `.fresh` exactly once for each.
    @inline(__always)
    public mutating func accept(_ counter: UInt64) -> ReplayVerdict {
        let verdict = check(counter)
        if verdict == .fresh { mark(counter) }
        return verdict
    }

    /// Marks a counter that `check` has just found fresh and whose datagram was authenticated.
    @inline(__always)
    mutating func mark(_ counter: UInt64) {
        if isEmpty {
            isEmpty = false
            highest = counter
        } else if counter > highest {
            advance(to: counter)
        }
        blocks[index(of: counter)] |= bit(of: counter)
    }

    /// Spans more counters from now on. Of those that were too old before nobody knows: they stay refused.
    mutating func widen(to width: Int) {
        guard width > self.width else { return }
        var wide = ReplayWindow(width: width)
        if !isEmpty {
            let span = UInt64(width - 1)
            for counter in (highest > span ? highest - span : 0)...highest where check(counter) != .fresh {
                wide.mark(counter)
            }
        }
        self = wide
    }

    /// Clears the blocks that the window enters; a jump beyond the ring clears all of it once.
    @inline(__always)
    private mutating func advance(to counter: UInt64) {
        let from = highest >> 6
        let steps = min(counter >> 6 - from, UInt64(blocks.count))
        var step: UInt64 = 0
        while step < steps {
            step += 1
            blocks[Int(truncatingIfNeeded: (from &+ step) & UInt64(blocks.count - 1))] = 0
        }
        highest = counter
    }

    @inline(__always)
    private func index(of counter: UInt64) -> Int {
        Int(truncatingIfNeeded: (counter >> 6) & UInt64(blocks.count - 1))
    }

    @inline(__always)
    private func bit(of counter: UInt64) -> UInt64 { 1 << (counter & 63) }
}
