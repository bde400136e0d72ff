// SPDX-License-Identifier: Apache-2.0
// One peer as the control side knows it: configuration, trust in progress, its handshake and its sessions.
internal import VPNCrypto

struct Peer {
    /// How a peer stands to this node where circuits are concerned (§8).
    enum Place {
        /// Both ends know each other; UDP carries their session.
        case direct
        /// A hop of a circuit that this node built. It is met under throwaway keys, which are made when they are needed.
        indirect case hop((any IdentitySigner)?)
        /// Whoever came by a circuit, under throwaway keys of its own.
        case guest
    }

    let slot: PeerSlot
    var configuration: PeerConfiguration
    /// Configured by the operator, or let in by an invitation; others came by themselves and go with their last session.
    var isConfigured: Bool
    /// It has told this node, its guest, the inner addresses.
    var hasLeased = false
    /// Of the keepalive interval, what is left out at random: 0 … 255 for 0 … 20 %.
    var keepaliveJitter: UInt8 = 0
    /// Three questions were missed, and nothing was heard since.
    var isDown = false
    var place = Place.direct
    /// Who it is; nil until a first contact has told.
    var identity: PeerID?
    @Rare var initiation: InitiatorStateMachine? = nil
    /// Consecutive handshakes without a session.
    var failures = 0
    /// When to try again after a handshake was given up.
    @Rare var retry: Instant? = nil
    var ring = KeyRing()
    /// Where DATA goes.
    var carrier: Carrier?
    /// Where its handshake goes, if not there as well.
    @Rare var calling: Carrier? = nil
    /// The association's id (§6): the sessionid of its first handshake.
    var association: [UInt8]?
    /// What is known of the way there; nil before the first session.
    var path: PeerPath?
    /// From the last S2; single use.
    var token: [UInt8]?
    /// What the association's last handshake left for its next.
    var chain = PresharedChain()
    /// What this end's attempt is to pin, if a session comes of it.
    @Rare var pendingPin: PinnedPeer? = nil
    /// The inner addresses that it was given for its invitation, for when it asks.
    var lease: [InterfaceAddress]?
    /// What it was given as a guest of this exit.
    @Rare var exitLease: ExitLease? = nil
    /// The patches of its sessions (§9), by a session's index.
    var quilts: [UInt32: QuiltMaking] = [:]
    /// When this end begins a session of its own, for want of patches in the other end's.
    @Rare var quiltWanted: Instant? = nil
    /// A carrier that the peer was heard on and that it has to prove.
    @Rare var move: PathMove? = nil
    /// Until when no other carrier is looked at: the peer answered where it was.
    var keptUntil = Instant.origin
    /// Challenges answered in this second.
    var pathAnswers: (second: UInt64, count: Int) = (0, 0)
    /// When the next datagram of cover traffic goes; nil without a session or without such traffic.
    @Rare var cover: Instant? = nil
    /// When the last keepalive request went out, and its timestamp field.
    var keepaliveSent: Instant?
    var keepaliveTimestamp: UInt64 = 0
    /// What the last answer to one took.
    var roundTrip: TimeSpan?
    /// Of the question where it sees this node; nil while none waits for an answer.
    @Rare var viewNonce: UInt64? = nil
    /// Since when something that we sent has had no answer at all.
    var unansweredSince: Instant?
    /// Questions without an answer since then.
    var missedKeepalives = 0
    /// Since when it owes an answer to a circuit's vigil; no circuit is begun there before something is heard.
    @Rare var suspected: Instant? = nil

    init(slot: PeerSlot, configuration: PeerConfiguration, isConfigured: Bool, identity: PeerID?) {
        self.slot = slot
        self.configuration = configuration
        self.isConfigured = isConfigured
        self.identity = identity
        carrier = configuration.endpoint.map { .udp($0) }
    }

    var name: String { configuration.name }

    var isDirect: Bool { if case .direct = place { true } else { false } }
    var isHop: Bool { if case .hop = place { true } else { false } }
    var isGuest: Bool { if case .guest = place { true } else { false } }

    /// The circuit on which it was met last; nil where that was none.
    var arrival: CircuitPlace? { ring.next?.session.place ?? ring.current?.session.place }

    /// Whether it is a guest with a session or a patch on a circuit.
    func isOn(_ place: CircuitPlace) -> Bool {
        guard isGuest else { return false }
        if ring.all.contains(where: { $0.session.place == place }) { return true }
        return quilts.values.contains { making in
            !making.guests.isEmpty
                && making.quilt.withState { state in state.patches.contains { $0?.carrier == .circuit(place) } }
        }
    }

    /// The keys of a first contact that is not pinned yet.
    var unpinnedKeys: IdentityPublicKeys? {
        pendingPin?.keys ?? ring.all.lazy.compactMap { $0.pin?.keys }.first { $0.peerID == identity }
    }

    var isSuspect: Bool {
        guard let suspected else { return false }
        return (ring.current?.session.lastReceived ?? .origin) < suspected
    }

    /// A relay's link that nobody configured: it goes when no circuit uses it.
    var isPassingLink: Bool { isDirect && !isConfigured && configuration.endpoint != nil }

    /// §2: with one signature there are no relay and no exit rights. Whoever grants one asks here.
    var isDegraded: Bool { ring.current?.summary.isDegraded ?? false }

    /// When something is due for it; in the far future where nothing is.
    var deadline: Instant {
        var deadline = Instant(nanoseconds: .max)
        if let due = initiation?.deadline { deadline = min(deadline, due) }
        if let due = retry { deadline = min(deadline, due) }
        if let due = path?.search.deadline { deadline = min(deadline, due) }
        if let due = move?.deadline { deadline = min(deadline, due) }
        if let due = cover { deadline = min(deadline, due) }
        if let due = quiltWanted { deadline = min(deadline, due) }
        for (index, making) in quilts {
            deadline = min(deadline, making.deadline(isCurrent: ring.current?.session.localIndex == index))
        }
        return deadline
    }
}
