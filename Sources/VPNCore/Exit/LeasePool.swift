// SPDX-License-Identifier: Apache-2.0
// The inner addresses that an exit has to give, who of them are out, and which rest before they are given again. It knows no
// guests, and its randomness comes from outside.

import DequeModule

/// Addresses of one network of each family at most.
struct LeasePool {
    private let networks: [IPPrefix]
    /// Never given: the exit's own.
    private let reserved: Set<IPAddress>
    private(set) var taken: Set<IPAddress> = []
    /// Given back, and since when they rest, the earliest first.
    private var resting = Deque<(address: IPAddress, since: Instant)>()
    private var isResting: Set<IPAddress> = []
    /// Given back since the last look at the time.
    private var returned: [IPAddress] = []

    init(_ networks: [IPPrefix], reserved: [IPAddress]) {
        self.networks = networks
        self.reserved = Set(reserved)
    }

    /// Free addresses, one of each network, each drawn by the random number of its network; nil where one of them has none, or
    /// more are out than an exit has guests.
    mutating func take(random: (IPPrefix) -> UInt128, now: Instant) -> [IPAddress]? {
        settle(now: now)
        guard taken.count + networks.count <= Limits.exitLeases * networks.count, !networks.isEmpty else { return nil }
        var found: [IPAddress] = []
        for network in networks {
            guard let address = free(in: network, random(network)) else { return nil }
            found.append(address)
        }
        taken.formUnion(found)
        return found
    }

    /// From the drawn place on, the first that is free: what is out or rests is little beside a pool of usual size.
    private func free(in network: IPPrefix, _ random: UInt128) -> IPAddress? {
        // Without the network's own address, and of IPv4 without its broadcast.
        let first = network.first + 1
        let last = network.family == .v4 ? network.last - 1 : network.last
        guard network.family.bits - network.length >= 2 else { return nil }
        // 2^128 does not occur: no pool is the whole family.
        let count = last - first + 1
        var offset = random % count
        // More than these cannot be in the way.
        for _ in 0...(taken.count + resting.count + reserved.count) {
            let value = first + offset
            let address = network.family == .v4 ? IPAddress(v4: UInt32(value)) : IPAddress(v6: value)
            if !taken.contains(address), !isResting.contains(address), !reserved.contains(address) { return address }
            offset = offset + 1 == count ? 0 : offset + 1
        }
        return nil
    }

    /// They rest from the next `settle` on, and then others may have them.
    mutating func giveBack(_ addresses: [IPAddress]) {
        for address in addresses where taken.remove(address) != nil {
            returned.append(address)
            isResting.insert(address)
        }
    }

    /// Once a second, at least.
    mutating func settle(now: Instant) {
        for address in returned { resting.append((address, now)) }
        returned.removeAll()
        while let oldest = resting.first, now.since(oldest.since) >= Limits.leaseQuarantine {
            resting.removeFirst()
            isResting.remove(oldest.address)
        }
    }
}
