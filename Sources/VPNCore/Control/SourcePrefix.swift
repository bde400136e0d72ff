// SPDX-License-Identifier: Apache-2.0
// The address block that one party is presumed to own, for limits (§5): IPv4 /32, IPv6 /64, and the /48 around it.

/// A key for counting what comes from one party.
struct SourcePrefix: Hashable, Sendable {
    private let high: UInt64
    private let low: UInt64

    /// /32 of an IPv4 address, /64 of an IPv6 one.
    init(_ carrier: Carrier) {
        switch carrier {
        case .udp(let endpoint):
            high = endpoint.high
            low = endpoint.isV4 ? endpoint.low : 0
        }
    }

    private init(high: UInt64) {
        self.high = high
        // Never equal to a /64 of the same block: those have a low word of 0.
        low = 1
    }

    /// The /48 of an IPv6 address; nil for IPv4.
    static func site(_ carrier: Carrier) -> SourcePrefix? {
        switch carrier {
        case .udp(let endpoint): endpoint.isV4 ? nil : SourcePrefix(high: endpoint.high & 0xFFFF_FFFF_FFFF_0000)
        }
    }
}
