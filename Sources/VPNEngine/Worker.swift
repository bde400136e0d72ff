// SPDX-License-Identifier: Apache-2.0
// The thread that moves packets: TUN → seal → UDP and UDP → open → TUN, run to completion in batches, with bounded work
// per wake-up so that the two directions alternate. It decides nothing about peers or sessions: the data plane does,
// and what that cannot decide goes to the node's mailbox. No allocation and no reference counting on the way of a
// packet. Here are the loop and the commands; each direction has a file of its own.

import CLinux
import Glibc
import Synchronization
import VPNCore

/// One worker: a TUN queue, a UDP socket, two batches of buffers and a data plane, owned by one thread.
struct Worker: ~Copyable, ThreadWork {
    private(set) var tunnel: TunDevice
    let socket: UDPSocket
    private let poller: Poller
    let commands: CommandMailbox
    /// Of all workers, this one among them, by their numbers.
    let workers: [CommandMailbox]
    let events: EventMailbox
    let counters: WorkerCounters
    /// What is asked of handshakes that come here: in a train behind data, or where there is no door.
    let price: HandshakePrice
    var sieve = HandshakeSieve()
    var plane: DataPlane
    let incoming: BufferPool
    /// Messages to receive in the next call.
    var messages = Worker.messagesPerTurn
    var outgoing: Outbox
    var reader: TunnelReader
    var writer: TunnelWriter
    /// A packet that its path does not carry, and what is said of it.
    let aside: BufferPool
    var answers: TunnelWriter
    /// Of packets that are for nobody.
    var refusals = AnswerRate()

    /// The kernel's send buffer is full: nothing is read from the TUN until there is room, so that senders slow down
    /// instead of losing packets here.
    private(set) var isBlocked = false
    /// Since then something may wait that no event tells of, until `resume` has looked.
    private var isHeldUp = false
    private(set) var hasTunnel: Bool
    /// Of the interface that `tunnel` is a queue of.
    private var tunnelNumber: UInt64 = 0
    private var isStopping = false
    /// Bytes of the last incoming buffer in which packets lie that waited for earlier ones (§9).
    var releasedBytes = 0
    var addresses: LocalAddressCache
    /// Datagrams that the door or another worker passed on, until the incoming buffers are free.
    var passedOn: [(datagram: [UInt8], carrier: Carrier, trafficClass: UInt8)] = []

    /// - Parameter largestPacket: the inner MTU, or what the outer path carries, whatever is more.
    static func make(
        tunnel: consuming TunDevice, socket: consuming UDPSocket, number: Int, of workers: [CommandMailbox],
        events: EventMailbox, counters: WorkerCounters, price: HandshakePrice, plane: DataPlane, largestPacket: Int
    ) throws(EngineError) -> Worker {
        let commands = workers[number]
        let poller = try Poller()
        try poller.add(commands.wakeUp.raw, .commands)
        try poller.add(socket.raw, .socket)
        if tunnel.exists { try poller.add(tunnel.raw, .tunnel) }
        return Worker(
            tunnel: tunnel, socket: socket, poller: poller, commands: commands, workers: workers, events: events,
            counters: counters, price: price, plane: plane, largestPacket: largestPacket)
    }

    private init(
        tunnel: consuming TunDevice, socket: consuming UDPSocket, poller: consuming Poller, commands: CommandMailbox,
        workers: [CommandMailbox], events: EventMailbox, counters: WorkerCounters, price: HandshakePrice,
        plane: DataPlane, largestPacket: Int
    ) {
        hasTunnel = tunnel.exists
        self.tunnel = tunnel
        self.socket = socket
        self.poller = poller
        self.commands = commands
        self.workers = workers
        self.events = events
        self.counters = counters
        self.price = price
        self.plane = plane
        self.plane.wakeBy { commands.wakeUp.ring() }
        let offloads = self.socket.facts.offloads
        incoming = BufferPool(
            packet: offloads.contains(.receiveTrains) ? Limits.largestTrain : largestPacket + Limits.layerOverhead,
            capacity: Worker.messagesPerTurn + 1)
        reader = TunnelReader(limit: largestPacket)
        writer = TunnelWriter(self.tunnel.offloads, hasHeaders: self.tunnel.hasHeaders)
        outgoing = Outbox(
            packet: largestPacket, sendsTrains: offloads.contains(.sendTrains), addresses: self.socket.addresses)
        addresses = LocalAddressCache(self.socket.addresses)
        aside = BufferPool(packet: max(largestPacket, PacketTooBig.largest), capacity: 2)
        answers = TunnelWriter([], hasHeaders: self.tunnel.hasHeaders)
    }

    /// Moves packets until told to stop.
    mutating func run() {
        while !isStopping { turn() }
    }

    /// Waits until something is ready, and does it.
    mutating func turn() {
        let ready = poller.wait(milliseconds: patience())
        counters.wakeUps.wrappingAdd(1, ordering: .relaxed)
        let number = tunnelNumber
        if ready.commands { obey() }
        // Whatever is sent may find the room that was waited for: then the next turn comes at once (`patience`).
        if isHeldUp && (ready.socketWritable || !isBlocked) { resume() }
        if ready.socketReadable { receive() }
        if !passedOn.isEmpty { takePassedOn() }
        if plane.deadline != nil { keepTime() }
        // What was ready of an interface says nothing of the one that came after it.
        if hasTunnel && ready.tunnelReadable && !isHeldUp && number == tunnelNumber { readTunnel() }
        if hasTunnel && ready.tunnelBroken && number == tunnelNumber { loseTunnel() }
        events.wakeNode()
    }

