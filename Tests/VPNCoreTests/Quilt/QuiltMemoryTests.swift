// SPDX-License-Identifier: Apache-2.0
// Many quilts at once, each of which would like memory of ours (§9): what all of them have together is bounded, whoever had it longest
// gives it up, and that costs order alone.
import Testing
import VPNCrypto

@testable import VPNCore

/// One worker's receiving half with many quilts of two patches each.
private struct Crowd {
    struct Member {
        let sender: Session
        let quilt: Quilt
        let added: UInt32
        var delivered: [UInt8] = []
        var sent: UInt8 = 0
    }

    var plane = InboundPlane()
    var members: [Member] = []
    var now = Fixture.now
    var drops: [DropReason] = []

    init(_ count: Int) throws {
        plane.apply(.routes(try Fixture.routes((0..<count).map { (Crowd.address($0), $0) })))
        for number in 0..<count {
            let (own, added) = (0xB000_0000 + UInt32(number) * 2, 0xB000_0001 + UInt32(number) * 2)
            let (sender, session) = Fixture.sessionPair(
                seed: UInt8(number % 100), indexA: 0xA000_0000 + UInt32(number), indexB: own, slotAtB: number)
            session.widenWindow()
            let quilt = Quilt(session, QuiltConfiguration())
            for patch in 0..<2 {
                quilt.withState {
                    $0.join(
                        patch, .udp(Endpoint(v4: UInt32(patch), port: 1)), remoteIndex: UInt32(patch + 1), mtu: 1200,
                        now: Fixture.now)
                }
            }
            plane.apply(.activate(session, Fixture.carrierToA))
            plane.apply(.patch(quilt, number: 1, index: added))
            plane.apply(.quilt(quilt))
            members.append(Member(sender: sender, quilt: quilt, added: added))
        }
        for number in 0..<count { bringBoth(number) }
    }

    /// Both patches of a member bring something: packets wait for those of either.
    mutating func bringBoth(_ number: Int) {
        for patch in 0..<2 { take(datagram(of: number), of: number, on: patch) }
    }

    private static func address(_ number: Int) -> String { "10.77.\(number / 256).\(number % 256)" }

    /// Bytes that wait, or could.
    var cells: Int { plane.weaves.reduce(0) { $0 + ($1?.resequencer.cells.count ?? 0) } }
    var waiting: Int { plane.weaves.count { $0?.resequencer.hasPackets == true } }

    /// The next packet of a member, sealed.
    mutating func datagram(of number: Int) -> [UInt8] {
        members[number].sent += 1
        var packet = Fixture.packet(from: Crowd.address(number), to: "10.77.255.255")
        packet[28] = members[number].sent
        return members[number].sender.sealFrame(type: .ip, payload: packet, now: now)!
    }

    mutating func take(_ datagram: [UInt8], of number: Int, on patch: Int) {
        var bytes = datagram
        if patch == 1 { OuterHeader.address(&bytes, to: members[number].added) }
        plane.begin(Train(bytes.indices))
        drain(&bytes)
    }

    /// A packet that is behind another one, which the caller gets.
    mutating func leaveGap(_ number: Int) -> [UInt8] {
        let missing = datagram(of: number)
        take(datagram(of: number), of: number, on: 1)
        return missing
    }

    /// A repair of nothing that is known.
    mutating func repair(_ number: Int) {
        let message = RepairMessage(first: 1 << 40, mask: 1, seed: 1, symbol: [UInt8](repeating: 1, count: 100))
        take(
            members[number].sender.sealFrame(type: .repair, payload: message.encoded, now: now)!, of: number, on: 0)
    }

    private mutating func drain(_ bytes: inout [UInt8]) {
        while true {
            var span = bytes.mutableSpan
            guard let verdict = plane.next(&span, now: now) else { return }
            switch verdict.outcome {
            case .deliver(let range): note(Array(bytes[range]))
            case .deliverReleased(let length):
                var room = [UInt8](repeating: 0, count: length)
                var target = room.mutableSpan
                plane.copyReleased(into: &target, at: 0)
                note(room)
            case .drop(let reason): drops.append(reason)
            default: break
            }
        }
    }

    private mutating func note(_ packet: [UInt8]) {
        members[Int(packet[14]) * 256 + Int(packet[15])].delivered.append(packet[28])
    }

    /// As a worker does.
    mutating func wait(_ time: TimeSpan) {
        let end = now + time
        var none: [UInt8] = []
        while let due = plane.deadline, due <= end {
            now = max(now, due)
            plane.expire(now: now)
            drain(&none)
        }
        now = end
    }
}

