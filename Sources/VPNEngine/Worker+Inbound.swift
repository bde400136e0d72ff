// SPDX-License-Identifier: Apache-2.0
// A worker's way from the socket to the TUN interface, or to the node: receive trains, open, join, write.

import CLinux
import Glibc
import Synchronization
import VPNCore

extension Worker {
    /// Messages of up to 64 KiB that one call receives while trains come.
    private static var trainsPerTurn: Int { 4 }
    /// Messages that one call receives otherwise.
    static var messagesPerTurn: Int { 64 }

    // MARK: - Datagrams

    mutating func receive() {
        incoming.prepareToReceive(messages)
        let count = unsafe socket.receive(incoming.datagrams, messages)
        guard count > 0 else {
            if count == -Int(ECONNREFUSED) { plane.drops.add(.sendRefused) }
            return
        }
        // An answer may be here before the command that made its session known was obeyed: the command was given before
        // the question was sent, so it waits by now.
        if commands.isPending { obey() }
        let now = MonotonicClock.now
        var (datagrams, bytes, relays) = (0, 0, false)
        for place in 0..<count {
            let received = unsafe incoming.datagrams[place]
            let length = Int(unsafe received.length)
            bytes += length
            // §3 asks for exact lengths: a train without its end is known by its last datagram.
            guard unsafe received.truncated == 0 else {
                plane.drops.add(.tooLong)
                datagrams += 1
                continue
            }
            let start = place * incoming.size + Limits.headroom
            let segment = unsafe received.segment == 0 ? nil : Int(unsafe received.segment)
            let train = Train(start..<start + length, segment: segment)
            datagrams += train.count
            take(
                train, from: .udp(addresses.endpoint(unsafe received.address, at: unsafe received.local, now: now)),
                congestion: CongestionMark(trafficClass: unsafe received.traffic_class), relays: &relays, now: now)
        }
        endBatch(relays: relays)
        // Trains fill the caches with a few messages; what comes one by one should come in great numbers.
        messages = datagrams > 4 * count ? Worker.trainsPerTurn : Worker.messagesPerTurn
        counters.datagramsReceived.wrappingAdd(UInt64(datagrams), ordering: .relaxed)
        counters.bytesReceived.wrappingAdd(UInt64(bytes), ordering: .relaxed)
    }

    /// Takes what came to the socket of handshakes, or to another worker, as if it had come here. Counted there.
    mutating func takePassedOn() {
        let now = MonotonicClock.now
        var (place, relays) = (0, false)
        for (datagram, carrier, trafficClass) in passedOn {
            guard Limits.headroom + datagram.count + Limits.tailroom <= incoming.size else {
                plane.drops.add(.tooLong)
                continue
            }
            if place == Worker.messagesPerTurn {
                endBatch(relays: relays)
                (place, relays) = (0, false)
            }
            // SAFETY: the buffers are free between two calls of `receive`, and this one was just found long enough.
            let room = unsafe incoming.memory(place) + Limits.headroom
            unsafe datagram.withUnsafeBufferPointer {
                if let base = $0.baseAddress { unsafe room.update(from: base, count: $0.count) }
            }
            let start = place * incoming.size + Limits.headroom
            place += 1
            take(
                Train(start..<start + datagram.count, segment: nil), from: carrier,
                congestion: CongestionMark(trafficClass: trafficClass), relays: &relays, now: now)
        }
        endBatch(relays: relays)
        passedOn.removeAll(keepingCapacity: true)
    }

    /// Sends and writes what lies in the incoming buffers, which are free again after that.
    private mutating func endBatch(relays: Bool) {
        if relays { sendRelayed() }
        // SAFETY: the memory lives as long as the pool, and the span no longer than this call.
        var buffer = unsafe MutableSpan(_unsafeStart: incoming.all, count: incoming.total)
        write(&buffer)
    }

    /// Gives a datagram to the worker that is to open it.
    @inline(never)
    private func passOn(_ datagram: [UInt8], to worker: Int, on place: CircuitPlace, trafficClass: UInt8) {
        let taken = workers[worker].post(.received(datagram, .circuit(place), trafficClass: trafficClass))
        if !taken { plane.drops.add(.commandsFull) }
    }

