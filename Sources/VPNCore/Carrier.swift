// SPDX-License-Identifier: Apache-2.0
// What carries a session (§8): a UDP endpoint, or a circuit in the sessions with another peer. A session hands a datagram and a
// carrier down and gets the like back up; who adds and takes off the layers around it is no affair of its own.

/// A small integer that stands for a peer on the packet path, given out by the control plane.
public typealias PeerSlot = Int

/// A UDP address: IPv6, or IPv4 as ::ffff:a.b.c.d (RFC 4291 §2.5.5.2), and a port.
public struct Endpoint: Hashable, Sendable {
    /// The upper and lower 64 bits of the 16-byte address, in host order.
    public var high: UInt64
    public var low: UInt64
    public var port: UInt16
    /// Which of this host's addresses it speaks to, and is answered from: a number that whoever has the socket gives out. 0 for
    /// the one that routes say. A byte, beside which there is room for what tells carriers apart: none takes more than 24.
    public var source: UInt8 = 0
    /// Interface index of a link-local address; of another one, the interface to leave by, or 0 for the one that routes say.
    public var scope: UInt32

    public init(high: UInt64, low: UInt64, port: UInt16, scope: UInt32 = 0) {
        self.high = high
        self.low = low
        self.port = port
        self.scope = scope
    }

    /// An IPv4 address given as its 32 bits in host order.
    public init(v4 address: UInt32, port: UInt16) {
        self.init(high: 0, low: 0x0000_FFFF_0000_0000 | UInt64(address), port: port)
    }

    public var isV4: Bool { high == 0 && low >> 32 == 0x0000_FFFF }

    /// fe80::/10 (RFC 4291 §2.5.6).
    var isLinkLocal: Bool { high >> 54 == 0x3FA }

    /// The 32 bits of an IPv4 address, in host order; meaningful only where `isV4`.
    public var v4: UInt32 { UInt32(truncatingIfNeeded: low) }

    /// The address as the 16 bytes that cookies and prefixes are computed over.
    public var addressBytes: [UInt8] {
        var bytes = [UInt8]()
        bytes.reserveCapacity(16)
        for word in [high, low] {
            for shift in stride(from: 56, through: 0, by: -8) {
                bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(shift)))
            }
        }
        return bytes
    }
}

/// A circuit where it passes this node: an id in the sessions with one peer.
///
/// It hangs on the association with that peer and so survives its rekeys (§6).
public struct CircuitPlace: Hashable, Sendable {
    /// The peer in whose sessions the RELAY frames come and go.
    public var outer: PeerSlot
    /// Never 0 without its highest bit.
    public var id: UInt32

    public init(outer: PeerSlot, id: UInt32) {
        self.outer = outer
        self.id = id
    }

    /// Both numbers in one, never 0: 0 stands for UDP where sessions and places are compared.
    @inline(__always)
    var key: UInt64 { UInt64(outer + 1) << 32 | UInt64(id) }

    @inline(__always)
    init(key: UInt64) { self.init(outer: Int(key >> 32) - 1, id: UInt32(truncatingIfNeeded: key)) }
}

/// The way a datagram came or goes.
public enum Carrier: Hashable, Sendable {
    case udp(Endpoint)
    case circuit(CircuitPlace)

    /// The circuit, if it is one.
    var place: CircuitPlace? { if case .circuit(let place) = self { place } else { nil } }

    /// The same as datagrams from there show it: they do not say by which interface this end sends.
    var seen: Carrier {
        guard case .udp(var endpoint) = self, !endpoint.isLinkLocal else { return self }
        endpoint.scope = 0
        return .udp(endpoint)
    }

    /// Whether datagrams from there come as `arrived` says. Who has called does not mind which of its addresses is answered; who
    /// was called answers from the one that was, since a NAT or a filter in between knows no other.
    @inline(__always)
    func isHeard(as arrived: Carrier) -> Bool {
        let known = seen
        return known == arrived || known == arrived.fromAnyAddress
    }

    /// The same, from whichever address routes say.
    public var fromAnyAddress: Carrier {
        guard case .udp(var endpoint) = self else { return self }
        endpoint.source = 0
        return .udp(endpoint)
    }

    /// The UDP endpoint, if it is one.
    var endpoint: Endpoint? { if case .udp(let endpoint) = self { endpoint } else { nil } }
}
