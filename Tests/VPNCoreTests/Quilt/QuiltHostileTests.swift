// SPDX-License-Identifier: Apache-2.0
// Peers and people on the way that mean harm to a quilt (§9): what they say costs them more than us, and ends nothing of others.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct QuiltHostileTests {
    private static let thief = Endpoint(v4: 0x0A02_0097, port: 6666)

    private func stitched(_ seed: UInt64, count: Int = 2) -> QuiltScenario {
        let quilt = QuiltScenario(seed: seed, ways: (0..<count).map { way(10 + 5 * $0) })
        #expect(quilt.stitch())
        return quilt
    }

    private func message(_ patch: Int, _ purpose: PatchMessage.Purpose, nonce: UInt64 = 7) -> [UInt8] {
        PatchMessage(nonce: nonce, patch: patch, purpose).encoded
    }

    @Test func whatIsNoPatchMessageIsDropped() {
        let good = [
            message(1, .add(index: 9)), message(7, .join(echo: 1, size: 500)), message(3, .remove),
        ]
        for bytes in good { #expect(PatchMessage(bytes)?.encoded == bytes) }
        var bad: [[UInt8]] = []
        for bytes in good {
            bad.append(Array(bytes.dropLast()))
            bad.append(bytes + [1])
            for (place, value) in [(8, 0), (8, 8), (9, 0), (9, 5)] as [(Int, UInt8)] {
                var other = bytes
                other[place] = value
                bad.append(other)
            }
        }
        bad.append([])
        // One byte less of a join is another join, for shorter packets.
        for bytes in bad where bytes.count != 499 { #expect(PatchMessage(bytes) == nil, "\(bytes.prefix(16))") }
        let quilt = stitched(1)
        let before = quilt.bob.controlDrops[.pathMalformed]
        for bytes in bad where PatchMessage(bytes) == nil && PathMessage(bytes) == nil {
            quilt.network.say(.pathChallenge, bytes, to: 0, from: quilt.alice)
            quilt.network.run(for: .milliseconds(200))
        }
        #expect(quilt.bob.controlDrops[.pathMalformed] > before)
        #expect(quilt.scenario.carriesTraffic() && quilt.patchesUp(quilt.bob) == 2)
    }

    @Test func aFloodOfChallengesIsAnsweredAFewTimesASecond() {
        let quilt = stitched(2)
        quilt.network.run(for: .seconds(3))
        let (sent, footprint) = (quilt.bob.bytesSent, quilt.bob.footprint)
        for round in 0..<2000 {
            let patch = 1 + round % 7
            let purpose: PatchMessage.Purpose =
                round % 3 == 0 ? .join(echo: 0, size: 1300) : .add(index: UInt32(round + 1))
            quilt.network.say(.pathChallenge, message(patch, purpose), to: 0, from: quilt.alice)
            quilt.network.run(for: .milliseconds(1))
        }
        // Eight answers in each of three seconds, 1336 bytes each, and probes.
        #expect(quilt.bob.bytesSent - sent < 24 * 1340 + 20_000)
        #expect(quilt.bob.footprint.sessions == footprint.sessions)
        #expect(quilt.bob.controlDrops[.pathRate] > 1900)
        #expect(quilt.bob.quilt(of: 0, now: quilt.network.now)?.patches.count ?? 0 <= 8)
        #expect(quilt.scenario.carriesTraffic())
        // What the flood has taken from under Alice she gets again.
        #expect(quilt.stitch(within: .seconds(30)))
    }

    @Test func onlyTheInitiatorAdds() {
        let quilt = stitched(3)
        let before = quilt.alice.controlDrops[.pathMalformed]
        quilt.network.say(.pathChallenge, message(5, .add(index: 77)), to: 0, from: quilt.bob)
        quilt.network.say(.pathChallenge, message(1, .remove), to: 0, from: quilt.bob)
        quilt.network.run(for: .seconds(1))
        #expect(quilt.alice.controlDrops[.pathMalformed] == before + 2)
        #expect(quilt.patchesUp(quilt.alice) == 2)
    }

    @Test func answersToNothingAreDropped() {
        let quilt = stitched(4)
        for host in [quilt.alice, quilt.bob] {
            let other = host === quilt.alice ? quilt.bob : quilt.alice
            let before = other.controlDrops[.pathUnknown]
            for patch in 1...3 {
                quilt.network.say(.pathResponse, message(patch, .add(index: 5)), to: 0, from: host)
                quilt.network.say(.pathResponse, message(patch, .join(echo: 5, size: 18)), to: 0, from: host)
                quilt.network.run(for: .milliseconds(100))
            }
            #expect(other.controlDrops[.pathUnknown] == before + 6)
        }
        #expect(quilt.scenario.carriesTraffic() && quilt.patchesUp(quilt.bob) == 2)
    }

    /// A join that somebody on the way sends from his own address brings him the answer, and nothing else.
    @Test func aStolenJoinMovesNothing() {
        let quilt = QuiltScenario(seed: 5, ways: [way(10), way(20)])
        var stolen: VirtualDatagram?
        let cut = quilt.network.intervene
        quilt.network.intervene = { datagram in
            // The first long datagram on way 2 is the join.
            if stolen == nil, QuiltScenario.way(datagram) == 2, datagram.destination.low & 0xFF == 2 {
                stolen = datagram
                return .drop
            }
            return cut?(datagram) ?? .pass
        }
        quilt.network.run(for: .seconds(20)) { stolen != nil }
        quilt.network.isCapturing = true
        guard var copy = stolen else {
            Issue.record("no join")
            return
        }
        copy.source = Self.thief
        quilt.network.inject(copy)
        quilt.network.run(for: .milliseconds(200))
        let back = quilt.network.capture.filter { $0.datagram.destination == Self.thief }.map(\.datagram.bytes.count)
        #expect(back == [copy.bytes.count], "one answer, no longer than the question")
        #expect(quilt.patchesUp(quilt.bob) <= 1)
        // The genuine one is not kept out by that, and nothing more goes to the thief.
        #expect(quilt.stitch(within: .seconds(10)))
        quilt.load(megabits: 5, for: .seconds(1))
        #expect(quilt.network.capture.filter { $0.datagram.destination == Self.thief }.count == 1)
    }

    /// Everything that goes by one way comes a second time by another, under that one's index or its own: no packet comes twice.
    @Test func repeatedElsewhereIsDropped() {
        let quilt = stitched(6)
        quilt.network.isCapturing = true
        quilt.load(megabits: 2, for: .milliseconds(500))
        quilt.network.run(for: .milliseconds(100))
        let captured = quilt.network.capture.map(\.datagram).filter { $0.type?.isData == true }
        quilt.network.isCapturing = false
        let (delivered, ways) = (quilt.bob.delivered.count, [1, 2].map { QuiltScenario.endpoint($0, 2) })
        let indices = ways.map { way in captured.first { $0.destination == way }!.bytes[4..<8] }
        for datagram in captured where datagram.destination.low & 0xFF == 2 {
            for index in indices {
                var copy = datagram
                copy.bytes.replaceSubrange(4..<8, with: index)
                copy.source = Self.thief
                quilt.network.inject(copy)
            }
        }
        quilt.network.run(for: .seconds(1))
        #expect(quilt.bob.delivered.count == delivered)
        #expect(quilt.bob.carrier(of: 0) == .udp(QuiltScenario.endpoint(1, 1)))
        #expect(quilt.bob.dataPlaneDrops[.replayDuplicate] > 50)
        #expect(quilt.scenario.carriesTraffic() && quilt.patchesUp(quilt.bob) == 2)
    }

    @Test func probesAndReportsOfNothing() {
        let quilt = stitched(7)
        func count() -> UInt64 {
            quilt.bob.dataPlaneDrops[.probeMalformed] + quilt.bob.dataPlaneDrops[.probeUnknown]
        }
        let before = count()
        let probe = PatchProbe(patch: 1, number: .max, sentAt: .max, packets: .max, bytes: .max)
        // It came by patch 0.
        quilt.network.say(.probe, probe.encoded, to: 0, from: quilt.alice)
        for patch in [UInt8(0), 1, 7] {
            var report = PatchReport(answering: probe, receivedAt: .max, packets: .max, bytes: .max)
            report.patch = patch
            quilt.network.say(.probeReport, report.encoded, to: 0, from: quilt.alice)
        }
        for length in [33, 31, 40, 41] {
            quilt.network.say(
                .probe, [PatchProbe.kind] + [UInt8](repeating: 0, count: length), to: 0, from: quilt.alice)
        }
        quilt.network.run(for: .milliseconds(100))
        #expect(count() == before + 4)
        #expect(quilt.bob.controlDrops[.probeMalformed] >= 3)
        #expect(quilt.scenario.carriesTraffic())
    }

    /// Counters that jump, and gaps without end: memory stays what it is, and what came goes on in time.
    @Test(arguments: [UInt64(1), 100, 5000, 70_000, 1 << 28]) func jumpsOfCounters(by step: UInt64) throws {
        let quilt = stitched(8)
        // Both ways bring something, so that packets wait for gaps.
        quilt.load(megabits: 1, for: .milliseconds(100))
        let before = quilt.bob.delivered.count
        let session = try #require(quilt.alice.sendingSession(of: 0))
        let rounds = step > 1 << 20 ? 3 : 3000
        for _ in 0..<rounds {
            session.skipCounters(step)
            quilt.sendNumbered(200)
            quilt.network.run(for: .microseconds(50))
        }
        quilt.network.run(for: .milliseconds(200))
        #expect(quilt.bob.delivered.count == before + rounds)
        #expect(quilt.scenario.carriesTraffic())
    }

    @Test func repairsThatLie() {
        let quilt = stitched(9)
        quilt.load(megabits: 1, for: .milliseconds(200))
        let before = quilt.bob.delivered.count
        var random = SeededGenerator(9)
        for round in 0..<500 {
            let first: UInt64 = round % 3 == 0 ? .max - 64 : UInt64.random(in: 0...1 << 32, using: &random)
            let message = RepairMessage(
                first: first, mask: UInt64.random(in: 0 ... .max, using: &random) | 1, seed: 1,
                symbol: (0..<200).map { _ in UInt8.random(in: 0...255, using: &random) })
            quilt.network.say(.repair, message.encoded, to: 0, from: quilt.alice)
            quilt.network.say(.repair, Array(message.encoded.prefix(round % 40)), to: 0, from: quilt.alice)
            quilt.network.run(for: .milliseconds(1))
        }
        // Whatever a liar rebuilds has the source that is its own, and a counter that nobody else had.
        for packet in quilt.bob.delivered[before...] { #expect(packet[12...15].elementsEqual([10, 77, 0, 1])) }
        #expect(quilt.bob.dataPlaneDrops[.repairMalformed] > 0)
        // A repair costs what many packets cost: without packets there are a few.
        #expect(quilt.bob.dataPlaneDrops[.repairExcess] > 800)
        #expect(quilt.scenario.carriesTraffic())
    }

    /// Padding that knows no size but the longest: what is said by the first way is as long as that carries, and not as long as a
    /// datagram may be.
    @Test(arguments: [PaddingPolicy.buckets([]), .datagrams([64, 128])], [QuiltScheduler.edpf, .fec])
    func paddingKeepsToWhatTheFirstWayCarries(padding: PaddingPolicy, scheduler: QuiltScheduler) {
        let quilt = QuiltScenario(
            seed: 91, ways: [LinkConditions](repeating: LinkConditions(), count: 2), scheduler: scheduler
        ) {
            $0.padding = padding
            $1.padding = padding
            $0.keepaliveSeconds = 5
        }
        quilt.network.isCapturing = true
        #expect(
            quilt.network.run(for: .seconds(20)) { quilt.patchesUp(quilt.bob) == 2 }, "\(quilt.scenario.describe())")
        quilt.network.run(for: .seconds(20))
        #expect(quilt.scenario.carriesTraffic())
        let longest = quilt.network.capture.map(\.datagram.bytes.count).max() ?? 0
        #expect(longest <= 1472, "\(longest)")
    }

    /// A handshake that was begun by the second way and came to nothing leaves nothing of that: the next goes where the peer is.
    @Test func aCallBySecondWayThatWasGivenUpIsForgotten() {
        let quilt = QuiltScenario(seed: 92, ways: [LinkConditions](repeating: LinkConditions(), count: 2))
        #expect(quilt.network.run(for: .seconds(20)) { quilt.patchesUp(quilt.alice) == 2 })
        quilt.cut = [1]
        #expect(quilt.network.run(for: .seconds(20)) { quilt.patchesUp(quilt.alice) == 1 })
        quilt.network.renew(0, at: quilt.alice)
        quilt.cut = [1, 2]
        quilt.network.run(for: .seconds(200))
        quilt.cut = [2]
        #expect(
            quilt.network.run(for: .seconds(300)) { quilt.scenario.carriesTraffic() }, "\(quilt.scenario.describe())")
    }
}