    /// Takes a train that lies in the incoming buffers. Where it left something to send there, `relays` says so.
    @inline(__always)
    private mutating func take(
        _ train: Train, from carrier: Carrier, congestion: CongestionMark, relays: inout Bool, now: Instant
    ) {
        // SAFETY: the memory lives as long as the pool, and the span no longer than this call.
        var buffer = unsafe MutableSpan(_unsafeStart: incoming.all, count: incoming.total)
        plane.receiver.begin(train, from: carrier, congestion: congestion)
        take(&buffer, from: carrier, relays: &relays, now: now)
        if plane.receiver.hasAnswers {
            sendFrames()
            relays = true
        }
    }

    /// Sends what lies in the incoming buffers, which are free again after that.
    private mutating func sendRelayed() {
        plane.sender.settle()
        transmit()
    }

    /// Lets packets go that waited long enough for earlier ones.
    mutating func releaseHeld(now: Instant) {
        // SAFETY: the memory lives as long as the pool, and the span no longer than this call.
        var buffer = unsafe MutableSpan(_unsafeStart: incoming.all, count: incoming.total)
        var relays = false
        take(&buffer, from: .udp(Endpoint(high: 0, low: 0, port: 0)), relays: &relays, now: now)
        if relays { sendRelayed() }
        write(&buffer)
    }

    /// Does what the verdicts on a train say.
    @inline(__always)
    private mutating func take(
        _ buffer: inout MutableSpan<UInt8>, from carrier: Carrier, relays: inout Bool, now: Instant
    ) {
        while let verdict = plane.receiver.next(&buffer, now: now) {
            if verdict.hasNews { reportNews(of: verdict, carrier) }
            switch verdict.outcome {
            case .deliver(let packet): deliver(&buffer, packet)
            case .deliverReleased(let length): deliverReleased(&buffer, length)
            case .handshake(let datagram):
                takeHandshake(buffer, datagram, from: Worker.source(of: verdict, carrier), now: now)
            case .control(let session, let type, let payload):
                report(
                    .control(session, type, Worker.copy(buffer, payload), Worker.source(of: verdict, carrier)))
            case .violation(let session, let reason):
                report(.violation(session, reason))
            case .relay(let payload, let slot):
                relay(&buffer, payload, to: slot, now: now)
                relays = true
            case .prohibited(let packet, let slot):
                prohibit(buffer, packet, from: slot, now: now)
                relays = true
            case .passOn(let datagram, let worker, let trafficClass):
                guard let place = verdict.place else { break }
                passOn(Worker.copy(buffer, datagram), to: worker, on: place, trafficClass: trafficClass)
            case .consumed, .drop: break
            }
        }
    }

    /// What is seldom: a session's first word, or a peer that speaks from elsewhere.
    @inline(never)
    private mutating func reportNews(of verdict: InboundVerdict, _ carrier: Carrier) {
        let news = plane.receiver.takeNews()
        if let session = news.firstData { report(.firstData(session, Worker.source(of: verdict, carrier))) }
        if let (session, bytes) = news.changedCarrier { report(.changedCarrier(session, carrier, bytes: bytes)) }
    }

    /// A packet that waited elsewhere comes into the buffers for what is written: behind those that are received into.
    @inline(never)
    private mutating func deliverReleased(_ buffer: inout MutableSpan<UInt8>, _ length: Int) {
        if releasedBytes + length > incoming.size {
            // Only here: what is held may lie there until it is written.
            write(&buffer)
            releasedBytes = 0
        }
        guard length <= incoming.size else { return plane.drops.add(.innerTooLarge) }
        let start = Worker.messagesPerTurn * incoming.size + releasedBytes
        plane.receiver.copyReleased(into: &buffer, at: start)
        releasedBytes += length
        deliver(&buffer, start..<start + length)
    }

    /// It came behind data in a train, so that the door did not see it, or there is none: what it asks for is asked here.
    @inline(never)
    private mutating func takeHandshake(
        _ buffer: borrowing MutableSpan<UInt8>, _ datagram: Range<Int>, from source: Carrier, now: Instant
    ) {
        // Circuits have bounds of their own.
        if case .udp = source, case .drop(let reason) = sieve.look(buffer, datagram, price: price.current, now: now) {
            return plane.drops.add(reason)
        }
        report(.datagram(Worker.copy(buffer, datagram), source))
    }

