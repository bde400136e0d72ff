// SPDX-License-Identifier: Apache-2.0
// Packets of a quilt on their way through a worker (§9): what holds up which of them, what brings lost ones back, and
// what memory that takes.
import Testing
import VPNCrypto

@testable import VPNCore

@Suite struct WeaveTests {
    // MARK: - What is no packet

    /// A probe that comes late was what a packet waited for: it goes at once, and not with the next packet.
    @Test func aFrameThatFillsAGapLetsPacketsGo() throws {
        var end = try WeaveScenario()
        end.bringBoth()
        let frame = end.frame()
        let packet = end.packet(1)
        let early = end.take(packet, on: 1)
        let late = end.take(frame, on: 0)
        #expect(early.isEmpty && late == [1])
    }

    /// A probe that comes before its turn is no gap when its turn comes.
    @Test func aFrameBeforeItsTurnIsRemembered() throws {
        var end = try WeaveScenario()
        end.bringBoth()
        let first = end.packet(1)
        let frame = end.frame()
        let second = end.packet(2)
        let counts = [end.take(frame, on: 1), end.take(first, on: 0), end.take(second, on: 1)]
        #expect(counts == [[], [1], [2]])
    }

    /// The sender says that the counter before a packet's brings none: the packet waits for the one before that alone.
    @Test func noPacketWaitsForWhatIsSaidToBeNone() throws {
        var end = try WeaveScenario()
        end.bringBoth()
        let first = end.packet(1)
        _ = end.frame()
        let second = end.packet(2, after: 1)
        let early = end.take(second, on: 1)
        let late = end.take(first, on: 0)
        #expect(early.isEmpty && late == [1, 2])
        // Where nobody says so it waits until its time is over.
        let third = end.packet(3)
        _ = end.frame()
        let fourth = end.packet(4)
        let before = end.take(fourth, on: 1)
        let then = end.take(third, on: 0)
        let after = end.wait(Limits.resequencingMost)
        #expect(before.isEmpty && then == [3] && after == [4])
    }

    /// Answers of another kind or length are the control side's.
    @Test(arguments: [(0, 40), (1, 40), (3, 40), (2, 0), (2, 39), (2, 41)] as [(UInt8, Int)])
    func anAnswerOfAnotherKindGoesOn(_ report: (kind: UInt8, count: Int)) throws {
        var end = try WeaveScenario()
        let payload = [report.kind] + [UInt8](repeating: 0, count: 41)
        end.take(end.seal(.probeReport, Array(payload.prefix(report.count))), on: 0)
        #expect(end.told == [.probeReport] && end.drops.isEmpty)
    }

    @Test func anAnswerToNoProbeIsDropped() throws {
        var end = try WeaveScenario()
        end.take(end.seal(.probeReport, [PatchProbe.kind] + [UInt8](repeating: 0, count: 39)), on: 0)
        #expect(end.told.isEmpty && end.drops == [.probeUnknown])
    }

    // MARK: - Repairs

