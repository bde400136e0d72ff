// SPDX-License-Identifier: Apache-2.0
// The address block that one party is presumed to own, for limits (§5): IPv4 /32, IPv6 /64, and the /48 around it. Of circuits:
// one circuit, and the link that brings it.

/// A key for counting what comes from one party.
struct SourcePrefix: Hashable, Sendable {
    private let high: UInt64
    private let low: UInt64

    /// /32 of an IPv4 address, /64 of an IPv6 one, a circuit.
    init(_ carrier: Carrier) {
        switch carrier {
        case .udp(let endpoint):
            high = endpoint.high
            low = endpoint.isV4 ? endpoint.low : 0
        case .circuit(let place):
            high = place.key
            low = 2
        }
    }

    /// `low` tells what it is: a /64 has 0, an IPv4 address ones in its middle.
    private init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// The /48 of an IPv6 address, the link of a circuit; nil for IPv4.
    static func site(_ carrier: Carrier) -> SourcePrefix? {
        switch carrier {
        case .udp(let endpoint):
            endpoint.isV4 ? nil : SourcePrefix(high: endpoint.high & 0xFFFF_FFFF_FFFF_0000, low: 1)
        case .circuit(let place): SourcePrefix(high: UInt64(place.outer), low: 3)
        }
    }
}
