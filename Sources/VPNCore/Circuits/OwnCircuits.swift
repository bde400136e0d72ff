// SPDX-License-Identifier: Apache-2.0
// The circuits that this node has for itself, and the paths that they go (§8). Tables only: what happens with them is
// NodeStateMachine+Circuits'.
public import VPNCrypto

/// What a circuit is asked for with.
public struct CircuitRequest: Sendable, Equatable {
    /// Shown to people; unique.
    public var name: String
    /// One to eight nodes, pinned or in the directory: the first is met directly, the last is where packets come out.
    public var hops: [PeerID]
    /// Inner addresses that are reached through it. With one hop, which is a peer like any other: empty.
    public var allowedIPs: [IPPrefix]
    /// The last hop is an exit, and is asked for inner addresses. Needs a second hop: a peer that is met directly has no guests.
    public var wantsLease: Bool
    /// By which its hops are chosen, where there are none yet: paths that replace the first may have other hops between the first and the last. Nil: the
    /// hops are what was asked for.
    public var wish: PathWish?
    /// More paths to the last hop than one, used at once (§9). Nil: one.
    public var quilt: CircuitQuilt?

    public init(
        name: String, hops: [PeerID], allowedIPs: [IPPrefix], wantsLease: Bool = false, wish: PathWish? = nil,
        quilt: CircuitQuilt? = nil
    ) {
        self.name = name
        self.hops = hops
        self.allowedIPs = allowedIPs
        self.wantsLease = wantsLease
        self.wish = wish
        self.quilt = quilt
    }
}

/// Paths of one circuit that are used at once (§9): each a patch of the session with the last hop, which is all that they share.
public struct CircuitQuilt: Sendable, Equatable {
    public var configuration: QuiltConfiguration
    /// Paths in all, 2 … `Limits.patches`.
    public var paths: Int
    /// The hops of the further paths where the circuit does not choose them, all ending at the same one.
    public var named: [[PeerID]]

    public init(configuration: QuiltConfiguration = QuiltConfiguration(), paths: Int, named: [[PeerID]] = []) {
        precondition((2...Limits.patches).contains(paths), "a quilt of paths that no session has")
        self.configuration = configuration
        self.paths = paths
        self.named = named
    }
}

/// Why a circuit is not even begun.
public enum CircuitRefusal: String, Error, Sendable, CaseIterable {
    /// None, or more than eight.
    case length
    /// The first hop is no peer of this node, and no relay that it has an address of.
    case entry
    /// A hop that is neither pinned nor in the directory, or is barred.
    case unknownHop = "unknown_hop"
    /// This node itself, or the same node twice in a row, or with one between: no relay extends so.
    case loop
    /// There is a circuit of this name.
    case name
    /// An inner prefix belongs to a peer or another circuit, or one is given, or a lease is wanted, with one hop.
    case prefix
    /// There is no path of the kind that was wished for (`selectionFailure`).
    case noPath = "no_path"
    /// More circuits than a node has room for.
    case tooMany = "too_many"
}

/// What became of a circuit.
public enum CircuitEvent: Sendable {
    /// It carries packets; `largest` bytes are the longest inner packet.
    case ready(OwnCircuit.Number, name: String, hops: Int, largest: Int)
    /// Another path has taken over.
    case replaced(OwnCircuit.Number, name: String)
    /// A new path could not be built; the old one goes on, and another attempt follows.
    case replacementFailed(OwnCircuit.Number, name: String, hop: Int, CircuitFailure, retryIn: TimeSpan)
    /// It is gone, everything about it is forgotten. Whoever wants it builds another.
    case failed(OwnCircuit.Number, name: String, hop: Int, CircuitFailure)
    case closed(OwnCircuit.Number, name: String)
    /// Its exit gave this node inner addresses, for as long as the circuit lives.
    case leased(OwnCircuit.Number, name: String, ExitLease)
    /// The circuit is there, and has no addresses.
    case leaseRefused(OwnCircuit.Number, name: String, LeaseRefusal)
    /// It has so many paths in use now (§9), of as many as were asked for.
    case paths(OwnCircuit.Number, name: String, inUse: Int, of: Int)
    /// A further path could not be built, or is no more; the others go on.
    case pathLost(OwnCircuit.Number, name: String, hop: Int, CircuitFailure, retryIn: TimeSpan)
}

/// A circuit: what it leads to, and the paths that it has.
public struct OwnCircuit: Sendable {
    public typealias Number = Int

