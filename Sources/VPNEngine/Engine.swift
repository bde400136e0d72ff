// SPDX-License-Identifier: Apache-2.0
// The facade of the packet threads: opens what is needed, starts and stops, and passes commands down and events up.

import Glibc
import Synchronization
public import VPNCore

/// Threads that move packets between a TUN interface and a UDP socket.
public final class Engine: Sendable {
    private enum Phase: ~Copyable {
        case ready(Worker)
        case running(WorkerThread)
        case stopped
    }

    /// The TUN interface; nil for a relay.
    public let interface: NetworkInterface?
    /// What the UDP socket turned out to be.
    public let socket: UDPSocketFacts
    /// What the kernel granted at start; see `EngineEvent.offloadLost`.
    public let offloads: Offloads

    private let phase: Mutex<Phase>
    private let commands: CommandMailbox
    private let events: EventMailbox
    private let workerCounters = WorkerCounters()

    /// Opens the socket and the TUN interface, with addresses, routes and MTU; nothing moves before `start`.
    ///
    /// - Parameter onWake: called on a worker's thread when events wait; it must only wake somebody who calls
    ///   `drainEvents`, and is not called again before that.
    public convenience init(
        _ configuration: EngineConfiguration, onWake: @escaping @Sendable () -> Void
    ) throws(EngineError) {
        let socket = try UDPSocket.open(
            configuration.listen, receiveBuffer: configuration.receiveBuffer, sendBuffer: configuration.sendBuffer,
            offloads: configuration.offloads)
        guard let tunnel = configuration.tunnel else {
            try self.init(configuration, socket: socket, tunnel: .absent, interface: nil, onWake: onWake)
            return
        }
        guard (Limits.smallestInnerMTU...Limits.largestPayload).contains(tunnel.mtu) else {
            throw EngineError(.badMTU, "\(tunnel.mtu)")
        }
        let device = try TunDevice.open(name: tunnel.name, offloads: configuration.offloads)
        let interface = try NetworkInterface(name: tunnel.name)
        try interface.configure(mtu: tunnel.mtu, addresses: tunnel.addresses)
        let connected = Set(tunnel.addresses.map(\.network))
        for route in tunnel.routes where !connected.contains(route) { try interface.addRoute(route) }
        try self.init(configuration, socket: socket, tunnel: device, interface: interface, onWake: onWake)
    }

    /// Takes what is open already; tests give a socket pair for the TUN.
    init(
        _ configuration: EngineConfiguration, socket: consuming UDPSocket, tunnel: consuming TunDevice,
        interface: NetworkInterface?, onWake: @escaping @Sendable () -> Void
    ) throws(EngineError) {
        let mtu = configuration.tunnel?.mtu ?? 0
        let plane = DataPlane(
            drops: workerCounters.drops, padding: configuration.padding, paddingCeiling: mtu + Limits.frameHeader)
        commands = try CommandMailbox(capacity: configuration.transmitCapacity)
        events = EventMailbox(capacity: configuration.eventCapacity, onWake: onWake)
        self.interface = interface
        offloads = socket.facts.offloads.union(tunnel.offloads)
        self.socket = socket.facts
        // 2048 holds whatever a path of 1500 bytes carries, and every handshake datagram.
        let worker = try Worker.make(
            tunnel: tunnel, socket: socket, commands: commands, events: events, counters: workerCounters, plane: plane,
            largestPacket: max(mtu, 2048))
        phase = Mutex(.ready(worker))
    }

    /// Starts moving packets; once in the life of an engine.
    public func start() throws(EngineError) {
        try phase.withLock { phase throws(EngineError) in
            switch consume phase {
            case .ready(let worker):
                let box = WorkerBox(worker)
                do throws(EngineError) {
                    phase = .running(try WorkerThread(name: "pqvpn-worker-0") { box.run() })
                } catch {
                    phase = .stopped
                    throw error
                }
            case .running(let thread):
                phase = .running(thread)
            case .stopped:
                phase = .stopped
            }
        }
    }

    /// Gives the data planes a command. It is applied before any packet that arrives later.
    public func post(_ command: DataPlaneCommand) {
        _ = commands.post(.plane(command))
    }

    /// Sends a datagram that the node made; false (and counted) if too many wait already.
    @discardableResult
    public func transmit(_ datagram: [UInt8], over carrier: Carrier) -> Bool {
        let taken = commands.post(.transmit(datagram, carrier))
        if !taken { workerCounters.drops.add(.commandsFull) }
        return taken
    }

    /// Takes the events that wait, the oldest first.
    public func drainEvents() -> [EngineEvent] { events.drain() }

    public func counters() -> EngineCounters { workerCounters.snapshot }

    /// Ends the threads and closes everything; the TUN interface vanishes. Further calls do nothing. Never call it from
    /// `onWake`.
    public func stop() {
        let thread = phase.withLock { phase -> WorkerThread? in
            switch consume phase {
            case .running(let thread):
                phase = .stopped
                return thread
            case .ready:
                phase = .stopped
                return nil
            case .stopped:
                phase = .stopped
                return nil
            }
        }
        guard let thread else { return }
        _ = commands.post(.stop)
        thread.join()
    }

    deinit { stop() }
}

/// Carries a worker to its thread, which takes it out and with it everything that it owns.
private final class WorkerBox: Sendable {
    private let worker: Mutex<Worker?>

    init(_ worker: consuming sending Worker) { self.worker = Mutex(worker) }

    func run() {
        guard var worker = worker.withLock({ $0.take() }) else { return }
        worker.run()
    }
}