@Suite struct QuiltMemoryTests {
    private static let most = Limits.resequencers * Limits.resequencedPackets * Limits.usualPathMTU

    /// Each of 48 guests has a packet wait for one that does not come.
    @Test func gapsOfManyQuiltsTakeNoMoreThanThoseOfAFew() throws {
        let count = Limits.resequencers * 3
        var crowd = try Crowd(count)
        var missing: [[UInt8]] = []
        for number in 0..<count {
            missing.append(crowd.leaveGap(number))
            #expect(crowd.cells <= Self.most, "\(crowd.cells) bytes after \(number + 1)")
            crowd.now = crowd.now + .microseconds(10)
        }
        // Those that had waited longest let go of what waited, and the others did not.
        #expect(crowd.waiting == Limits.resequencers)
        for number in 0..<count {
            let isReleased = number < count - Limits.resequencers
            #expect(crowd.members[number].delivered == (isReleased ? [1, 2, 4] : [1, 2]), "\(number)")
        }
        // What was missing comes: late where nobody could wait for it, in its order elsewhere, and nowhere twice.
        for number in 0..<count { crowd.take(missing[number], of: number, on: 0) }
        for number in 0..<count {
            let isReleased = number < count - Limits.resequencers
            #expect(crowd.members[number].delivered == (isReleased ? [1, 2, 4, 3] : [1, 2, 3, 4]), "\(number)")
        }
        for number in 0..<count { crowd.take(missing[number], of: number, on: 1) }
        #expect(crowd.drops == Array(repeating: .replayDuplicate, count: count))
        // All of them are put in order again when they need it.
        for number in 0..<count {
            let third = crowd.leaveGap(number)
            crowd.take(third, of: number, on: 0)
            #expect(crowd.members[number].delivered.suffix(2) == [5, 6], "\(number)")
            #expect(crowd.cells <= Self.most)
        }
    }