    /// A repair of packets by their numbers, sealed.
    private func repair(_ packets: [(number: UInt8, datagram: [UInt8])], by end: WeaveScenario) throws -> [UInt8] {
        var encoder = RepairEncoder(seed: 1)
        for (number, datagram) in packets {
            _ = encoder.sent(WeaveScenario.inner(number), under: datagram.u64(at: 8))
        }
        let message = encoder.repair()
        return end.seal(.repair, try #require(message).encoded)
    }

    /// What came is taken out of a repair, whichever of the two comes first; what is left of it goes on at once.
    @Test func whatIsLostComesBackWithWhatCame() throws {
        var end = try WeaveScenario()
        // Before the first repair nothing is kept.
        let (first, second) = (end.packet(1), end.packet(2))
        for datagram in [first, second] { end.take(datagram, on: 0) }
        let nothing = end.take(try repair([(1, first), (2, second)], by: end), on: 0)
        #expect(nothing.isEmpty)
        let (third, fourth) = (end.packet(3), end.packet(4))
        let came = end.take(third, on: 0)
        let lost = end.take(try repair([(3, third), (4, fourth)], by: end), on: 0)
        #expect(came == [3] && lost == [4])
        let (fifth, sixth) = (end.packet(5), end.packet(6))
        let early = end.take(try repair([(5, fifth), (6, sixth)], by: end), on: 0)
        let late = end.take(fifth, on: 0)
        #expect(early.isEmpty && late == [5, 6])
        // What was had again is not had twice.
        let again = end.take(fourth, on: 1)
        #expect(again.isEmpty && end.drops == [.replayDuplicate])
    }

    /// One of as many quilts as may keep packets has another repair: that is no newcomer, and nobody gives way.
    @Test func aFurtherRepairPushesOutNobody() throws {
        var end = try WeaveScenario(Limits.quiltsRepaired)
        let message = RepairMessage(first: 1 << 40, mask: 1, seed: 1, symbol: [UInt8](repeating: 1, count: 100))
        for number in Array(0..<Limits.quiltsRepaired) + [1] {
            end.take(end.seal(.repair, message.encoded, of: number), of: number, on: 0)
            end.now += .microseconds(10)
        }
        let keeping = end.plane.weaves.map { $0?.keepsPackets == true }
        #expect(keeping == Array(repeating: true, count: Limits.quiltsRepaired))
    }

    // MARK: - Memory

    /// 3 MB each: not for a patch that is alone, nor for probes and packets that come in their turn.
    @Test func whatIsInItsTurnTakesNoCells() throws {
        var end = try WeaveScenario()
        end.take(end.packet(1), on: 0)
        // One is lost; nobody else can bring it.
        _ = end.packet(2)
        let third = end.take(end.packet(3), on: 0)
        #expect(third == [3] && end.cells == 0)
        end.take(end.frame(), on: 0)
        let fourth = end.take(end.packet(4, after: 1), on: 0)
        #expect(fourth == [4] && end.cells == 0 && end.plane.deadline == nil)
        end.bringBoth()
        let missing = end.packet(5)
        end.take(end.packet(6), on: 1)
        #expect(end.cells == WeaveScenario.cellsOfOne)
        let both = end.take(missing, on: 0)
        #expect(both == [5, 6])
    }

    /// A quilt that has just had to wait keeps its cells for a while, whatever others do meanwhile.
    @Test func cellsAreKeptForAWhile() throws {
        var end = try WeaveScenario(2)
        for number in 0..<2 {
            end.bringBoth(of: number)
            _ = end.packet(1, of: number)
            end.take(end.packet(2, of: number), of: number, on: 1)
            end.now += .milliseconds(1)
        }
        let tags = end.wait(.seconds(1))
        #expect(tags == [2, 2] && end.cells == 2 * WeaveScenario.cellsOfOne)
        end.wait(Limits.resequencerKept)
        #expect(end.cells == 0 && end.plane.deadline == nil)
    }

    /// The machine slept while a packet waited: it comes out all the same.
    @Test func aLateLookLosesNoPacket() throws {
        var end = try WeaveScenario()
        end.bringBoth()
        let missing = end.packet(1)
        end.take(end.packet(2), on: 1)
        end.now += Limits.resequencerKept * 5
        let released = end.expire()
        let late = end.take(missing, on: 0)
        #expect(released == [2] && late == [1])
    }

    /// Sessions come and go for as long as a node runs: whoever comes has the place of one that went.
    @Test func placesOfThoseThatWentAreUsedAgain() {
        var plane = InboundPlane()
        for number in 0..<50 as Range<UInt32> {
            let session = Fixture.sessionPair(indexB: 0xB000_0001 + number).1
            plane.apply(.activate(session, Fixture.carrierToA))
            plane.apply(.quilt(Quilt(session, QuiltConfiguration())))
            #expect(plane.quilts == [session.localIndex: 0])
            plane.apply(.retire(session.localIndex))
            var none: [UInt8] = []
            var span = none.mutableSpan
            let isDone = plane.next(&span, now: Fixture.now) == nil
            #expect(isDone)
        }
        #expect(plane.weaves.count == 1 && plane.quilts.isEmpty)
    }
}
