// SPDX-License-Identifier: Apache-2.0
// Has lost packets again from repairs (§9): linear equations over GF(2⁸), solved as they come. It believes no more than that the peer
// sent what it got, which the session has proven; a peer who lies only spoils packets that it could have spoilt anyway.

struct RepairDecoder: Sendable {
    /// An equation in which no known packet is left: unknown counters with their factors, and what they add up to. Its pivot is the
    /// first of them, with factor 1, and is in no other equation.
    private struct Row {
        var unknown: [(counter: UInt64, factor: UInt8)]
        var sum: [UInt8]
    }

    /// Symbols of packets that came lately.
    private var known: [UInt64: [UInt8]] = [:]
    private var rows: [Row] = []
    /// Counters below this are forgotten.
    private var horizon: UInt64 = 0
    private var newest: UInt64 = 0

    /// Packets that were had again, and repairs that had nothing to tell, since this was made.
    private(set) var repaired: UInt64 = 0
    private(set) var idle: UInt64 = 0

    init() {}

    /// A packet that came: what it makes known beside itself.
    mutating func received(_ packet: [UInt8], under counter: UInt64) -> [(counter: UInt64, packet: [UInt8])] {
        guard counter >= horizon, known[counter] == nil else { return [] }
        advance(to: counter)
        return learn(counter, RepairMessage.symbol(of: packet))
    }

    /// A repair that came: what it makes known.
    mutating func received(_ message: RepairMessage) -> [(counter: UInt64, packet: [UInt8])] {
        let counters = message.counters
        guard let last = counters.last else { return [] }
        advance(to: last)
        // Of what is forgotten nobody can tell any more what it adds.
        guard message.first >= horizon else { return [] }
        var row = Row(unknown: [], sum: message.symbol)
        for counter in counters {
            let factor = message.factor(of: counter)
            if let symbol = known[counter] {
                guard symbol.count <= row.sum.count else { return [] }
                Field.add(symbol, times: factor, to: &row.sum)
            } else {
                row.unknown.append((counter, factor))
            }
        }
        return add(row)
    }

    // MARK: - Equations

    private mutating func add(_ fresh: Row) -> [(counter: UInt64, packet: [UInt8])] {
        var row = fresh
        for other in rows {
            if let factor = row.unknown.first(where: { $0.counter == other.unknown[0].counter })?.factor {
                RepairDecoder.subtract(other, times: factor, from: &row)
            }
        }
        guard let pivot = row.unknown.first else {
            idle += 1
            return []
        }
        let inverse = Field.inverse(pivot.factor)
        Field.scale(&row.sum, by: inverse)
        for index in row.unknown.indices {
            row.unknown[index].factor = Field.multiply(row.unknown[index].factor, inverse)
        }
        for index in rows.indices {
            if let factor = rows[index].unknown.first(where: { $0.counter == pivot.counter })?.factor {
                RepairDecoder.subtract(row, times: factor, from: &rows[index])
            }
        }
        rows.append(row)
        if rows.count > Limits.repairEquations { rows.removeFirst() }
        return solve()
    }

    /// What the equations with one unknown tell.
    private mutating func solve() -> [(counter: UInt64, packet: [UInt8])] {
        var found: [(counter: UInt64, packet: [UInt8])] = []
        while let index = rows.firstIndex(where: { $0.unknown.count == 1 }) {
            let row = rows.remove(at: index)
            let counter = row.unknown[0].counter
            guard known[counter] == nil, let packet = RepairMessage.packet(of: row.sum) else { continue }
            repaired += 1
            found.append((counter, packet))
            found += learn(counter, RepairMessage.symbol(of: packet))
        }
        return found
    }

    /// Takes a symbol into all equations that have it as an unknown.
    private mutating func learn(_ counter: UInt64, _ symbol: [UInt8]) -> [(counter: UInt64, packet: [UInt8])] {
        known[counter] = symbol
        var changed: [Row] = []
        for index in rows.indices.reversed() {
            guard let place = rows[index].unknown.firstIndex(where: { $0.counter == counter }) else { continue }
            var row = rows.remove(at: index)
            let factor = row.unknown.remove(at: place).factor
            // A symbol longer than the sum cannot have been in it: the equation is a lie, and goes.
            guard symbol.count <= row.sum.count else { continue }
            Field.add(symbol, times: factor, to: &row.sum)
            changed.append(row)
        }
        return changed.flatMap { add($0) }
    }

    /// `row −= factor · other`, which in this field is the same as adding.
    private static func subtract(_ other: Row, times factor: UInt8, from row: inout Row) {
        if row.sum.count < other.sum.count {
            row.sum += Array(repeating: 0, count: other.sum.count - row.sum.count)
        }
        Field.add(other.sum, times: factor, to: &row.sum)
        for term in other.unknown {
            let change = Field.multiply(term.factor, factor)
            if let place = row.unknown.firstIndex(where: { $0.counter == term.counter }) {
                row.unknown[place].factor ^= change
            } else {
                row.unknown.append((term.counter, change))
            }
        }
        row.unknown.removeAll { $0.factor == 0 }
        row.unknown.sort { $0.counter < $1.counter }
    }

    // MARK: - Memory

    /// Forgets what no repair can cover any more.
    private mutating func advance(to counter: UInt64) {
        guard counter > newest else { return }
        newest = counter
        guard counter >= UInt64(Limits.repairMemory) else { return }
        let limit = counter - UInt64(Limits.repairMemory) + 1
        if limit - horizon > UInt64(known.count) {
            known = known.filter { $0.key >= limit }
        } else {
            for old in horizon..<limit { known[old] = nil }
        }
        horizon = limit
        rows.removeAll { $0.unknown[0].counter < limit }
    }
}

extension RepairDecoder {
    /// What it keeps.
    var footprint: (packets: Int, equations: Int) { (known.count, rows.count) }
}
