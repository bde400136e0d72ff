// SPDX-License-Identifier: Apache-2.0
// Bounded boxes between a worker and the node: commands down, events up. Lock, append, unlock, wake; never wait.

import Synchronization
public import VPNCore
import VPNLock

/// What a worker reports to the node.
public enum EngineEvent: Sendable {
    /// A handshake datagram whose outer header is valid, and how it came.
    case datagram([UInt8], Carrier)
    /// An authentic frame for the control plane: its type and payload.
    case control(Session, FrameType, [UInt8], Carrier)
    /// The session's first valid DATA; once in its life.
    case firstData(Session, Carrier)
    /// The session's peer speaks from another carrier, from which so many bytes came; for one carrier at most once a second.
    case changedCarrier(Session, Carrier, bytes: Int)
    /// Packets wait for a session with this peer; at most once a second and peer.
    case wantSession(PeerSlot)
    /// The session must be closed: its peer broke the protocol or its key is spent; once in its life.
    case violation(Session, DropReason)
    /// The TUN interface vanished; the workers go on without it until `Engine.restoreTunnel`.
    case tunGone
    /// The kernel refused one of its services at run time (errno): the worker goes on without it. Once for each.
    case offloadLost(Offloads, errno: Int32)
}

/// Events on their way to the node.
///
/// What strangers or peers can cause without end is bounded by kind, so that a flood of handshake datagrams displaces no
/// control frame; what can happen once per session, or once at all, is always taken.
final class EventMailbox: Sendable {
    private struct State {
        var events: [EngineEvent] = []
        var datagrams = 0
        var frames = 0
        /// Control frames and changes of carrier, by the index of the session that brought them.
        var framesOf: [UInt32: Int] = [:]
        var isNodeWoken = false
        // What several workers find out, and one tells.
        var isTunGone = false
        /// Of the interface that is the latest; the first one is 0.
        var tunnelNumber: UInt64 = 0
        var lost: Offloads = []
    }

    private let state = Guarded(State())
    private let capacity: Int
    /// Of the control frames and changes of carrier, what one session may have there: whoever says more displaces nobody else's.
    private let share: Int
    private let onWake: @Sendable () -> Void

    /// - Parameters:
    ///   - capacity: handshake datagrams, and as many control frames, changes of carrier and wishes, that may wait.
    ///   - share: control frames and changes of carrier of one session that may be among them.
    init(capacity: Int, share: Int, onWake: @escaping @Sendable () -> Void) {
        self.capacity = capacity
        self.share = share
        self.onWake = onWake
    }

    /// Puts an event in; false if there is no room for its kind. The node is not woken yet.
    func post(_ event: EngineEvent) -> Bool {
        state.withLock { state in
            switch event {
            case .datagram:
                guard state.datagrams < capacity else { return false }
                state.datagrams += 1
            case .control(let session, _, _, _), .changedCarrier(let session, _, _):
                guard state.frames < capacity, state.framesOf[session.localIndex, default: 0] < share else {
                    return false
                }
                state.frames += 1
                state.framesOf[session.localIndex, default: 0] += 1
            case .wantSession:
                guard state.frames < capacity else { return false }
                state.frames += 1
            case .firstData, .violation: break
            case .tunGone:
                if state.isTunGone { return true }
                state.isTunGone = true
            case .offloadLost(let offloads, _):
                if state.lost.isSuperset(of: offloads) { return true }
                state.lost.formUnion(offloads)
            }
            state.events.append(event)
            return true
        }
    }

    /// A worker has lost its queue of an interface; told once for each interface, and not where there is a newer one.
    func reportLoss(ofTunnel number: UInt64) {
        state.withLock { state in
            guard number == state.tunnelNumber, !state.isTunGone else { return }
            state.isTunGone = true
            state.events.append(.tunGone)
        }
    }

    /// A newer interface is there. Returns its number.
    func expectTunnel() -> UInt64 {
        state.withLock { state in
            state.isTunGone = false
            state.tunnelNumber += 1
            return state.tunnelNumber
        }
    }

    /// Calls the node's hook if events wait of which it does not know; once a batch.
    func wakeNode() {
        let shouldWake = state.withLock { state in
            guard !state.events.isEmpty, !state.isNodeWoken else { return false }
            state.isNodeWoken = true
            return true
        }
        if shouldWake { onWake() }
    }

    /// Takes all events, the oldest first.
    func drain() -> [EngineEvent] {
        state.withLock { state in
            let events = state.events
            state.events = []
            (state.datagrams, state.frames, state.isNodeWoken) = (0, 0, false)
            state.framesOf.removeAll(keepingCapacity: true)
            return events
        }
    }
}

/// What the node tells a worker.
enum WorkerCommand: Sendable {
    case plane(DataPlaneCommand)
    case transmit([UInt8], Carrier)
    /// A datagram of a session that came to the socket of handshakes, or on a circuit to a worker that is not the one to open it,
    /// with its DSCP and ECN.
    case received([UInt8], Carrier, trafficClass: UInt8)
    /// A sign of life is wanted.
    case beat
    /// A queue of a new interface.
    case tunnel(TunnelOffer)
    case stop
}

/// Commands on their way to a worker.
final class CommandMailbox: Sendable {
    private struct State {
        var commands: [WorkerCommand] = []
        var toSend = 0
        var received = 0
    }

    private let state = Guarded(State())
    private let pending = Atomic<Bool>(false)
    private let capacity: Int
    let wakeUp: WakeUp

    /// - Parameter capacity: datagrams to send, and as many that came, that may wait. Commands to the data plane are bounded by the node's
    ///   own tables and are always taken: a lost one would leave both sides with different truths.
    init(capacity: Int) throws(EngineError) {
        self.capacity = capacity
        wakeUp = try WakeUp()
    }

    /// Puts a command in and rings; false if there is no room for it.
    func post(_ command: WorkerCommand) -> Bool {
        let (taken, wasEmpty) = state.withLock { state in
            let wasEmpty = state.commands.isEmpty
            switch command {
            case .transmit:
                guard state.toSend < capacity else { return (false, false) }
                state.toSend += 1
            case .received:
                guard state.received < capacity else { return (false, false) }
                state.received += 1
            default: break
            }
            state.commands.append(command)
            pending.store(true, ordering: .releasing)
            return (true, wasEmpty)
        }
        // Whoever finds the box empty rings; the worker silences the bell before it drains.
        if wasEmpty { wakeUp.ring() }
        return taken
    }

    /// Whether commands wait. A look without the lock; what was posted before something else is seen where that is seen.
    var isPending: Bool { pending.load(ordering: .acquiring) }

    /// Takes all commands, the oldest first, and silences the bell.
    func drain() -> [WorkerCommand] {
        wakeUp.silence()
        return state.withLock { state in
            let commands = state.commands
            state = State()
            pending.store(false, ordering: .releasing)
            return commands
        }
    }
}
