// SPDX-License-Identifier: Apache-2.0
// What an end counts of what a patch brings (§9): by that the other end knows how the patch does.
import Testing
import VPNCrypto

@testable import VPNCore

@Suite struct QuiltArrivalTests {
    /// A copy of what another patch brought came as well, and shows nobody; what nobody sealed has not come.
    @Test func eachPatchHasWhatItBrought() throws {
        let (sender, session) = Fixture.sessionPair()
        let added: UInt32 = 0xB000_0002
        let quilt = Quilt(session, QuiltConfiguration())
        quilt.withState { state in
            for number in 0..<2 {
                state.join(
                    number, .udp(Endpoint(v4: UInt32(number), port: 1)), remoteIndex: UInt32(number + 1), mtu: 1200,
                    now: Fixture.now)
            }
        }
        var plane = InboundPlane(mtu: 1500)
        plane.apply(.activate(session, Fixture.carrierToA))
        plane.apply(.patch(quilt, number: 1, index: added))
        plane.apply(.quilt(quilt))
        func seal() throws -> [UInt8] {
            try #require(sender.sealFrame(type: .pad, payload: [0, 0, 0], now: Fixture.now))
        }
        func take(_ datagrams: [[UInt8]], under index: UInt32, at seconds: Int) {
            var bytes: [UInt8] = []
            for var datagram in datagrams {
                OuterHeader.address(&datagram, to: index)
                bytes += datagram
            }
            plane.begin(Train(bytes.indices, segment: datagrams[0].count))
            while true {
                var span = bytes.mutableSpan
                guard plane.next(&span, now: Fixture.now + .seconds(seconds)) != nil else { return }
            }
        }
        func check(_ first: UInt64, _ second: UInt64, heard seconds: Int, _ place: SourceLocation = #_sourceLocation) {
            let patches = quilt.withState { $0.patches }
            let counts = patches[..<2].map { $0?.received.packets ?? .max }
            #expect(counts == [first, second], sourceLocation: place)
            #expect(patches[1]?.heard == Fixture.now + .seconds(seconds), sourceLocation: place)
        }
        let train = try [seal(), seal()]
        take(train, under: added, at: 1)
        check(0, 2, heard: 1)
        let bytes = quilt.withState { $0.patches[1]?.received.bytes }
        #expect(bytes == UInt64(2 * train[0].count))
        take([try seal().flipping(20)], under: added, at: 2)
        check(0, 2, heard: 1)
        take([train[0]], under: added, at: 3)
        check(0, 3, heard: 1)
        take([try seal()], under: session.localIndex, at: 4)
        check(1, 3, heard: 1)
        take([try seal()], under: added, at: 5)
        check(1, 4, heard: 5)
    }
}
