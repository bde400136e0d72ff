// SPDX-License-Identifier: Apache-2.0
// A worker that no thread runs, for tests of what it does in one turn; and packets that a kernel would join.

import Synchronization
import VPNCore
import VPNTesting

@testable import VPNEngine

/// What a worker is made of, and what it counts and tells.
struct WorkerBench {
    let commands: CommandMailbox
    let events = EventMailbox(capacity: 8, share: 8, onWake: {})
    let counters = WorkerCounters()

    /// - Parameter capacity: datagrams of each kind that may wait for the worker.
    init(capacity: Int = 8) throws { commands = try CommandMailbox(capacity: capacity) }

    /// Once. Without trains, so that its buffers are as short as they may be.
    func makeWorker(
        _ tunnel: consuming TunDevice, local: Endpoint = Fixture.loopback, sendBuffer: Int = 0
    ) throws -> Worker {
        let socket = try UDPSocket.open(local, receiveBuffer: 0, sendBuffer: sendBuffer, offloads: [])
        return try Worker.make(
            tunnel: tunnel, socket: socket, number: 0, of: [commands], events: events, counters: counters,
            price: HandshakePrice(), plane: DataPlane(drops: counters.drops), largestPacket: 2048)
    }

    var sent: UInt64 { counters.datagramsSent.load(ordering: .relaxed) }

    var drops: [DropReason: UInt64] {
        Dictionary(uniqueKeysWithValues: counters.drops.nonZero.map { ($0.reason, $0.count) })
    }

    /// Hands the worker a datagram as the door does.
    func bring(_ datagram: [UInt8]) {
        _ = commands.post(.received(datagram, .udp(Fixture.loopback), trafficClass: 0))
    }
}

extension Fixture {
    /// One of the TCP segments of 100 bytes from 10.77.0.2 to 10.77.0.1 in the middle of a connection, with right
    /// checksums: what an interface may take joined.
    static func segment(_ number: UInt8) -> [UInt8] {
        var head: [UInt8] = [0x45, 0, 0, 140, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 77, 0, 2, 10, 77, 0, 1]
        let first = ~PlainChecksum.sum(head)
        head.replaceSubrange(10..<12, with: [UInt8(first >> 8), UInt8(first & 0xFF)])
        let sequence = UInt16(number) * 100
        var body: [UInt8] = [0, 80, 0, 90, 0, 0, UInt8(sequence >> 8), UInt8(sequence & 0xFF)]
        body += [0, 0, 0, 1, 0x50, 0x10, 1, 0, 0, 0, 0, 0]
        body += [UInt8](repeating: number, count: 100)
        let pseudo: [UInt8] = [10, 77, 0, 2, 10, 77, 0, 1, 0, 6, 0, UInt8(body.count)]
        let second = ~PlainChecksum.sum(pseudo + body)
        body.replaceSubrange(16..<18, with: [UInt8(second >> 8), UInt8(second & 0xFF)])
        return head + body
    }
}
