// SPDX-License-Identifier: Apache-2.0
// Which sessions there are, counted for whoever watches a node. Asked for now and then, never on the packet path.
public import VPNCrypto

/// The sessions of a node by their place in a key ring.
public struct SessionCensus: Equatable, Sendable {
    /// Sent on.
    public var current = 0
    /// Of a responder: waits for its first DATA.
    public var next = 0
    /// Receive only, for a grace time.
    public var previous = 0
    /// Of the current ones: one signature of two had to do.
    public var degraded = 0
}

/// A peer as a graph shows it.
public struct PeerTraffic: Equatable, Sendable {
    public var name: String
    public var peerID: PeerID?
    /// Datagram bytes without UDP and IP headers, over the sessions that it has now.
    public var bytesIn: UInt64
    public var bytesOut: UInt64
    /// When its current session was made; nil without one.
    public var established: Instant?
}

extension NodeStateMachine {
    public var census: SessionCensus {
        peers.values.reduce(into: SessionCensus()) { census, peer in
            if let current = peer.ring.current {
                census.current += 1
                if current.summary.isDegraded { census.degraded += 1 }
            }
            if peer.ring.next != nil { census.next += 1 }
            census.previous += peer.ring.previous.count
        }
    }

    /// Every configured peer, in the order of the configuration.
    public var traffic: [PeerTraffic] {
        peers.values.filter(\.isConfigured).sorted { $0.slot < $1.slot }.map { peer in
            let statistics = peer.ring.all.map(\.session.statistics)
            return PeerTraffic(
                name: peer.name, peerID: peer.identity, bytesIn: statistics.reduce(0) { $0 &+ $1.bytesIn },
                bytesOut: statistics.reduce(0) { $0 &+ $1.bytesOut }, established: peer.ring.current?.installed)
        }
    }
}