    // MARK: - Commands

    /// Does what the node wants done. Not while a train is half told.
    mutating func obey() {
        let now = MonotonicClock.now
        for command in commands.drain() {
            switch command {
            case .plane(let command): plane.apply(command)
            case .transmit(let datagram, let carrier): send(datagram, over: carrier)
            case .received(let datagram, let carrier, let trafficClass):
                passedOn.append((datagram, carrier, trafficClass))
            case .tunnel(let offer): take(offer)
            case .beat: counters.beats.add(1, ordering: .relaxed)
            case .stop: isStopping = true
            }
        }
        sendStaged(now)
        transmit()
    }

    private mutating func send(_ datagram: [UInt8], over carrier: Carrier) {
        if outgoing.isFull { transmit() }
        guard !outgoing.isFull else { return plane.drops.add(.sendNoMemory) }
        guard Limits.headroom + datagram.count <= outgoing.size else { return plane.drops.add(.sendTooLarge) }
        // SAFETY: the buffer is free and was just found long enough.
        let room = unsafe outgoing.memory + Limits.headroom
        unsafe datagram.withUnsafeBufferPointer {
            if let base = $0.baseAddress { unsafe room.update(from: base, count: $0.count) }
        }
        let range = Limits.headroom..<Limits.headroom + datagram.count
        guard case .circuit = carrier else { return queue(range, carrier, trafficClass: 0) }
        // SAFETY: as above; the span lives no longer than this call.
        var buffer = unsafe MutableSpan(_unsafeStart: outgoing.memory, count: outgoing.size)
        if case .transmit(let datagram, let carrier, let trafficClass) = plane.sender.carry(
            &buffer, range, over: carrier, now: MonotonicClock.now)
        {
            queue(datagram, carrier, trafficClass: trafficClass)
        }
    }

    private mutating func sendStaged(_ now: Instant) {
        while true {
            if outgoing.isFull { transmit() }
            // What cannot go now is asked for again when the socket takes more (`resume`).
            guard !outgoing.isFull else { return }
            // SAFETY: the memory lives as long as the outbox, and the span no longer than this round.
            var buffer = unsafe MutableSpan(_unsafeStart: outgoing.memory, count: outgoing.size)
            guard let (datagram, carrier, trafficClass) = plane.sender.nextStaged(into: &buffer, now: now) else {
                return
            }
            queue(datagram, carrier, trafficClass: trafficClass)
            if plane.sender.hasExtras { sendFrames() }
        }
    }

    // MARK: - Time (§9)

    /// Milliseconds until something is due that no event tells of; negative for never.
    mutating func patience() -> Int32 {
        if isHeldUp && !isBlocked { return 0 }
        // What only the socket keeps from going is not looked for again and again: that there is room is an event.
        guard let deadline = isBlocked ? plane.deadlineWhileBlocked : plane.deadline else { return -1 }
        let left = deadline.since(MonotonicClock.now).nanoseconds
        return Int32(clamping: (min(left, 1_000_000_000) + 999_999) / 1_000_000)
    }

    /// Does what is due by time alone.
    private mutating func keepTime() {
        let now = MonotonicClock.now
        guard let deadline = plane.deadline, deadline <= now else { return }
        plane.expire(now: now)
        releaseHeld(now: now)
        sendFrames()
        sendStaged(now)
        transmit()
    }

    /// Sends what the data plane says itself: probes, their answers, and what goes beside packets.
    mutating func sendFrames() {
        while let (datagram, carrier) = plane.nextFrame() { send(datagram, over: carrier) }
    }

    // MARK: - The kernel's send buffer

    mutating func setBlocked(_ blocked: Bool) {
        guard blocked != isBlocked else { return }
        isBlocked = blocked
        if blocked { isHeldUp = true }
        poller.change(socket.raw, .socket, readable: true, writable: blocked)
        if hasTunnel { poller.change(tunnel.raw, .tunnel, readable: !blocked) }
    }

    /// Goes on after the kernel took no more.
    private mutating func resume() {
        transmit()
        if isBlocked { return }
        isHeldUp = false
        sendStaged(MonotonicClock.now)
        transmit()
        // No event tells of packets that were read already.
        if reader.hasPackets { readTunnel() }
    }

    // MARK: - Reports

    mutating func loseTunnel() {
        guard hasTunnel else { return }
        hasTunnel = false
        poller.remove(tunnel.raw)
        events.reportLoss(ofTunnel: tunnelNumber)
    }

    /// Goes on with a queue of another interface.
    private mutating func take(_ offer: TunnelOffer) {
        guard let device = offer.take() else { return }
        if hasTunnel { poller.remove(tunnel.raw) }
        hasTunnel = false
        // What was read of the old one is still to be sent; what was held for it went or was counted at the end of its batch.
        tunnel = device
        tunnelNumber = offer.number
        writer = TunnelWriter(tunnel.offloads, hasHeaders: tunnel.hasHeaders)
        answers = TunnelWriter([], hasHeaders: tunnel.hasHeaders)
        do throws(EngineError) { try poller.add(tunnel.raw, .tunnel) } catch {
            return events.reportLoss(ofTunnel: tunnelNumber)
        }
        hasTunnel = true
        if isBlocked { poller.change(tunnel.raw, .tunnel, readable: false) }
    }

    func report(_ event: EngineEvent) {
        if !events.post(event) { plane.drops.add(.mailboxFull) }
    }
}
