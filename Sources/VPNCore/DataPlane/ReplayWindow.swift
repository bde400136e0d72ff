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
    /// One bit per counter; block b of the counter space lives at index b mod count. The count is a power of two, and grows with what
    /// was seen up to one block more than the window can touch: a session that carries little has a small one.
    private var blocks: [UInt64]
    /// The lowest block that is kept. Below it nothing was seen that the window still spans.
    private var base: UInt64 = 0
    private var isEmpty = true

    /// A window that accepts any counter first.
    public init(width: Int = Limits.replayWindow) {
        precondition(width > 0)
        self.width = width
        blocks = Array(repeating: 0, count: 2)
    }

    /// Blocks that it has.
    var blockCount: Int { blocks.count }

    /// What `accept` would say, without moving anything: the cheap check before the dear `open`.
    @inline(__always)
    public func check(_ counter: UInt64) -> ReplayVerdict {
        if counter > highest { return .fresh }
        if highest - counter >= UInt64(width) { return .tooOld }
        if counter >> 6 < base { return .fresh }
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
            base = counter >> 6
        } else if counter > highest {
            advance(to: counter)
        } else if counter >> 6 < base {
            reach(down: counter >> 6)
        }
        blocks[index(of: counter)] |= bit(of: counter)
    }

    /// Spans more counters from now on. Of those that were too old before nobody knows: they stay refused.
    mutating func widen(to width: Int) {
        guard width > self.width else { return }
        var wide = ReplayWindow(width: width)
        let span = UInt64(width - 1)
        for counter in (highest > span ? highest - span : 0)...highest where check(counter) != .fresh {
            wide.mark(counter)
        }
        self = wide
    }

    /// Clears the blocks that the window enters; a jump beyond the ring clears all of it once.
    @inline(__always)
    private mutating func advance(to counter: UInt64) {
        let (from, to) = (highest >> 6, counter >> 6)
        if to &- base >= UInt64(blocks.count) { makeRoom(upTo: to, lowest: lowest(under: counter)) }
        let steps = min(to &- from, UInt64(blocks.count))
        var step: UInt64 = 0
        while step < steps {
            step += 1
            blocks[Int(truncatingIfNeeded: (from &+ step) & UInt64(blocks.count - 1))] = 0
        }
        highest = counter
    }

    /// The block of the lowest counter that the window spans under this one.
    private func lowest(under counter: UInt64) -> UInt64 {
        counter < UInt64(width) ? 0 : (counter - UInt64(width) + 1) >> 6
    }

    /// Lets go of blocks that the window leaves, and has a greater ring where that is not enough.
    @inline(never)
    private mutating func makeRoom(upTo last: UInt64, lowest: UInt64) {
        // Never more than the window, and no more than was seen of it.
        let kept = highest >> 6 < lowest ? last : max(base, lowest)
        grow(from: kept, count: last - kept + 1)
        base = kept
    }

    /// A counter below all that were seen, and within the window.
    @inline(never)
    private mutating func reach(down block: UInt64) {
        let last = highest >> 6
        grow(from: base, count: last - block + 1)
        for empty in block..<base { blocks[Int(truncatingIfNeeded: empty & UInt64(blocks.count - 1))] = 0 }
        base = block
    }

    /// A ring of so many blocks or more, with those from `first` to the highest in their places.
    private mutating func grow(from first: UInt64, count: UInt64) {
        var size = blocks.count
        while UInt64(size) < count { size *= 2 }
        guard size > blocks.count else { return }
        var grown = [UInt64](repeating: 0, count: size)
        var block = first
        while block <= highest >> 6 {
            grown[Int(truncatingIfNeeded: block & UInt64(size - 1))] =
                blocks[Int(truncatingIfNeeded: block & UInt64(blocks.count - 1))]
            block += 1
        }
        blocks = grown
    }

    @inline(__always)
    private func index(of counter: UInt64) -> Int {
        Int(truncatingIfNeeded: (counter >> 6) & UInt64(blocks.count - 1))
    }

    @inline(__always)
    private func bit(of counter: UInt64) -> UInt64 { 1 << (counter & 63) }
}
