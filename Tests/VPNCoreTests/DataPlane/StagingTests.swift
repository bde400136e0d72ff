// SPDX-License-Identifier: Apache-2.0
// Packets that wait for a session, and the life of sessions in a data plane.

import Testing
import VPNCore

@Suite struct StagingTests {
    private func end(slots: Int = 1) throws -> TestEnd {
        var end = TestEnd()
        end.plane.apply(.routes(try Fixture.routes((0..<slots).map { ("10.\($0 >> 8).\($0 & 255).0/24", $0) })))
        return end
    }

    private func packet(_ payload: Int, to destination: String = "10.0.0.1") -> [UInt8] {
        Fixture.packet(from: "192.0.2.1", to: destination, payload: payload)
    }

    @Test func packetsWaitAndGoInOrder() throws {
        var sender = try end()
        let (a, b) = Fixture.sessionPair()
        let packets = (0..<10).map { packet($0 + 10) }
        for (number, packet) in packets.enumerated() {
            guard case .staged(0, let wantSession) = sender.send(packet).verdict else {
                return fail("packet \(number) was not staged")
            }
            // Asked for once; the others ride along.
            #expect(wantSession == (number == 0))
        }
        #expect(sender.plane.sender.stagedCount(of: 0) == 10 && sender.drainStaged().isEmpty)
        sender.plane.apply(.install(a))
        #expect(sender.drainStaged().isEmpty)
        sender.plane.apply(.activate(a, Fixture.carrierToB))
        let datagrams = sender.drainStaged()
        var receiver = TestEnd()
        receiver.plane.apply(.routes(try Fixture.routes([("192.0.2.1/32", 0)])))
        receiver.plane.apply(.install(b))
        #expect(datagrams.map { receiver.receive($0) } == packets.map { .deliver($0) })
        #expect(sender.plane.sender.stagedCount(of: 0) == 0 && sender.drainStaged().isEmpty)
        #expect(sender.send(packets[0]).datagram != nil)
    }

    @Test func theOldestGiveWay() throws {
        var sender = try end()
        for number in 0..<Limits.stagedPackets + 5 { _ = sender.send(packet(number)) }
        #expect(sender.plane.sender.stagedCount(of: 0) == Limits.stagedPackets)
        #expect(sender.plane.drops[.stagedOverflow] == 5)
        let (a, _) = Fixture.sessionPair()
        sender.plane.apply(.activate(a, Fixture.carrierToB))
        let datagrams = sender.drainStaged()
        #expect(datagrams.count == Limits.stagedPackets)
        #expect(datagrams.first?.count == 20 + 5 + Limits.layerOverhead)
    }

    @Test func bytesAreBoundedPerPeerAndInAll() throws {
        let peers = 100
        var sender = try end(slots: peers)
        for slot in 0..<peers {
            for _ in 0..<Limits.stagedPackets { _ = sender.send(packet(2980, to: "10.0.\(slot).1")) }
        }
        let counts = (0..<peers).map { sender.plane.sender.stagedCount(of: $0) }
        #expect(counts.max() == Limits.stagedBytes / 3000)
        #expect(counts.reduce(0, +) * 3000 <= Limits.stagedBytesOfAllPeers)
        #expect(counts.reduce(0, +) * 3000 > Limits.stagedBytesOfAllPeers - 2 * Limits.stagedBytes)
        // What a peer held is free again when it goes.
        for slot in 0..<peers { sender.plane.apply(.removePeer(slot)) }
        #expect(sender.plane.drops[.stagedPeerGone] == UInt64(counts.reduce(0, +)))
        guard case .staged(5, wantSession: true) = sender.send(packet(100, to: "10.0.5.1")).verdict else {
            return fail("nothing is staged any more")
        }
    }

    @Test func oldPacketsExpire() throws {
        var sender = try end()
        _ = sender.send(packet(10))
        let late = Fixture.now + Limits.stagedLifetime
        _ = sender.send(packet(20), now: late)
        let (a, _) = Fixture.sessionPair()
        sender.plane.apply(.activate(a, Fixture.carrierToB))
        #expect(sender.drainStaged(now: late).map(\.count) == [20 + 20 + Limits.layerOverhead])
        #expect(sender.plane.drops[.stagedExpired] == 1)
    }

