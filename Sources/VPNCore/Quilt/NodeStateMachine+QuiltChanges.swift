// SPDX-License-Identifier: Apache-2.0
// Another wish for a quilt (§9) while the node runs: by the configuration, or since interfaces came and went.

extension NodeStateMachine {
    /// What the operator wants of a quilt with a configured peer from now on; nil: one path. At the end that made the session a new one is
    /// made at once, with the paths that are wanted now; at the other end it counts for the next session.
    public mutating func setQuilt(_ quilt: QuiltConfiguration?, ofPeer name: String, now: Instant) {
        guard let slot = peers.slot(where: { $0.isConfigured && $0.name == name }),
            peers[slot]?.configuration.quilt != quilt
        else { return }
        peers[slot]?.configuration.quilt = quilt
        // Nobody makes a session for a wish that was taken back.
        if quilt?.ways.isEmpty ?? true { peers[slot]?.quiltWanted = nil }
        guard peers[slot]?.ring.current?.summary.role == .initiator else { return }
        renew(slot, now: now)
    }
}