    /// How a datagram came: as its train did, or by a circuit in it.
    private static func source(of verdict: InboundVerdict, _ carrier: Carrier) -> Carrier {
        verdict.place.map { .circuit($0) } ?? carrier
    }

    /// Seals what goes on to another node where it lies: its layer takes no more room than the one that was taken off. Where more
    /// layers are to go around it, it is copied into the next free buffer, which has room for them.
    @inline(never)
    private mutating func relay(
        _ buffer: inout MutableSpan<UInt8>, _ payload: Range<Int>, to slot: PeerSlot, now: Instant
    ) {
        if outgoing.isFull { sendRelayed() }
        guard !outgoing.isFull else { return plane.drops.add(.sendNoMemory) }
        if plane.sender.isDirect(slot), outgoing.canBorrow(payload.count + Limits.layerOverhead) {
            guard
                case .transmit(let datagram, .udp(let endpoint), let trafficClass) = plane.sender.relay(
                    &buffer, payload: payload, to: slot, now: now)
            else { return }
            guard socket.reaches(endpoint) else { return plane.drops.add(.sendUnreachable) }
            // SAFETY: it lies in the incoming buffers, which are received into only after `sendRelayed`.
            return unsafe outgoing.borrow(
                incoming.all + datagram.lowerBound, datagram.count, to: endpoint, trafficClass: trafficClass)
        }
        // SAFETY: the memory lives as long as the outgoing, and the span no longer than this call.
        var target = unsafe MutableSpan(_unsafeStart: outgoing.memory, count: outgoing.size)
        if case .transmit(let datagram, let carrier, let trafficClass) = plane.sender.relay(
            buffer, payload: payload, into: &target, to: slot, now: now)
        {
            queue(datagram, carrier, trafficClass: trafficClass)
        }
    }

    /// Tells a guest of this exit that its packet goes nowhere.
    @inline(never)
    private mutating func prohibit(
        _ buffer: borrowing MutableSpan<UInt8>, _ packet: Range<Int>, from slot: PeerSlot, now: Instant
    ) {
        if outgoing.isFull { transmit() }
        guard !outgoing.isFull else { return plane.drops.add(.sendNoMemory) }
        // SAFETY: the memory lives as long as the outgoing, and the span no longer than this call.
        var target = unsafe MutableSpan(_unsafeStart: outgoing.memory, count: outgoing.size)
        if let (datagram, carrier, trafficClass) = plane.sender.prohibit(
            buffer, packet, from: slot, into: &target, now: now)
        {
            queue(datagram, carrier, trafficClass: trafficClass)
            if plane.sender.hasExtras { sendFrames() }
        }
    }

    // MARK: - Packets

    @inline(__always)
    private mutating func deliver(_ buffer: inout MutableSpan<UInt8>, _ packet: Range<Int>) {
        guard hasTunnel else { return plane.drops.add(.tunnelDown) }
        if unsafe writer.join(buffer, packet, incoming.all) { return }
        write(&buffer)
        unsafe writer.hold(buffer, packet, incoming.all)
    }

    /// Gives the TUN what is held for it.
    private mutating func write(_ buffer: inout MutableSpan<UInt8>) {
        switch writer.write(&buffer, to: tunnel) {
        case .nothing: break
        case .written(let packets, let bytes):
            counters.packetsToTunnel.wrappingAdd(UInt64(packets), ordering: .relaxed)
            counters.bytesToTunnel.wrappingAdd(UInt64(bytes), ordering: .relaxed)
        case .failed(let error, let packets):
            let isGone = TunDevice.isGone(-Int(error))
            // EIO: the link is down.
            plane.drops.add(error == EIO || isGone ? .tunnelDown : .tunnelWrite, packets)
            if isGone { loseTunnel() }
            // What is right for every kernel that grants the offload was refused: not again.
            guard error == EINVAL, packets > 1 else { return }
            writer.stopJoining()
            report(.offloadLost(tunnel.offloads, errno: error))
        }
    }

    static func copy(_ buffer: borrowing MutableSpan<UInt8>, _ range: Range<Int>) -> [UInt8] {
        let part = buffer.span.extracting(range)
        // SAFETY: the buffer lives for the call, and the array has a copy.
        return unsafe part.withUnsafeBufferPointer { unsafe Array($0) }
    }
}
