// SPDX-License-Identifier: Apache-2.0
// A worker's way from the TUN interface to the socket: read, divide, seal, send in trains.

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
                guard packets < Worker.packetsPerTurn, reads < Worker.packetsPerTurn, hasTunnel else { break }
                reads += 1
                guard let read = readOnce() else { break }
                bytes += read
                continue
            }
            packets += 1
            forward(now)
        }
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

    /// Seals the reader's next packet. Only where the outbox has room.
    @inline(__always)
    private mutating func forward(_ now: Instant) {
        // SAFETY: the memory lives as long as the outbox, and the span no longer than this call.
        var buffer = unsafe MutableSpan(_unsafeStart: outgoing.memory, count: outgoing.size)
        guard let length = reader.next(into: &buffer, at: Limits.headroom) else { return }
        switch plane.outbound(&buffer, packet: Limits.headroom..<Limits.headroom + length, now: now) {
        case .transmit(let datagram, let carrier): queue(datagram, carrier)
        case .staged(let slot, let wantSession): if wantSession { report(.wantSession(slot)) }
        case .drop: break
        }
    }

    /// Puts a datagram that lies in the next free buffer into the batch.
    @inline(__always)
    mutating func queue(_ datagram: Range<Int>, _ carrier: Carrier) {
        guard case .udp(let endpoint) = carrier, socket.reaches(endpoint) else {
            return plane.drops.add(.sendUnreachable)
        }
        outgoing.append(datagram, to: endpoint)
    }

    /// Sends what is queued, as far as the kernel takes it.
    mutating func transmit() {
        setBlocked(outgoing.transmit(socket, drops: plane.drops) == .blocked)
        let counts = outgoing.takeCounts()
        counters.datagramsSent.wrappingAdd(UInt64(counts.datagrams), ordering: .relaxed)
        counters.bytesSent.wrappingAdd(UInt64(counts.bytes), ordering: .relaxed)
        if counts.trainsLost != 0 { report(.offloadLost(.sendTrains, errno: counts.trainsLost)) }
    }

    /// Goes on after the kernel took no more.
    mutating func resume() {
        transmit()
        if isBlocked { return }
        sendStaged(MonotonicClock.now)
        transmit()
        // No event tells of packets that were read already.
        if reader.hasPackets { readTunnel() }
    }

    private mutating func setBlocked(_ blocked: Bool) {
        guard blocked != isBlocked else { return }
        isBlocked = blocked
        poller.change(socket.raw, .socket, readable: true, writable: blocked)
        if hasTunnel { poller.change(tunnel.raw, .tunnel, readable: !blocked) }
    }
}
