// SPDX-License-Identifier: Apache-2.0
// A worker's way from the TUN interface to the socket: read, divide, seal, send in trains; and what becomes of packets that are
// too long for their path, or are for nobody.

import CLinux
import Glibc
import Synchronization
import VPNCore

extension Worker {
    /// Packets that one wake-up takes from the TUN before the socket has its turn.
    private static var packetsPerTurn: Int { 128 }

    mutating func readTunnel() {
        let now = MonotonicClock.now
        var (packets, bytes, reads) = (0, 0, 0)
        while true {
            if outgoing.isFull {
                transmit()
                if isBlocked { break }
            }
            if !reader.hasPackets {
                guard packets < Self.packetsPerTurn, reads < Self.packetsPerTurn, hasTunnel else { break }
                reads += 1
                guard let read = readOnce() else { break }
                bytes += read
                continue
            }
            packets += 1
            forward(now)
        }
        plane.sender.settle()
        transmit()
        counters.packetsFromTunnel.wrappingAdd(UInt64(packets), ordering: .relaxed)
        counters.bytesFromTunnel.wrappingAdd(UInt64(bytes), ordering: .relaxed)
    }

    /// Reads from the interface; bytes, or nil if there is nothing more.
    @inline(__always)
    private mutating func readOnce() -> Int? {
        switch reader.read(tunnel) {
        case .some(let bytes): return bytes
        case .malformed: plane.drops.add(.innerMalformed)
        case .tooLarge: plane.drops.add(.innerTooLarge)
        case .nothing: return nil
        case .gone:
            loseTunnel()
            return nil
        }
        return 0
    }

    /// Seals the reader's next packet. Only where the outgoing has room.
    @inline(__always)
    private mutating func forward(_ now: Instant) {
        // SAFETY: the memory lives as long as the outgoing, and the span no longer than this call.
        var buffer = unsafe MutableSpan(_unsafeStart: outgoing.memory, count: outgoing.size)
        guard let length = reader.next(into: &buffer, at: Limits.headroom) else { return }
        let packet = Limits.headroom..<Limits.headroom + length
        switch plane.sender.outbound(&buffer, packet: packet, now: now) {
        case .transmit(let datagram, let carrier, let trafficClass):
            queue(datagram, carrier, trafficClass: trafficClass)
            if plane.sender.hasExtras { sendFrames() }
        case .exceeds(let mtu): exceed(packet, mtu: mtu, now: now)
        case .staged(let slot, let wantSession): if wantSession { report(.wantSession(slot)) }
        case .drop(.noRoute): refuse(packet, now: now)
        case .drop: break
        }
    }

    /// Puts a datagram that lies in the next free buffer into the batch.
    @inline(__always)
    mutating func queue(_ datagram: Range<Int>, _ carrier: Carrier, trafficClass: UInt8) {
        guard case .udp(let endpoint) = carrier, socket.reaches(endpoint) else {
            return plane.drops.add(.sendUnreachable)
        }
        outgoing.append(datagram, to: endpoint, trafficClass: trafficClass)
    }

    // MARK: - What does not go

    /// Of a packet that no peer is responsible for. The rest of its piece goes to the same place.
    @inline(never)
    private mutating func refuse(_ packet: Range<Int>, now: Instant) {
        plane.drops.add(.noRoute, reader.discard())
        guard refusals.admit(now: now) else { return }
        // SAFETY: it lies in the next free buffer still, which nobody else touches meanwhile.
        let copy = unsafe MutableSpan(_unsafeStart: outgoing.memory, count: outgoing.size)
        answer(copy, packet, mtu: nil)
    }

    @inline(never)
    private mutating func exceed(_ packet: Range<Int>, mtu: Int, now: Instant) {
        // It lies in the next free buffer, which its fragments will need.
        // SAFETY: two buffers that live as long as this value, both long enough for any packet that was read.
        let memory = unsafe aside.memory(0)
        unsafe (memory + packet.lowerBound).update(from: outgoing.memory + packet.lowerBound, count: packet.count)
        let copy = unsafe MutableSpan(_unsafeStart: memory, count: aside.size)
        if PacketTooBig.mustNotFragment(copy, packet) {
            // One word for all segments of a piece: its sender has the rest of them still.
            plane.drops.add(.pathMTU, 1 + reader.discard())
            answer(copy, packet, mtu: mtu)
        } else if var fragments = IPv4Fragments(copy, packet, mtu: mtu) {
            send(&fragments, of: copy, now: now)
        } else {
            plane.drops.add(.pathMTU)
        }
    }

    /// - Parameter mtu: what the path carries; nil where there is none.
    private mutating func answer(_ packet: borrowing MutableSpan<UInt8>, _ range: Range<Int>, mtu: Int?) {
        // SAFETY: as above, the other buffer.
        let memory = unsafe aside.memory(1)
        var message = unsafe MutableSpan(_unsafeStart: memory, count: aside.size)
        let written =
            if let mtu {
                PacketTooBig.write(about: packet, range, mtu: mtu, into: &message, at: Limits.headroom)
            } else { PacketUnreachable.write(about: packet, range, into: &message, at: Limits.headroom) }
        guard let length = written, hasTunnel else { return }
        unsafe answers.hold(message, Limits.headroom..<Limits.headroom + length, memory)
        // An answer that gets lost is given again for the next packet.
        _ = answers.write(&message, to: tunnel)
    }

    private mutating func send(_ fragments: inout IPv4Fragments, of packet: borrowing MutableSpan<UInt8>, now: Instant)
    {
        while true {
            if outgoing.isFull { transmit() }
            guard !outgoing.isFull else { return plane.drops.add(.sendNoMemory) }
            // SAFETY: the memory lives as long as the outgoing, and the span no longer than this round.
            var buffer = unsafe MutableSpan(_unsafeStart: outgoing.memory, count: outgoing.size)
            guard let length = fragments.next(packet, into: &buffer, at: Limits.headroom) else { return }
            let range = Limits.headroom..<Limits.headroom + length
            switch plane.sender.outbound(&buffer, packet: range, now: now) {
            case .transmit(let datagram, let carrier, let trafficClass):
                queue(datagram, carrier, trafficClass: trafficClass)
                if plane.sender.hasExtras { sendFrames() }
            case .staged(let slot, let wantSession): if wantSession { report(.wantSession(slot)) }
            case .exceeds, .drop: break
            }
        }
    }

    // MARK: - Sending

    /// Sends what is queued, as far as the kernel takes it.
    mutating func transmit() {
        setBlocked(outgoing.transmit(socket, drops: plane.drops) == .blocked)
        let counts = outgoing.takeCounts()
        counters.datagramsSent.wrappingAdd(UInt64(counts.datagrams), ordering: .relaxed)
        counters.bytesSent.wrappingAdd(UInt64(counts.bytes), ordering: .relaxed)
        if counts.trainsLost != 0 { report(.offloadLost(.sendTrains, errno: counts.trainsLost)) }
    }
}
