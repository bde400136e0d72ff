// SPDX-License-Identifier: Apache-2.0
// What the operator wants of a quilt with one peer (§9). Whether there is one depends on the peer, too.

/// `peers[].quilt`: more ways to a peer than one, used at once.
public struct QuiltConfiguration: Hashable, Sendable {
    public var scheduler: QuiltScheduler
    /// Of `redundant`: whether small packets and those of DSCP EF alone are doubled.
    public var doublesSmallOnly: Bool
    /// How long a packet waits for earlier ones at most; nil: as long as the patches differ.
    public var deadline: TimeSpan?
    /// Whether patches may share what they had better not.
    public var relaxesDisjointness: Bool
    /// Carriers beside the one that the handshake goes by; of an endpoint that is not link-local, `scope` is the interface to
    /// leave by. At most `Limits.patches` less one.
    public var ways: [Endpoint]

    public init(
        scheduler: QuiltScheduler = .edpf, doublesSmallOnly: Bool = false, deadline: TimeSpan? = nil,
        relaxesDisjointness: Bool = false, ways: [Endpoint] = []
    ) {
        self.scheduler = scheduler
        self.doublesSmallOnly = doublesSmallOnly
        self.deadline = deadline
        self.relaxesDisjointness = relaxesDisjointness
        self.ways = ways
    }
}
