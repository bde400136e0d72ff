// SPDX-License-Identifier: Apache-2.0
// The thread that takes handshakes from a socket of their own, so that a flood of them fills no buffer and costs no time of the
// threads that move packets. It sorts, copies and passes on; it decides nothing.

import CLinux
import Glibc
import Synchronization
import VPNCore

/// What the node asks of handshakes for now; see `HandshakeSieve`.
final class HandshakePrice: Sendable {
    private let bits = Atomic<UInt8>(0)

    var current: UInt8 {
        get { bits.load(ordering: .relaxed) }
        set { bits.store(newValue, ordering: .relaxed) }
    }
}

/// The socket of handshakes, owned by one thread.
struct Door: ~Copyable, ThreadWork {
    private let socket: UDPSocket
    private let poller: Poller
    private let commands: CommandMailbox
    private let events: EventMailbox
    private let counters: WorkerCounters
    private let price: HandshakePrice
    /// Of the workers, in the order of their sockets.
    private let workers: [CommandMailbox]
    private let incoming: BufferPool
    /// Messages that one call receives while trains come: 1 MB of them, since each may have 64 KiB.
    private static var trainsPerTurn: Int { 16 }
    private var sieve = HandshakeSieve()
    private var addresses: LocalAddressCache
    private var isStopping = false

    /// - Parameter workers: takes the data of receiver index i by the mailbox i modulo their number.
    static func make(
        socket: consuming UDPSocket, commands: CommandMailbox, events: EventMailbox, counters: WorkerCounters,
        price: HandshakePrice, workers: [CommandMailbox]
    ) throws(EngineError) -> Door {
        let poller = try Poller()
        try poller.add(commands.wakeUp.raw, .commands)
        try poller.add(socket.raw, .socket)
        return Door(
            socket: socket, poller: poller, commands: commands, events: events, counters: counters, price: price,
            workers: workers)
    }

    private init(
        socket: consuming UDPSocket, poller: consuming Poller, commands: CommandMailbox, events: EventMailbox,
        counters: WorkerCounters, price: HandshakePrice, workers: [CommandMailbox]
    ) {
        addresses = LocalAddressCache(socket.addresses)
        self.socket = socket
        self.poller = poller
        self.commands = commands
        self.events = events
        self.counters = counters
        self.price = price
        self.workers = workers
        let hasTrains = self.socket.facts.offloads.contains(.receiveTrains)
        incoming = BufferPool(
            packet: hasTrains ? Limits.largestTrain : Limits.largestPayload,
            capacity: hasTrains ? Door.trainsPerTurn : Worker.messagesPerTurn)
    }

    /// Passes datagrams on until told to stop.
    mutating func run() {
        while !isStopping {
            let ready = poller.wait()
            counters.wakeUps.wrappingAdd(1, ordering: .relaxed)
            if ready.commands { obey() }
            if ready.socketReadable { receive() }
            events.wakeNode()
        }
    }

    private mutating func obey() {
        for command in commands.drain() {
            switch command {
            case .beat: counters.beats.add(1, ordering: .relaxed)
            case .stop: isStopping = true
            // Are the workers'.
            case .plane, .transmit, .received, .tunnel: break
            }
        }
    }

    private mutating func receive() {
        incoming.prepareToReceive(incoming.capacity)
        let count = unsafe socket.receive(incoming.datagrams, incoming.capacity)
        guard count > 0 else { return }
        let now = MonotonicClock.now
        let price = price.current
        var (datagrams, bytes) = (0, 0)
        // SAFETY: the memory lives as long as the pool, and the span no longer than this call.
        let buffer = unsafe MutableSpan(_unsafeStart: incoming.all, count: incoming.total)
        for place in 0..<count {
            let received = unsafe incoming.datagrams[place]
            let length = Int(unsafe received.length)
            bytes += length
            guard unsafe received.truncated == 0 else {
                counters.drops.add(.tooLong)
                datagrams += 1
                continue
            }
            let start = place * incoming.size + Limits.headroom
            let segment = unsafe received.segment == 0 ? nil : Int(unsafe received.segment)
            let train = Train(start..<start + length, segment: segment)
            datagrams += train.count
            let caller = addresses.endpoint(unsafe received.address, at: unsafe received.local, now: now)
            for number in 0..<train.count {
                take(
                    buffer, train.datagram(number), from: .udp(caller), trafficClass: unsafe received.traffic_class,
                    price: price, now: now)
            }
        }
        counters.datagramsReceived.wrappingAdd(UInt64(datagrams), ordering: .relaxed)
        counters.bytesReceived.wrappingAdd(UInt64(bytes), ordering: .relaxed)
    }

    private mutating func take(
        _ buffer: borrowing MutableSpan<UInt8>, _ datagram: Range<Int>, from caller: Carrier, trafficClass: UInt8,
        price: UInt8, now: Instant
    ) {
        switch sieve.look(buffer, datagram, price: price, now: now) {
        case .handshake:
            let event = EngineEvent.datagram(Worker.copy(buffer, datagram), caller)
            if !events.post(event) { counters.drops.add(.mailboxFull) }
        case .data(let index):
            let command = WorkerCommand.received(Worker.copy(buffer, datagram), caller, trafficClass: trafficClass)
            let worker = workers[Int(index % UInt32(workers.count))]
            if !worker.post(command) { counters.drops.add(.commandsFull) }
        case .drop(let reason): counters.drops.add(reason)
        }
    }
}