    let number: Number
    let request: CircuitRequest
    /// The peer that its last hop is. It outlives the paths, and so its throwaway identity and the addresses that it was given.
    let destination: PeerSlot
    /// In use, being built, and taking what is under way.
    var current: CircuitPath.Number?
    var successor: CircuitPath.Number?
    var draining: [CircuitPath.Number] = []
    /// Further ones (§9), built or in use, and when to look whether there are enough of them.
    var sides: [CircuitPath.Number] = []
    var sidesDue: Instant?
    /// Of those that could not be built, one after the other; and of those that were lost before they were proven.
    var sideFailures = 0
    var sideLosses = 0
    var readySince: Instant?
    /// When a successor is to be built.
    var replaceAt: Instant?
    /// Successors that could not be built, one after the other.
    var failures = 0
    /// First paths that were lost before they were proven, one after the other, while others carried.
    var losses = 0
    /// nil before it is asked for. It outlives the paths, as the association with the exit does.
    var lease: LeaseProgress?

    var paths: [CircuitPath.Number] { [current, successor].compactMap { $0 } + draining + sides }
}

/// One way through the hops.
struct CircuitPath {
    typealias Number = Int

    let number: Number
    let circuit: OwnCircuit.Number
    let hops: [PeerID]
    var machine: CircuitStateMachine
    /// The peers that its hops are, as far as it got, and on what circuit each but the first was met.
    var slots: [PeerSlot]
    var places: [CircuitPlace] = []
    /// The first hop ended it: it need not be told.
    var isTold = false
    /// One beside others (§9): the session with the last hop is not its own, and it ends before it.
    var isSide = false
    /// Since when packets may go by it; nil again where it failed before it was proven.
    var usedSince: Instant?
    /// Of a side path: when another one is to take its place; it is still in use until that is.
    var replaceAt: Instant?
    var isLeaving = false
    /// Other paths lead to the last hop, too: what comes from there says nothing of this one.
    var sharesEnd = false
    /// Nil where it has but one hop, which is a peer like any other.
    var vigil: CircuitVigil?
    /// The vigil's last one to the farthest hop.
    var question: (slot: PeerSlot, nonce: UInt64, sent: Instant)?

    /// Whether it was in use for so long that its loss is no sign of somebody who ends all that are built.
    func isProven(now: Instant) -> Bool { usedSince.map { now.since($0) >= Limits.pathProven } ?? false }

    /// The farthest hop with which there is a session; nil where nobody is to be asked.
    var farthest: Int? {
        switch machine.stage {
        case .extending(let hop, _), .identifying(let hop), .greeting(let hop): hop - 1
        case .ready: sharesEnd ? hops.count - 2 : hops.count - 1
        case .entering, .draining, .over: nil
        }
    }
}

/// What became of the paths through one guard.
struct GuardRecord {
    /// Those that are over, and those of them that were proven; halved now and then, so that old ones count less.
    private(set) var ended = 0
    private(set) var lasted = 0

    /// A guard that ends most of what does not suit it, or hands on to somebody who does.
    var isDoubted: Bool { ended >= Limits.guardPathsJudged && lasted * 2 < ended }

    mutating func add(lasted isProven: Bool) {
        ended += 1
        if isProven { lasted += 1 }
        if ended >= Limits.guardPathsKept { (ended, lasted) = (ended / 2, lasted / 2) }
    }
}

struct OwnCircuits {
    var all: [OwnCircuit.Number: OwnCircuit] = [:]
    var paths: [CircuitPath.Number: CircuitPath] = [:]
    /// The circuits that this node opened: the path, the hop that it leads to, and what EXTENDED said that it carries.
    var origins: [CircuitPlace: (path: CircuitPath.Number, hop: Int, largest: Int?)] = [:]
    /// Relays where a path failed, and those before them, which may not have handed on: until when they are left out of others.
    var avoided: [PeerID: (until: Instant, isItself: Bool)] = [:]
    /// By guard; of this run.
    var guardRecords: [PeerID: GuardRecord] = [:]
    /// Why there was no path when one was looked for last.
    var selectionFailure: SelectionFailure?
    private var next = 1

    var isEmpty: Bool { all.isEmpty }

    mutating func freshNumber() -> Int {
        defer { next += 1 }
        return next
    }

    func largest(on place: CircuitPlace) -> Int? { origins[place]?.largest }

    /// Whether a path goes through this peer.
    func uses(_ slot: PeerSlot) -> Bool { paths.values.contains { $0.slots.contains(slot) } }

    /// When something is due.
    var deadline: Instant? {
        (paths.values.compactMap(\.machine.deadline) + all.values.compactMap(\.replaceAt)
            + all.values.compactMap(\.sidesDue) + paths.values.compactMap(\.replaceAt)
            + all.values.compactMap { $0.lease?.deadline }
            + paths.values.compactMap { $0.farthest == nil ? nil : $0.vigil?.due }).min()
    }
}
