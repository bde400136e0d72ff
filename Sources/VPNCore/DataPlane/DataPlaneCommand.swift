// SPDX-License-Identifier: Apache-2.0
// What the control side tells those who move packets. Plain values; both halves of a data plane take all of them and each
// obeys what is its own.

/// What the control plane tells a data plane.
public enum DataPlaneCommand: Sendable {
    /// Makes a session receivable by its local index.
    case install(Session)
    /// Makes a session the one by which its peer is sent to, over the carrier; installs it if need be, and readies
    /// the packets that wait for it (`nextStaged`).
    case activate(Session, Carrier)
    /// A session has patches from now on (§9): what they are is in the quilt.
    case quilt(Quilt)
    /// Makes a quilt's session receivable by another index, which stands for a patch.
    case patch(Quilt, number: Int, index: UInt32)
    /// Takes such an index back.
    case removePatch(index: UInt32)
    /// Sends to a peer over another carrier from now on.
    case move(PeerSlot, Carrier)
    /// The longest inner packet, in bytes, that the path to a peer carries.
    case limit(PeerSlot, mtu: Int)
    /// Gives back counters that were reserved of the session of this local index: their key phase may be over (§7).
    case dropOldKeys(UInt32)
    /// Forgets a session by its local index; a peer that was sent to by it has no session then.
    case retire(UInt32)
    /// Replaces all routes.
    case routes(RouteTable)
    /// What comes on one circuit goes on by another (§8). One direction; the other one is a command of its own.
    case relay(CircuitPlace, to: CircuitPlace, RelayedTraffic)
    /// Ends that.
    case stopRelaying(CircuitPlace)
    /// What the guests of this exit may reach, from now on; nil: no exit, and no guest is fenced in.
    case exit(ExitFence?)
    /// A peer is a guest of this exit: its packets and those to it pass the fence. Until it is removed.
    case fence(PeerSlot)
    /// To this peer, an exit, goes nothing but what comes from these addresses of ours: a lease, or none yet.
    case sources(PeerSlot, [IPAddress])
    /// Forgets a peer: its sessions and its waiting packets.
    case removePeer(PeerSlot)
}
