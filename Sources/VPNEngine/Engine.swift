// SPDX-License-Identifier: Apache-2.0
// The facade of the packet threads: opens what is needed, starts and stops, and passes commands down and events up.

import Glibc
import Synchronization
public import VPNCore
import VPNLock

/// Threads that move packets between a TUN interface and a UDP port.
public final class Engine: Sendable {
    private enum Phase {
        case ready
        case running([WorkerThread])
        case stopped
    }

    /// One worker: how to talk to it and what it counts.
    private struct Seat: Sendable {
        let commands: CommandMailbox
        let counters: WorkerCounters
        let worker: WorkerBox<Worker>
    }

    /// The thread of handshakes.
    private struct DoorSeat: Sendable {
        let commands: CommandMailbox
        let counters: WorkerCounters
        let door: WorkerBox<Door>
    }

    /// The TUN interface, the last one where it vanished; nil for a relay.
    public var interface: NetworkInterface? { latestInterface.withLock { $0 } }
    private let latestInterface: Guarded<NetworkInterface?>
    /// What the UDP sockets turned out to be; all are alike.
    public let socket: UDPSocketFacts
    private let addresses: LocalAddresses
    /// What the kernel granted at start; see `EngineEvent.offloadLost`.
    public let offloads: Offloads
    /// What it was asked for.
    let wantedOffloads: Offloads
    /// How many workers there are; fewer than asked for where the interface has one queue only.
    public var workers: Int { seats.count }

    private let phase = Guarded<Phase>(.ready)
    /// Signs of life that each worker was asked for.
    private let asked = Guarded<(number: UInt64, since: Instant)>((0, .origin))
    private let events: EventMailbox
    private let seats: [Seat]
    /// Nil where the kernel cannot tell handshakes from data: workers take both then.
    private let door: DoorSeat?
    private let price = HandshakePrice()

