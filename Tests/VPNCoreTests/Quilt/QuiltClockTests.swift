// SPDX-License-Identifier: Apache-2.0
// The clock of a worker's quilts (§9): each is asked in its time, whatever the others do, and none is looked at for the others' sake.

import Testing
import VPNCrypto

@testable import VPNCore

@Suite struct QuiltClockTests {
    private static func quilt(_ number: UInt32, peer: PeerSlot = 0, since: Instant = Fixture.now) -> Quilt {
        func key(_ fill: UInt8) -> KeyRatchet {
            KeyRatchet(
                .aes256GCM, key: Secret(copying: [UInt8](repeating: fill, count: 32)),
                iv: Secret(copying: [UInt8](repeating: fill, count: 12)))
        }
        let session = Session(
            id: [UInt8](repeating: 1, count: 16), localIndex: number, remoteIndex: number, peer: peer, role: .initiator,
            cipher: .aes256GCM, sendKeys: key(1), receiveKeys: key(2), counterStart: 100, isConfirmed: true,
            establishedAt: since)
        let quilt = Quilt(session, QuiltConfiguration())
        quilt.withState {
            $0.join(0, Fixture.carrierToB, remoteIndex: number, mtu: 1200, now: since)
            // Of a way of its own, so that a probe tells whose it is.
            $0.join(1, Fixture.carrierToA, remoteIndex: number, mtu: 1200, now: since)
        }
        return quilt
    }

    private static func due(_ plane: inout QuiltPlane) -> Instant { plane.deadline ?? Instant(nanoseconds: .max) }

    /// Whose probes went at each time that the plane asked for, until an end.
    private static func run(_ plane: inout QuiltPlane, until end: Instant) -> [UInt32: [Instant]] {
        var seen: [UInt32: [Instant]] = [:]
        while let now = plane.deadline, now <= end {
            plane.expire(now: now)
            while let frame = plane.nextFrame() {
                let index = OuterHeader(frame.datagram)?.receiverIndex ?? 0
                if seen[index]?.last != now { seen[index, default: []].append(now) }
            }
        }
        return seen
    }

    @Test func eachIsAskedInItsTimeAndThoseThatAreGoneNoMore() {
        var plane = QuiltPlane(padding: .none, worker: 0, of: 1)
        for number in 1...200 as ClosedRange<UInt32> {
            plane.apply(
                .quilt(
                    Self.quilt(
                        number, peer: PeerSlot(number), since: Fixture.now + .milliseconds(Int(number * 7 % 500)))))
        }
        _ = Self.run(&plane, until: Fixture.now + .seconds(1))
        let gone = Set((1...200 as ClosedRange<UInt32>).filter { $0 % 3 == 0 })
        for number in gone {
            plane.apply(number % 2 == 0 ? .retire(number) : .removePeer(PeerSlot(number)))
        }
        let begin = Fixture.now + .seconds(1)
        let seen = Self.run(&plane, until: begin + .seconds(10))
        #expect(Set(seen.keys) == Set(1...200).subtracting(gone))
        // Nobody answers, so that all are down by and by, and asked once a second with a quarter more or less.
        for (number, times) in seen {
            let gaps = zip([begin] + times, times).map { $1.since($0) }
            #expect(gaps.allSatisfy { $0 <= .milliseconds(1250) }, "quilt \(number): \(gaps)")
        }
        let next = Self.due(&plane)
        #expect(next > begin + .seconds(10) && next < begin + .seconds(12))
    }

    @Test func whatComesEarlierIsKnownWithoutALookAtTheOthers() throws {
        var plane = QuiltPlane(padding: .none, worker: 0, of: 1)
        let quilts = (1...3).map { Self.quilt($0) }
        for quilt in quilts { plane.apply(.quilt(quilt)) }
        // Idle, so that they are asked once a second.
        var now = Fixture.now
        _ = Self.run(&plane, until: now)
        let idle = Self.due(&plane)
        #expect(idle.since(now) >= .milliseconds(700))
        // A packet goes: another thread's business, in the engine.
        now = now + .milliseconds(10)
        let sent = quilts[1].withState { [now] in
            $0.choose(for: [UInt8](repeating: 0, count: 100), flow: 1, isExpress: false, now: now) != nil
        }
        #expect(sent)
        let busy = Self.due(&plane)
        #expect(busy <= now + Limits.patchProbeBusy)
        // A new patch is asked at once.
        quilts[2].withState { [now] in
            $0.join(2, Fixture.carrierToA, remoteIndex: 3, mtu: 1200, now: now)
        }
        let new = Self.due(&plane)
        #expect(new == now)
        plane.expire(now: now)
        let frame = plane.nextFrame()
        let asked = try #require(frame)
        #expect(OuterHeader(asked.datagram)?.receiverIndex == 3)
        // A second packet changes nothing, and no time is due twice.
        quilts[1].withState { [now] in
            _ = $0.choose(for: [UInt8](repeating: 0, count: 100), flow: 1, isExpress: false, now: now)
        }
        let last = Self.due(&plane)
        #expect(last == busy)
    }

    @Test func aQuiltBelongsToOneWorkerAlone() {
        var planes = (0..<2).map { QuiltPlane(padding: .none, worker: $0, of: 2) }
        let quilt = Self.quilt(5)
        for place in planes.indices { planes[place].apply(.quilt(quilt)) }
        let dues = [planes[0].deadline, planes[1].deadline]
        #expect(dues == [nil, Fixture.now])
        // Told once more, it is there once.
        planes[1].apply(.quilt(quilt))
        planes[1].apply(.retire(5))
        let last = planes[1].deadline
        #expect(last == nil)
    }
}
