// SPDX-License-Identifier: Apache-2.0
// Makes repairs for the packets that went lately (§9), as many as the loss asks for. A sliding window over GF(2⁸), after RFC 8681:
// no packet waits for a block to be full.

struct RepairEncoder: Sendable {
    /// Packets that a repair covers at most; the last of them went no longer ago than a few counters.
    private let window: Int
    private var sources: [(counter: UInt64, symbol: [UInt8])] = []
    private var seed: UInt32
    /// Repairs that are due, in 1/1024.
    private var debt = 0
    /// Repairs a packet, in 1/1024.
    private(set) var share = 0

    /// - Parameter seed: random, so that no two windows of a session share factors.
    init(window: Int = Limits.repairWindow, seed: UInt32) {
        precondition((1...RepairMessage.span).contains(window))
        self.window = window
        self.seed = seed
    }

    /// Five times what is lost, since losses come in groups and repairs are lost, too; never more than a fourth of the packets. At 3 %
    /// of both more than 99.9 % of the packets arrive (RepairTests).
    mutating func adjust(lossPerMille loss: Int) {
        let loss = min(max(loss, 0), 1000)
        share = loss == 0 ? 0 : min(loss * 5 * 1024 / 1000 + 16, 256)
    }

    /// Takes a packet that went under this counter; the repair that is due after it, if one is.
    mutating func sent(_ packet: [UInt8], under counter: UInt64) -> RepairMessage? {
        if let last = sources.last, counter <= last.counter { return nil }
        sources.append((counter, RepairMessage.symbol(of: packet)))
        if sources.count > window { sources.removeFirst(sources.count - window) }
        debt += share
        guard debt >= 1024 else { return nil }
        debt -= 1024
        return repair()
    }

    /// A combination of what the window has.
    mutating func repair() -> RepairMessage? {
        guard let last = sources.last else { return nil }
        let covered = sources.filter { last.counter - $0.counter < UInt64(RepairMessage.span) }
        let first = covered[0].counter
        seed &+= 1
        let longest = covered.map(\.symbol.count).max() ?? 0
        let mask = covered.reduce(UInt64(0)) { $0 | 1 << ($1.counter - first) }
        var message = RepairMessage(
            first: first, mask: mask, seed: seed, symbol: Array(repeating: 0, count: longest))
        for source in covered {
            Field.add(source.symbol, times: message.factor(of: source.counter), to: &message.symbol)
        }
        return message
    }
}