    @Test func aSessionIsAskedForAgainButNotAllTheTime() throws {
        var sender = try end()
        var asked = 0
        // 100 packets over 10 seconds.
        for step in 0..<100 {
            let now = Fixture.now + .milliseconds(step * 100)
            if case .staged(_, wantSession: true) = sender.send(packet(10), now: now).verdict { asked += 1 }
        }
        #expect(asked == 10)
    }

    @Test func sessionsAreReplacedMovedAndRetired() throws {
        var sender = try end()
        let (old, _) = Fixture.sessionPair(seed: 1, indexA: 1, indexB: 101)
        let (new, newPeer) = Fixture.sessionPair(seed: 2, indexA: 2, indexB: 102)
        sender.plane.apply(.activate(old, Fixture.carrierToB))
        sender.plane.apply(.activate(new, Fixture.carrierToB))
        #expect(OuterHeader(try #require(sender.send(packet(10)).datagram))?.receiverIndex == 102)
        // The old one still receives until it is retired, and retiring it does not touch the new one.
        sender.plane.apply(.retire(1))
        #expect(sender.plane.sender.sendingSession(of: 0) === new)
        sender.plane.apply(.move(0, Fixture.carrierToA))
        guard case .transmit(_, Fixture.carrierToA, _) = sender.send(packet(10)).verdict else {
            return fail("the peer did not move")
        }
        let frame = try #require(newPeer.sealFrame(type: .keepalive, payload: [1], now: Fixture.now))
        #expect(sender.receive(frame) == .control(.keepalive, [1]))
        sender.plane.apply(.retire(2))
        #expect(sender.receive(frame) == .drop(.unknownIndex))
        guard case .staged(0, wantSession: true) = sender.send(packet(10)).verdict else {
            return fail("sent by a retired session")
        }
        sender.plane.apply(.retire(2))
        sender.plane.apply(.retire(99))
    }

    @Test func aRemovedPeersSessionsGoWithIt() throws {
        var sender = try end(slots: 2)
        let (mine, peer) = Fixture.sessionPair(indexA: 1, slotAtA: 1)
        let (other, _) = Fixture.sessionPair(indexA: 2, slotAtA: 0)
        sender.plane.apply(.activate(mine, Fixture.carrierToB))
        sender.plane.apply(.activate(other, Fixture.carrierToB))
        sender.plane.apply(.removePeer(1))
        let frame = try #require(peer.sealFrame(type: .keepalive, payload: [1], now: Fixture.now))
        #expect(sender.receive(frame) == .drop(.unknownIndex))
        #expect(sender.plane.sender.sendingSession(of: 1) == nil && sender.plane.sender.sendingSession(of: 0) === other)
    }

    /// Thousands of sessions come and go, and each index finds its own or nothing.
    @Test func theSessionTableKeepsItsOwn() throws {
        var random = SeededGenerator(3)
        var end = TestEnd()
        var live: [UInt32: Session] = [:]
        for step in 0..<3000 {
            if step % 3 == 2, let index = live.keys.min() {
                end.plane.apply(.retire(index))
                live[index] = nil
            } else {
                // Indices that share their low bits, so that they collide in the table.
                let index = UInt32.random(in: 1...0xFFFF, using: &random) << 16 | UInt32(step % 5)
                guard live[index] == nil else { continue }
                let (_, receiver) = Fixture.sessionPair(indexA: 7, indexB: index)
                end.plane.apply(.install(receiver))
                live[index] = receiver
            }
        }
        for index in live.keys {
            let (sender, _) = Fixture.sessionPair(indexA: 7, indexB: index)
            let frame = try #require(sender.sealFrame(type: .keepalive, payload: [1], now: Fixture.now))
            #expect(end.receive(frame) == .control(.keepalive, [1]))
        }
        #expect(end.firstData.count == live.count)
        let (stranger, _) = Fixture.sessionPair(indexA: 7, indexB: 0xFFFF_FFFF)
        let frame = try #require(stranger.sealFrame(type: .keepalive, payload: [1], now: Fixture.now))
        #expect(end.receive(frame) == .drop(.unknownIndex))
        var zero = frame
        for place in 4..<8 { zero[place] = 0 }
        #expect(end.receive(zero) == .drop(.unknownIndex))
    }
}
