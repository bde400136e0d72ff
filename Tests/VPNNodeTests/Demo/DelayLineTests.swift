// SPDX-License-Identifier: Apache-2.0
// The demonstration's cable, in virtual time.
import Testing
import VPNCore

@testable import VPNNode

@Suite struct DelayLineTests {
    /// 1,000 bytes take a millisecond.
    private static let shape = DelayLine.Shape(bitsPerSecond: 8e6, delay: .milliseconds(20))
    private static let start = Instant(nanoseconds: 1_000_000_000)

    private static func at(_ milliseconds: Int) -> Instant { start + .milliseconds(milliseconds) }

    private static func packet(_ mark: UInt8, _ count: Int = 1000) -> [UInt8] { [UInt8](repeating: mark, count: count) }

    @Test func packetsComeInOrderAsLateAsTheLineIsLongAndSlow() {
        var line = DelayLine(Self.shape)
        for mark in 1...3 { line.take(Self.packet(UInt8(mark)), at: Self.at(0)) }
        #expect(line.next(by: Self.at(20)) == nil, "its own millisecond comes before the delay")
        #expect(line.next(by: Self.at(21)) == Self.packet(1))
        #expect(line.next(by: Self.at(21)) == nil)
        #expect(line.next(by: Self.at(40)) == Self.packet(2))
        #expect(line.next(by: Self.at(40)) == Self.packet(3))
        #expect(line.isEmpty && line.lost == 0)
    }

    @Test func whatWouldWaitTooLongIsLost() {
        var line = DelayLine(Self.shape)
        for _ in 0..<100 { line.take(Self.packet(1), at: Self.at(0)) }
        // 50 ms of the queue, and the one whose turn came at its very end.
        #expect(line.lost == 49)
        var arrived = 0
        while line.next(by: Self.at(71)) != nil { arrived += 1 }
        #expect(arrived == 51)
        // There is room again.
        line.take(Self.packet(2), at: Self.at(71))
        #expect(line.next(by: Self.at(92)) == Self.packet(2) && line.lost == 49)
    }

    @Test func theRateHoldsOverManyLooks() {
        var line = DelayLine(Self.shape)
        var arrived = 0
        for millisecond in 0..<3000 {
            for _ in 0..<2 { line.take(Self.packet(1), at: Self.at(millisecond)) }
            while line.next(by: Self.at(millisecond)) != nil { arrived += 1 }
        }
        #expect((2975...2980).contains(arrived), "one each millisecond, without the first 20: \(arrived)")
    }

    @Test func aCutLosesWhatIsUnderWay() {
        var line = DelayLine(Self.shape)
        line.take(Self.packet(1), at: Self.at(0))
        line.isCut = true
        line.take(Self.packet(2), at: Self.at(1))
        #expect(line.next(by: Self.at(1000)) == nil && line.isEmpty && line.lost == 1)
        line.isCut = false
        line.take(Self.packet(3), at: Self.at(1000))
        #expect(line.next(by: Self.at(1021)) == Self.packet(3))
    }

    @Test func aCableIsReadAsItIsWritten() throws {
        let cable = DelayedCable(
            ends: ["path1", "far1"], shape: .init(bitsPerSecond: 60e6, delay: .microseconds(12500)))
        #expect(DelayedCable(cable.text) == cable)
        for text in [
            "", "a,b,1", "a,b,0,1", "a,b,1,-1", "a,b,nan,1", "a,b,1,inf", "a,a,1,1", ",b,1,1", "a/b,c,1,1",
            "sixteenletters__,b,1,1", "a,b,1,1,1",
        ] { #expect(DelayedCable(text) == nil, "\(text)") }
    }
}
