// SPDX-License-Identifier: Apache-2.0
// What the core asks for. Small, never composite; drained one by one after each input.

public enum Action: Sendable {
    /// One UDP payload. The carrier is a UDP endpoint: layers of circuits are around it already.
    case transmit([UInt8], Carrier)
    /// Public-key work; its result comes back through `jobFinished`.
    case run(CryptoJob)
    /// A change of the packet workers' tables: install, activate, retire, routes.
    case dataPlane(DataPlaneCommand)
    /// Keep this identity in known_peers.
    case remember(PinnedPeer)
    /// Somebody proved that it holds an invitation: use it up on disk, then say so by `settle`.
    case redeem(InvitationClaim)
    case emit(Event)
}
