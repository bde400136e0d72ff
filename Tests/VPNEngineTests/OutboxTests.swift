// SPDX-License-Identifier: Apache-2.0
// Datagrams that are sent from where they lie, as a relay does: one after the other in a train, or kept when their memory is wanted.

import CLinux
import Glibc
import Testing
import VPNCore

@testable import VPNEngine

extension Threads {
    @Suite struct OutboxTests {
        private func receive(_ socket: borrowing UDPSocket, _ count: Int) -> [[UInt8]] {
            let pool = BufferPool(packet: Limits.largestTrain, capacity: 64)
            var payloads: [[UInt8]] = []
            while payloads.count < count {
                pool.prepareToReceive(64)
                var waiting = pollfd(fd: socket.raw, events: Int16(POLLIN), revents: 0)
                guard unsafe poll(&waiting, 1, Int32(patienceSeconds * 1000)) == 1 else { break }
                for place in 0..<max(0, unsafe socket.receive(pool.datagrams, 64)) {
                    let datagram = unsafe pool.datagrams[place]
                    let bytes = unsafe Array(UnsafeBufferPointer(start: datagram.base, count: Int(datagram.length)))
                    let segment = unsafe datagram.segment == 0 ? max(1, bytes.count) : Int(unsafe datagram.segment)
                    for start in stride(from: 0, to: bytes.count, by: segment) {
                        payloads.append(Array(bytes[start..<min(start + segment, bytes.count)]))
                    }
                }
            }
            return payloads
        }

        /// Lent and own datagrams in turn. Some lie one behind the other, some do not; all go as trains where that is possible.
        @Test(arguments: [false, true], [false, true])
        func lentDatagramsGoOutUnchanged(trains: Bool, isKept: Bool) throws {
            let a = try UDPSocket.open(Fixture.loopback, receiveBuffer: 1 << 20, sendBuffer: 1 << 20)
            let b = try UDPSocket.open(Fixture.loopback, receiveBuffer: 1 << 20, sendBuffer: 1 << 20)
            let count = 30
            let size = 600
            let payloads = (0..<count).map { [UInt8](repeating: UInt8($0 + 1), count: size) }
            let lent = UnsafeMutablePointer<UInt8>.allocate(capacity: count * (size + 8))
            defer { unsafe lent.deallocate() }
            var outbox = Outbox(packet: 2048, sendsTrains: trains)
            #expect(outbox.canBorrow(2048) && !outbox.canBorrow(outbox.size))
            var offset = 0
            for (place, payload) in payloads.enumerated() {
                if place % 7 == 3 {
                    let memory = unsafe outbox.memory
                    unsafe payload.withUnsafeBufferPointer { unsafe memory.update(from: $0.baseAddress!, count: size) }
                    outbox.append(0..<size, to: b.facts.local)
                } else {
                    // A gap before each fifth.
                    if place % 5 == 0 { offset += 8 }
                    let base = unsafe lent + offset
                    unsafe payload.withUnsafeBufferPointer { unsafe base.update(from: $0.baseAddress!, count: size) }
                    unsafe outbox.borrow(base, size, to: b.facts.local)
                    offset += size
                }
            }
            if isKept {
                outbox.keepBorrowed()
                unsafe lent.update(repeating: 0xEE, count: count * (size + 8))
            }
            let drops = DropCounters()
            #expect(outbox.transmit(a, drops: drops) == .sent && drops.total == 0)
            #expect(outbox.takeCounts().datagrams == count)
            #expect(receive(b, count) == payloads)
        }
    }
}
