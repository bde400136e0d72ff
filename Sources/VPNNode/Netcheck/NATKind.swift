// SPDX-License-Identifier: Apache-2.0
// What lies between this host and its peers, as far as they see it: their views of one socket, compared. It is pure, and says
// "unknown" where the views do not tell; what a NAT lets in from others (its filtering) they never tell.
internal import VPNCore

/// How a NAT, if there is any, maps one socket for different peers (RFC 4787 §4.1).
public enum NATKind: String, Codable, Sendable, CaseIterable {
    /// Peers see the socket where it is.
    case none
    /// All of several places see it at the same address and port, which are not its own.
    case sameForAll = "same_for_all"
    /// Different places see it at different addresses or ports.
    case differs
    /// Seen elsewhere than it is, by peers at one address alone: nothing to compare.
    case someKind = "some_kind"
    /// Nobody told.
    case unknown

    /// One peer's view.
    struct View: Hashable {
        /// Where the peer is.
        var place: Endpoint
        /// What packets to it are sent from, and the port of the socket.
        var local: Endpoint
        /// Where it sees the socket.
        var seen: Endpoint

        var isChanged: Bool { (local.high, local.low, local.port) != (seen.high, seen.low, seen.port) }
    }

    /// - Parameter views: of one family.
    init(_ views: [View]) {
        guard !views.isEmpty else {
            self = .unknown
            return
        }
        guard views.contains(where: \.isChanged) else {
            self = .none
            return
        }
        // Peers behind the NAT see what others do not: they say nothing of it.
        let outside = views.filter(\.isChanged)
        if Set(outside.map(\.seen)).count > 1 {
            self = .differs
        } else {
            self = Set(outside.map(\.place.address)).count > 1 ? .sameForAll : .someKind
        }
    }

    var text: String {
        switch self {
        case .none: "none: peers see this host's own address and port"
        case .sameForAll: "one mapping for all peers (endpoint-independent)"
        case .differs: "another mapping for each peer (endpoint-dependent): only the other side can be called"
        case .someKind: "there is one; its kind is unknown: peers at two addresses are needed to compare"
        case .unknown: "unknown: no peer told where it sees this host"
        }
    }
}