    /// Opens the sockets and the TUN interface, with addresses, routes and MTU; nothing moves before `start`.
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
            try socket.mark(configuration.mark)
            try self.init(configuration, socket: socket, tunnel: .absent, interface: nil, onWake: onWake)
            return
        }
        guard (Limits.smallestInnerMTU...Limits.largestPayload).contains(tunnel.mtu) else {
            throw EngineError(.badMTU, "\(tunnel.mtu)")
        }
        var interface: NetworkInterface?
        let device = try Engine.makeTunnel(
            tunnel, offloads: configuration.offloads, workers: configuration.workers, &interface)
        // Behind the interface, whose refusal of somebody without the privilege says more.
        try socket.mark(configuration.mark)
        try self.init(configuration, socket: socket, tunnel: device, interface: interface, onWake: onWake)
    }

    /// Takes what is open already, and adds to it for more workers than one; tests give a socket pair for the TUN.
    init(
        _ configuration: EngineConfiguration, socket: consuming UDPSocket, tunnel: consuming TunDevice,
        interface: NetworkInterface?, onWake: @escaping @Sendable () -> Void
    ) throws(EngineError) {
        events = EventMailbox(
            capacity: configuration.eventCapacity, share: max(1, configuration.eventCapacity / 8), onWake: onWake)
        latestInterface = Guarded(interface)
        wantedOffloads = configuration.offloads
        offloads = socket.facts.offloads.union(tunnel.offloads)
        self.socket = socket.facts
        addresses = socket.addresses
        // More queues and sockets come from the first ones, which then go to the first worker.
        var more: [Seat] = []
        let mayHaveMore = !tunnel.exists || tunnel.hasQueues
        let count = mayHaveMore ? max(configuration.workers, 1) : 1
        var boxes: [CommandMailbox] = []
        for _ in 0..<count { boxes.append(try CommandMailbox(capacity: configuration.transmitCapacity)) }
        while more.count + 1 < count {
            var queue = TunDevice.absent
            if let interface { queue = try tunnel.queue(name: interface.name) }
            let shared = try socket.shared()
            try shared.mark(configuration.mark)
            more.append(
                try Engine.seat(
                    configuration, socket: shared, tunnel: queue, events: events, price: price,
                    number: more.count + 1, of: boxes))
        }
        // Bound behind the sockets of all workers, which is where the kernel's program looks for it.
        var doorSocket: UDPSocket?
        do throws(EngineError) {
            // It takes trains like the others: whether a flow's datagrams are joined, the kernel asks the socket of the group
            // that the flow's addresses lead to, be it this one.
            doorSocket = try socket.shared(
                receiveBuffer: EngineConfiguration.doorBuffer,
                offloads: socket.facts.offloads.intersection(.receiveTrains))
        } catch { doorSocket = nil }
        // One that is not told apart would take a share of the data.
        if doorSocket != nil, !socket.steer(workers: more.count + 1) { doorSocket = nil }
        let first = try Engine.seat(
            configuration, socket: socket, tunnel: tunnel, events: events, price: price, number: 0, of: boxes)
        seats = [first] + more
        if let taken = doorSocket.take() {
            door = try Engine.door(socket: taken, events: events, price: price, workers: boxes)
        } else {
            door = nil
        }
    }

    private static func door(
        socket: consuming UDPSocket, events: EventMailbox, price: HandshakePrice, workers: [CommandMailbox]
    ) throws(EngineError) -> DoorSeat {
        let commands = try CommandMailbox(capacity: 0)
        let counters = WorkerCounters()
        let door = try Door.make(
            socket: socket, commands: commands, events: events, counters: counters, price: price,
            workers: workers)
        return DoorSeat(commands: commands, counters: counters, door: WorkerBox(door))
    }

    private static func seat(
        _ configuration: EngineConfiguration, socket: consuming UDPSocket, tunnel: consuming TunDevice,
        events: EventMailbox, price: HandshakePrice, number: Int, of workers: [CommandMailbox]
    ) throws(EngineError) -> Seat {
        let counters = WorkerCounters()
        let plane = DataPlane(
            drops: counters.drops, padding: configuration.padding, carriesDSCP: configuration.carriesDSCP,
            mtu: configuration.tunnel?.mtu ?? Limits.largestPayload, worker: number, of: workers.count)
        // 2048 holds whatever a path of 1500 bytes carries, and every handshake datagram.
        let worker = try Worker.make(
            tunnel: tunnel, socket: socket, number: number, of: workers, events: events, counters: counters,
            price: price, plane: plane, largestPacket: max(configuration.tunnel?.mtu ?? 0, 2048))
        return Seat(commands: workers[number], counters: counters, worker: WorkerBox(worker))
    }

    /// Starts moving packets; once in the life of an engine.
    public func start() throws(EngineError) {
        let failure = phase.withLock { phase -> EngineError? in
            guard case .ready = phase else { return nil }
            var threads: [WorkerThread] = []
            do throws(EngineError) {
                for (number, seat) in seats.enumerated() {
                    threads.append(try WorkerThread(name: "pqvpn-worker-\(number)") { seat.worker.run() })
                }
                if let door { threads.append(try WorkerThread(name: "pqvpn-door") { door.door.run() }) }
                phase = .running(threads)
                return nil
            } catch {
                phase = .stopped
                end(threads)
                return error
            }
        }
        if let failure { throw failure }
    }

    /// Another interface is there; what was said of earlier ones no longer counts. Returns its number.
    func expectTunnel(_ interface: NetworkInterface?) -> UInt64 {
        latestInterface.withLock { $0 = interface }
        return events.expectTunnel()
    }

    /// One queue for each worker.
    func offer(_ queues: [TunnelOffer]) {
        for (seat, queue) in zip(seats, queues) { _ = seat.commands.post(.tunnel(queue)) }
    }

    /// Gives the data planes a command. It is applied before any packet that arrives later.
    public func post(_ command: DataPlaneCommand) {
        // The answer to what one worker sends may come to another, who must know the session by then.
        if case .activate(let session, _) = command, seats.count > 1 {
            for seat in seats { _ = seat.commands.post(.plane(.install(session))) }
        }
        for seat in seats { _ = seat.commands.post(.plane(command)) }
    }

    /// Whether a carrier binds this host to an address that routes would choose anyway. Some microseconds.
    ///
    /// - Parameter mark: of the packets that would go there.
    public func isUsual(_ carrier: Carrier, mark: UInt32?) -> Bool {
        guard case .udp(let endpoint) = carrier,
            let own = addresses.address(endpoint.source, now: MonotonicClock.now)
        else { return false }
        return Route.source(to: endpoint, mark: mark)?.address == own
    }

    /// Sends a datagram that the node made; false (and counted) if too many wait already.
    @discardableResult
    public func transmit(_ datagram: [UInt8], over carrier: Carrier) -> Bool {
        let seat = seats[0]
        let taken = seat.commands.post(.transmit(datagram, carrier))
        if !taken { seat.counters.drops.add(.commandsFull) }
        return taken
    }

    /// What a cookie must have cost, in bits of work, for its handshake to be looked at; 0 = nothing.
    public func setHandshakePrice(_ bits: UInt8) { price.current = bits }

    /// As the door does with data, for tests.
    func passOn(_ datagram: [UInt8], from carrier: Carrier) {
        _ = seats[0].commands.post(.received(datagram, carrier, trafficClass: 0))
    }

    /// Takes the events that wait, the oldest first.
    public func drainEvents() -> [EngineEvent] { events.drain() }

    /// Sums over all workers since the start.
    public func counters() -> EngineCounters {
        let all = seats.map(\.counters) + (door.map { [$0.counters] } ?? [])
        var sum = EngineCounters()
        for counters in all { counters.add(to: &sum) }
        for reason in DropReason.allCases {
            let count = all.reduce(0) { $0 &+ $1.drops[reason] }
            if count > 0 { sum.drops.append((reason, count)) }
        }
        return sum
    }

    /// Whether every worker has answered what it was asked by this two seconds ago or earlier, and asks those who owe nothing
    /// again. The first call has nothing to compare with and says yes, and so has one that comes right after another's.
    public func areWorkersAlive() -> Bool {
        asked.withLock { asked in
            let all = seats.map { ($0.commands, $0.counters) } + (door.map { [($0.commands, $0.counters)] } ?? [])
            let now = MonotonicClock.now
            let answered = all.allSatisfy { $0.1.beats.load(ordering: .relaxed) >= asked.number }
            // Who owes an answer is not asked again: its mailbox is not to grow while it hangs.
            guard answered else { return now.since(asked.since) < Self.patience }
            asked = (asked.number + 1, now)
            for (commands, _) in all { _ = commands.post(.beat) }
            return true
        }
    }

    /// What a worker may take to answer, under load and on a busy machine.
    private static let patience = TimeSpan.seconds(2)

    /// Ends the threads and closes everything; the TUN interface vanishes. Further calls do nothing. Never call it from
    /// `onWake`.
    public func stop() {
        let threads = phase.withLock { phase -> [WorkerThread] in
            defer { phase = .stopped }
            if case .running(let threads) = phase { return threads }
            return []
        }
        end(threads)
        // Workers that never ran hold descriptors, too.
        for seat in seats { seat.worker.discard() }
        door?.door.discard()
    }

    private func end(_ threads: [WorkerThread]) {
        if threads.isEmpty { return }
        for seat in seats { _ = seat.commands.post(.stop) }
        _ = door?.commands.post(.stop)
        for thread in threads { thread.join() }
    }

    deinit { stop() }
}
