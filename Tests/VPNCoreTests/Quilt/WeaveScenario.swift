// SPDX-License-Identifier: Apache-2.0
// The receiving half of one worker (§9), with quilts of two patches each: what tests of the order of packets start
// with.
import VPNCrypto

@testable import VPNCore

struct WeaveScenario {
    struct Member {
        let sender: Session
        let quilt: Quilt
        /// The index of its second patch.
        let added: UInt32
    }

    var plane = InboundPlane()
    var now = Fixture.now
    private(set) var members: [Member] = []
    private(set) var drops: [DropReason] = []
    /// Frames that went on to the control side.
    private(set) var told: [FrameType] = []

    /// - Parameter count: of quilts. Member n is 10.77.0.n + 1.
    init(_ count: Int = 1) throws {
        plane.apply(.routes(try Fixture.routes((0..<count).map { (WeaveScenario.address($0) + "/32", $0) })))
        for number in 0..<count {
            let own = 0xB000_0000 + UInt32(number) * 2
            let (sender, session) = Fixture.sessionPair(
                seed: UInt8(number + 1), indexA: 0xA000_0000 + UInt32(number), indexB: own, slotAtB: number)
            let quilt = Quilt(session, QuiltConfiguration())
            for patch in 0..<2 {
                quilt.withState {
                    $0.join(
                        patch, .udp(Endpoint(v4: UInt32(patch), port: 1)), remoteIndex: UInt32(patch + 1), mtu: 1200,
                        now: Fixture.now)
                }
            }
            plane.apply(.activate(session, Fixture.carrierToA))
            plane.apply(.patch(quilt, number: 1, index: own + 1))
            plane.apply(.quilt(quilt))
            members.append(Member(sender: sender, quilt: quilt, added: own + 1))
        }
    }

    private static func address(_ number: Int) -> String { "10.77.0.\(number + 1)" }

    /// Bytes that wait, or could.
    var cells: Int { plane.weaves.reduce(0) { $0 + ($1?.resequencer.cells.count ?? 0) } }

    /// What one quilt takes for packets that wait.
    static var cellsOfOne: Int { Limits.resequencedPackets * Limits.usualPathMTU }

    // MARK: - Sending

    /// The inner packet of a number.
    static func inner(_ tag: UInt8, of number: Int = 0) -> [UInt8] {
        var packet = Fixture.packet(from: address(number), to: "10.77.255.255")
        packet[28] = tag
        return packet
    }

    func seal(_ type: FrameType, _ payload: [UInt8], of number: Int = 0) -> [UInt8] {
        members[number].sender.sealFrame(type: type, payload: payload, now: now)!
    }

    /// The next packet, whose sender says that so many counters before it bring none.
    func packet(_ tag: UInt8, of number: Int = 0, after skipped: UInt8 = 0) -> [UInt8] {
        let sender = members[number].sender
        let packet = WeaveScenario.inner(tag, of: number)
        let turn = sender.reserve(1)
        let front = Limits.outerHeader + Limits.frameHeader
        var bytes = [UInt8](repeating: 0, count: front) + packet + [UInt8](repeating: 0, count: Limits.tag)
        var span = bytes.mutableSpan
        let range = sender.seal(
            &span, type: .ip, payload: front..<front + packet.count, counter: turn.counter,
            key: sender.sendingKey(of: turn.phase)!, padding: .none, ceiling: .max, skipped: skipped)
        return Array(bytes[range])
    }

    /// Something that is no packet, and takes a counter as one does.
    func frame(of number: Int = 0) -> [UInt8] { seal(.pad, [0, 0, 0], of: number) }

    // MARK: - Receiving

    /// The numbers of what comes out when a datagram comes by a patch.
    @discardableResult
    mutating func take(_ datagram: [UInt8], of number: Int = 0, on patch: Int) -> [UInt8] {
        var bytes = datagram
        if patch == 1 { OuterHeader.address(&bytes, to: members[number].added) }
        plane.begin(Train(bytes.indices))
        return drain(&bytes)
    }

    /// Both patches bring something: packets wait for those of either from now on.
    mutating func bringBoth(of number: Int = 0) {
        for patch in 0..<2 { take(packet(0, of: number), of: number, on: patch) }
    }

    /// The same of a look at the time.
    @discardableResult
    mutating func expire() -> [UInt8] {
        plane.expire(now: now)
        var none: [UInt8] = []
        return drain(&none)
    }

    /// As a worker waits.
    @discardableResult
    mutating func wait(_ time: TimeSpan) -> [UInt8] {
        let end = now + time
        var tags: [UInt8] = []
        while let due = plane.deadline, due <= end {
            now = max(now, due)
            tags += expire()
        }
        now = end
        return tags
    }

    private mutating func drain(_ bytes: inout [UInt8]) -> [UInt8] {
        var tags: [UInt8] = []
        while true {
            var span = bytes.mutableSpan
            guard let verdict = plane.next(&span, now: now) else { return tags }
            switch verdict.outcome {
            case .deliver(let range): tags.append(bytes[range.lowerBound + 28])
            case .deliverReleased(let length):
                var room = [UInt8](repeating: 0, count: length)
                var target = room.mutableSpan
                plane.copyReleased(into: &target, at: 0)
                tags.append(room[28])
            case .control(_, let type, _): told.append(type)
            case .drop(let reason): drops.append(reason)
            default: break
            }
        }
    }
}