    /// Packets that wait where nobody waits any more go back, and so does the room for them.
    @Test func whatNobodyNeedsIsGivenBack() throws {
        var crowd = try Crowd(4)
        for number in 0..<4 { _ = crowd.leaveGap(number) }
        #expect(crowd.cells == 4 * Limits.resequencedPackets * Limits.usualPathMTU)
        crowd.wait(Limits.resequencingMost)
        for number in 0..<4 { #expect(crowd.members[number].delivered == [1, 2, 4]) }
        // One of them goes on.
        crowd.bringBoth(0)
        let late = crowd.leaveGap(0)
        crowd.take(late, of: 0, on: 0)
        crowd.wait(Limits.resequencerKept + .milliseconds(1))
        #expect(crowd.cells == 0 && crowd.plane.deadline == nil, "\(crowd.cells) bytes")
        for number in 0..<4 {
            crowd.bringBoth(number)
            let missing = crowd.leaveGap(number)
            crowd.take(missing, of: number, on: 0)
            #expect(crowd.members[number].delivered.suffix(2).map { $0 % 2 } == [1, 0], "\(number)")
        }
    }

    /// Two hundred guests make gaps as fast as they can; one who only has two ways of unlike length is in order all the same.
    @Test func anHonestOneIsInOrderBesideThem() throws {
        let count = 200
        var crowd = try Crowd(count)
        let honest = count - 1
        for round in 0..<60 {
            let missing = crowd.leaveGap(honest)
            // Until it comes, some of the others have a gap more each.
            for other in 0..<Limits.resequencers - 1 {
                let number = (round * (Limits.resequencers - 1) + other) % honest
                crowd.bringBoth(number)
                _ = crowd.leaveGap(number)
                crowd.now = crowd.now + .microseconds(50)
            }
            crowd.take(missing, of: honest, on: 0)
            #expect(crowd.cells <= Self.most)
        }
        #expect(crowd.members[honest].delivered == Array(1...122))
        crowd.wait(.seconds(1))
        for member in crowd.members { #expect(Set(member.delivered).count == member.delivered.count) }
    }

    // MARK: - What was sent

    private func sending(_ shared: SharedBytes) -> QuiltState {
        var state = QuiltState(QuiltConfiguration(), sharing: shared)
        for patch in 0..<2 {
            state.join(
                patch, .udp(Endpoint(v4: UInt32(patch), port: 1)), remoteIndex: UInt32(patch + 1), mtu: 1400,
                now: Fixture.now)
        }
        return state
    }

    /// Guests that have much sent to them and never say that it came: what is kept of it is bounded together, one who comes later finds
    /// room as well, and all of it is let go of in time.
    @Test func downloadsThatNobodyReportsTakeABoundedShare() {
        let shared = SharedBytes(limit: Limits.sentBytesOfAllQuilts)
        let datagram = [UInt8](repeating: 7, count: 1236)
        let many = 40
        var silent = (0..<many).map { _ in sending(shared) }
        for round in 0..<3000 {
            for guest in silent.indices {
                _ = silent[guest].choose(for: datagram, flow: UInt32(round), isExpress: false, now: Fixture.now)
            }
            guard round % 100 == 0 else { continue }
            #expect(shared.total <= Limits.sentBytesOfAllQuilts, "\(shared.total) in round \(round)")
        }
        let kept = silent.reduce(0) { $0 + $1.keptBytes }
        #expect(kept == shared.total && kept > Limits.sentBytesOfAllQuilts / 2)
        // One more: half a second of 10 Mbit/s can go again.
        var honest = sending(shared)
        for round in 0..<500 {
            _ = honest.choose(for: datagram, flow: UInt32(round), isExpress: false, now: Fixture.now)
        }
        #expect(honest.keptBytes == 500 * datagram.count && shared.total <= Limits.sentBytesOfAllQuilts)
        // In time all is let go of.
        let now = Fixture.now + Limits.sentKeptFor + .milliseconds(1)
        for guest in silent.indices { silent[guest].advance(now: now) }
        honest.advance(now: now)
        #expect(silent.allSatisfy { $0.keptBytes == 0 })
        honest.forgetSent()
        #expect(honest.keptBytes == 0 && shared.total == 0)
    }

    @Test func aQuiltThatEndsKeepsNothing() {
        let shared = SharedBytes(limit: Limits.sentBytesOfAllQuilts)
        do {
            let quilt = Quilt(Fixture.sessionPair().0, QuiltConfiguration(), sharing: shared)
            quilt.withState {
                $0.join(0, Fixture.carrierToB, remoteIndex: 1, mtu: 1400, now: Fixture.now)
                _ = $0.choose(for: [1, 2, 3], flow: 0, isExpress: false, now: Fixture.now)
            }
            #expect(shared.total == 3)
        }
        #expect(shared.total == 0)
    }

    // MARK: - What waits for a patch

    @Test func pacedPacketsOfManyPeersAreBounded() {
        var paced = PacedPackets()
        let packet = [UInt8](repeating: 7, count: 1200)
        let later = Fixture.now + .seconds(3600)
        func fill(_ slot: PeerSlot, _ most: Int, _ now: Instant) -> Int {
            var count = 0
            while count < most,
                paced.append(packet, for: slot, opens: later, limit: Limits.pacedMost, now: now)
            { count += 1 }
            return count
        }
        for slot in 0..<5000 {
            _ = fill(slot, .max, Fixture.now)
            #expect(paced.bytes <= Limits.pacedBytesOfAllPeers)
        }
        #expect(paced.bytes > Limits.pacedBytesOfAllPeers * 9 / 10)
        // What waited in vain goes; then there is room, and nothing is counted twice.
        let end = Fixture.now + Limits.pacedLongest
        #expect(paced.due == end)
        var dropped = 0
        while let slot = paced.ready(now: end) { dropped += paced.expire(slot, now: end) }
        #expect(paced.isEmpty && paced.bytes == 0 && dropped > 20_000)
        // One of a few has all that its patches can do.
        for slot in 0..<2 { _ = fill(slot, 2000, end) }
        #expect(fill(2, 2000, end) == 2000)
        #expect(paced.remove(2) == 2000 && paced.bytes == 4000 * 1200)
        #expect(paced.removeFirst(0) == packet && paced.bytes == 3999 * 1200)
    }

    // MARK: - Repairs

    /// Guests that send a repair each, so that packets are kept for more: of so many, and no more.
    @Test func packetsAreKeptForRepairsOfAFewQuilts() throws {
        let count = Limits.quiltsRepaired * 2
        var crowd = try Crowd(count)
        for number in 0..<count {
            crowd.repair(number)
            crowd.now = crowd.now + .microseconds(10)
        }
        let keeping = crowd.plane.weaves.map { $0?.keepsPackets == true }
        #expect(keeping.count { $0 } == Limits.quiltsRepaired)
        #expect(keeping.suffix(Limits.quiltsRepaired).allSatisfy { $0 })
    }
}
