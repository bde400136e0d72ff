// SPDX-License-Identifier: Apache-2.0
// Frames of a session that is spoken inside another one (§8): what may be in them hangs on their own session alone.

import Testing
import VPNCrypto

@testable import VPNCore

@Suite struct NestedFrameTests {
    private let now = Fixture.now

    /// §7: flags are zero but where packets are put in order (§9), whether or not the session around has patches.
    @Test(arguments: [false, true]) func flagsAreOfASessionThatHasPatchesItself(isAroundQuilted: Bool) throws {
        let place = CircuitPlace(outer: 1, id: 8)
        let farOuter = Fixture.end(1, 2, seals: 1, opens: 2, .initiator)
        let outer = Fixture.end(2, 1, seals: 2, opens: 1, .responder, peer: 1)
        let farInner = Fixture.end(3, 4, seals: 3, opens: 4, .initiator)
        let inner = Fixture.end(4, 3, seals: 4, opens: 3, .responder, on: place)
        var plane = InboundPlane(mtu: 1500)
        plane.apply(.routes(try Fixture.routes([("10.77.0.1/32", 0)])))
        for own in [outer, inner] { plane.apply(.install(own)) }
        if isAroundQuilted { plane.apply(.patch(Quilt(outer, QuiltConfiguration()), number: 1, index: 9)) }
        let packet = Fixture.packet(from: "10.77.0.1", to: "10.77.0.2")
        var (isDelivered, violations): (Bool, [DropReason]) = (false, [])
        for skipped in [0, 5] as [UInt8] {
            var block = CounterBlock()
            guard let turn = block.take(of: farInner, now: now) else { return fail("no counter") }
            var carried = [UInt8](repeating: 0, count: 20) + packet + [UInt8](repeating: 0, count: 16)
            var room = carried.mutableSpan
            _ = turn.key.withObject {
                farInner.seal(
                    &room, type: .ip, payload: 20..<20 + packet.count, counter: turn.counter, key: $0, padding: .none,
                    ceiling: 0, skipped: skipped)
            }
            let payload = RelayMessage.encoded(id: place.id, datagram: carried)
            var bytes = try #require(farOuter.sealFrame(type: .relay, payload: payload, now: now))
            plane.begin(Train(bytes.indices))
            while true {
                var span = bytes.mutableSpan
                guard let verdict = plane.next(&span, now: now) else { break }
                switch verdict.outcome {
                case .deliver: isDelivered = true
                case .violation(_, let reason): violations.append(reason)
                default: break
                }
            }
            // The first one, without flags, is good.
            let expected: [DropReason] = skipped == 0 ? [] : [.frameFlags]
            #expect(isDelivered && violations == expected, "\(skipped)")
        }
        #expect(plane.drops[.frameFlags] == 1 && plane.drops.total == 1)
    }
}
