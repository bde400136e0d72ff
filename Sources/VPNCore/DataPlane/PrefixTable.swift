// SPDX-License-Identifier: Apache-2.0
// The editable list of prefixes (allowed IPs): who has which, without duplicates. It is not what packets are looked up
// in: that is `RouteTable`, an immutable snapshot of this.

/// A set of prefixes of both families, each with a value.
public struct PrefixTable<Value: Sendable>: Sendable {
    private var values: [IPPrefix: Value] = [:]
    /// How many prefixes there are of each length, so that a look-up asks only for lengths that exist.
    private var lengths: [IPAddress.Family: [Int]] = [
        .v4: Array(repeating: 0, count: 33), .v6: Array(repeating: 0, count: 129),
    ]

    public init() {}

    public var count: Int { values.count }

    /// All prefixes with their values, in no order.
    public var entries: some Sequence<(key: IPPrefix, value: Value)> { values }

    /// Adds a prefix.
    /// - Returns: nil, or the value of the same prefix that is there already and stays.
    @discardableResult
    public mutating func insert(_ prefix: IPPrefix, _ value: Value) -> Value? {
        if let present = values[prefix] { return present }
        values[prefix] = value
        lengths[prefix.family]![prefix.length] += 1
        return nil
    }

    /// Removes a prefix and gives its value back; nil if it was not there.
    @discardableResult
    public mutating func remove(_ prefix: IPPrefix) -> Value? {
        guard let value = values.removeValue(forKey: prefix) else { return nil }
        lengths[prefix.family]![prefix.length] -= 1
        return value
    }

    /// Removes every prefix whose value satisfies the condition.
    public mutating func removeAll(where condition: (Value) -> Bool) {
        for (prefix, value) in values where condition(value) { remove(prefix) }
    }

    /// The value of exactly this prefix.
    public subscript(prefix: IPPrefix) -> Value? { values[prefix] }

    /// The value of the longest prefix that contains the address. For the control plane: it asks length by length.
    public func lookup(_ address: IPAddress) -> Value? {
        let counts = lengths[address.family]!
        for length in counts.indices.reversed() where counts[length] > 0 {
            if let value = values[IPPrefix(containing: address, length: length)] { return value }
        }
        return nil
    }
}
