// SPDX-License-Identifier: Apache-2.0
// What the operator says of one peer, as the core needs it: names resolved, ids parsed.
public import VPNCrypto

/// A peer that the operator configured, or a bootstrap entry (one without an id and without allowed IPs).
public struct PeerConfiguration: Sendable {
    /// Shown in logs; unique.
    public var name: String
    /// Who must answer; nil where first use decides (`tofu`).
    public var peerID: PeerID?
    /// Where to call it; nil where it calls us.
    public var endpoint: Endpoint?
    /// The inner addresses that are its own.
    public var allowedIPs: [IPPrefix]
    /// Seconds between keepalives while nothing else is sent; 0 = none beyond those that answer traffic.
    public var keepaliveSeconds: UInt16
    /// An entry of `bootstrap.peers`: called whoever it is, as far as that one is believed; it has no rights of its own.
    public var isBootstrap: Bool
    /// Mixed into every handshake with it; the peer must have the same.
    public var presharedKey: PresharedKey?
    /// More ways there than one, used at once (§9); nil: one.
    public var quilt: QuiltConfiguration?

    public init(
        name: String, peerID: PeerID?, endpoint: Endpoint?, allowedIPs: [IPPrefix], keepaliveSeconds: UInt16 = 0,
        isBootstrap: Bool = false, presharedKey: PresharedKey? = nil, quilt: QuiltConfiguration? = nil
    ) {
        self.name = name
        self.peerID = peerID
        self.endpoint = endpoint
        self.allowedIPs = allowedIPs
        self.keepaliveSeconds = keepaliveSeconds
        self.isBootstrap = isBootstrap
        self.presharedKey = presharedKey
        self.quilt = quilt
    }
}
