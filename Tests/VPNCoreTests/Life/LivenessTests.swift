// SPDX-License-Identifier: Apache-2.0
// Whether the other end is there (§7): keepalives and their absence, age, stopped time, clocks that jump, and names that lead
// elsewhere. Service comes back by itself.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct LivenessTests {
    private func scenario(_ seed: UInt64, keepalive: UInt16 = 0, both: Bool = false) -> Scenario {
        var options = NodeOptions()
        options.keepaliveSeconds = keepalive
        var answering = both ? NodeOptions() : Scenario.answering
        answering.keepaliveSeconds = both ? keepalive : 0
        let scenario = Scenario(seed: seed, alice: options, bob: answering)
        #expect(scenario.connect(within: .seconds(5)))
        return scenario
    }

    private func silences(_ host: VirtualHost) -> [(at: Instant, missed: Int)] {
        host.events.compactMap { entry in
            if case .peerSilent(_, _, let missed) = entry.event { (entry.at, missed) } else { nil }
        }
    }

    // MARK: - Keepalives

    @Test func threeMissedKeepalivesMeanDown() throws {
        let scenario = scenario(101)
        #expect(scenario.carriesTraffic())
        scenario.network.suspend(scenario.bob)
        let start = scenario.network.now
        scenario.network.sendInner(Scenario.packet(from: 1, to: 2, tag: 7), from: scenario.alice)
        scenario.network.run(for: .seconds(14))
        #expect(silences(scenario.alice).isEmpty)
        let questions = scenario.network.capture.count {
            $0.at > start && $0.datagram.source == Scenario.aliceEndpoint && $0.datagram.bytes.count > 150
        }
        #expect(questions == 2, "after 5 and 10 s")
        scenario.network.run(for: .seconds(4))
        let silence = try #require(silences(scenario.alice).first)
        #expect(silence.missed == 3 && silence.at.since(start) >= .seconds(15))
        #expect(scenario.network.capture.contains { $0.at > start && $0.datagram.type == .s0 }, "a new handshake")
        // The other end comes back before anything ended: at once, and that is said.
        scenario.network.resume(scenario.bob)
        #expect(scenario.carriesTraffic(8), "\(scenario.describe())")
    }

    @Test func anAnswerInTimeIsNoSilence() {
        let scenario = scenario(102)
        #expect(scenario.carriesTraffic())
        for round in 1...20 as ClosedRange<UInt8> {
            scenario.network.suspend(scenario.bob)
            scenario.network.sendInner(Scenario.packet(from: 1, to: 2, tag: round), from: scenario.alice)
            scenario.network.run(for: .seconds(13))
            scenario.network.resume(scenario.bob)
            scenario.network.run(for: .seconds(1))
        }
        #expect(silences(scenario.alice).isEmpty && scenario.alice.establishedSessions.count == 1)
        #expect(scenario.carriesTraffic(99))
    }

    @Test func trafficOneWayIsNoSilence() {
        let scenario = scenario(103)
        for second in 0..<600 {
            scenario.network.sendInner(
                Scenario.packet(from: 1, to: 2, tag: UInt8(second & 0x7F)), from: scenario.alice)
            scenario.network.run(for: .seconds(1))
        }
        #expect(silences(scenario.alice).isEmpty && scenario.alice.establishedSessions.count == 1)
        #expect(scenario.bob.delivered.count == 600)
    }

    /// D7: the interval is jittered, never longer than what was configured (by more than a tick), and no two nodes stay in step.
    @Test func theKeepaliveIntervalIsJittered() {
        let scenario = scenario(104, keepalive: 25)
        scenario.network.run(for: .seconds(5))
        let start = scenario.network.now
        scenario.network.run(for: .seconds(1500))
        let times = scenario.network.capture.filter {
            $0.at > start && $0.datagram.source == Scenario.aliceEndpoint && $0.datagram.type?.isData == true
        }.map(\.at)
        let gaps = zip(times, times.dropFirst()).map { $1.since($0) }.filter { $0 > .seconds(1) }
        #expect(gaps.count > 55 && gaps.allSatisfy { $0 >= .seconds(20) && $0 <= .seconds(26) })
        #expect(Set(gaps.map { $0.nanoseconds / 1_000_000_000 }).count >= 4)
    }

    @Test func idlePeersAreSilent() {
        let scenario = scenario(105)
        #expect(scenario.carriesTraffic())
        scenario.network.run(for: .seconds(150))
        let count = scenario.network.capture.count
        scenario.network.run(for: .seconds(1200))
        #expect(scenario.network.capture.count == count)
    }

    // MARK: - Age

    /// A session whose renewal never succeeds ends at `rekey.interval_seconds`, its keys with it.
    @Test func aSessionEndsAtItsAge() {
        let scenario = scenario(106)
        #expect(scenario.carriesTraffic())
        weak let one = scenario.alice.sendingSession(of: 0)
        weak let other = scenario.bob.sendingSession(of: 0)
        scenario.network.intervene = { [.s0, .s1].contains($0.type) ? .drop : .pass }
        // Somebody speaks, or silence ends it earlier.
        for tag in 0..<350 {
            #expect(scenario.carriesTraffic(UInt8(tag & 0x7F)))
            scenario.network.run(for: .seconds(10))
        }
        #expect(one != nil && other != nil)
        scenario.network.run(for: .seconds(120))
        #expect(one == nil && other == nil)
        for host in [scenario.alice, scenario.bob] {
            #expect(host.footprint.sessions == 0)
            let ends = host.events.compactMap { if case .sessionEnded(_, let end) = $0.event { end } else { nil } }
            #expect(ends == [.expired])
        }
        scenario.network.intervene = nil
        #expect(scenario.network.run(for: .seconds(200)) { scenario.bob.confirmedSessions.count == 2 })
        #expect(scenario.carriesTraffic(99))
    }

    // MARK: - Stopped time

    /// A minute in which one end stands still, as under SIGSTOP, with packets coming all the time.
    @Test(arguments: [20, 60, 100, 300])
    func aStoppedNodeComesBack(_ seconds: Int) {
        for stopsAlice in [false, true] {
            let scenario = scenario(107, both: true)
            #expect(scenario.carriesTraffic())
            let stopped = stopsAlice ? scenario.alice : scenario.bob
            scenario.network.suspend(stopped)
            var number: UInt32 = 0
            func send() {
                number += 1
                for (from, to, host) in [(1, 2, scenario.alice), (2, 1, scenario.bob)] as [(UInt8, UInt8, VirtualHost)]
                where !host.isStopped {
                    var packet = Scenario.packet(from: from, to: to, tag: 0)
                    packet.replaceSubrange(20..<24, with: [UInt8](bigEndian: number))
                    scenario.network.sendInner(packet, from: host)
                }
            }
            for _ in 0..<seconds {
                send()
                scenario.network.run(for: .seconds(1))
            }
            scenario.network.resume(stopped)
            for _ in 0..<30 {
                send()
                scenario.network.run(for: .seconds(1))
            }
            #expect(scenario.carriesTraffic(99), "\(seconds) s, alice \(stopsAlice): \(scenario.describe())")
            let came = scenario.alice.delivered + scenario.bob.delivered
            #expect(Set(came).count == came.count, "a packet was accepted twice")
        }
    }

    /// Hours in which a lid was closed, of one end or of both; nobody sends anything, and they meet again.
    @Test(arguments: [1, 3, 12, 48])
    func hoursAsleepBringServiceBack(_ hours: Int) {
        for who in 0..<3 {
            let scenario = scenario(108, both: true)
            let asleep = [[scenario.alice], [scenario.bob], [scenario.alice, scenario.bob]][who]
            for host in asleep { scenario.network.suspend(host) }
            scenario.network.run(for: .seconds(hours * 3600))
            for host in asleep { scenario.network.resume(host) }
            let since = scenario.network.now
            #expect(
                scenario.network.run(for: .seconds(150)) {
                    scenario.alice.sendingSession(of: 0).map { $0.establishedAt > since } ?? false
                        && scenario.alice.sendingSession(of: 0)?.id == scenario.bob.sendingSession(of: 0)?.id
                }, "\(hours) h, \(who): \(scenario.describe())")
            #expect(scenario.carriesTraffic(99), "\(hours) h, \(who): \(scenario.describe())")
        }
    }

    /// Ten years more or less on the wall's clock: the same datagrams of the same lengths at the same times.
    @Test func theWallClockDecidesNothing() {
        let tenYears: UInt64 = 315_576_000
        let runs = [1_800_000_000, 1_800_000_000 + tenYears, 1_800_000_000 - tenYears].map { seconds -> [String] in
            var alice = NodeOptions()
            alice.keepaliveSeconds = 25
            alice.unixSeconds = seconds
            let scenario = Scenario(seed: 109, alice: alice)
            for tag in 0..<60 as Range<UInt8> {
                _ = scenario.carriesTraffic(tag)
                scenario.network.run(for: .seconds(60))
            }
            return scenario.network.capture.map { "\($0.at) \($0.datagram.bytes.count) \($0.datagram.type as Any)" }
        }
        #expect(runs[0].count > 300 && runs[0] == runs[1] && runs[0] == runs[2])
    }

    // MARK: - Names

    @Test func aNameMovesAPeerThatIsNotReachedAndNoOther() {
        let scenario = scenario(110, keepalive: 10)
        #expect(scenario.carriesTraffic())
        let (wrong, right) = (Endpoint(v4: 0x0A00_0071, port: 9000), Endpoint(v4: 0x0A00_0072, port: 9000))
        // Reached: what a resolver says changes nothing.
        scenario.network.resolve("bob", to: [wrong], at: scenario.alice)
        scenario.network.run(for: .seconds(5))
        #expect(scenario.alice.carrier(of: 0) == .udp(Scenario.bobEndpoint) && scenario.carriesTraffic(2))
        // Asleep, so that it is not bob who shows where it lives now.
        scenario.network.suspend(scenario.bob)
        scenario.network.move(scenario.bob, to: right)
        #expect(scenario.network.run(for: .seconds(60)) { !silences(scenario.alice).isEmpty })
        // Several addresses are tried in turn; nothing resolves to nothing; names of nobody are nobody's.
        scenario.network.resolve("bob", to: [], at: scenario.alice)
        scenario.network.resolve("carol", to: [wrong], at: scenario.alice)
        scenario.network.resolve("bob", to: [wrong, right], at: scenario.alice)
        scenario.network.run(for: .seconds(5))
        #expect(scenario.network.capture.contains { $0.datagram.destination == wrong && $0.datagram.type == .s0 })
        scenario.network.resolve("bob", to: [wrong, right], at: scenario.alice)
        scenario.network.run(for: .seconds(5))
        #expect(scenario.network.capture.contains { $0.datagram.destination == right && $0.datagram.type == .s0 })
        scenario.network.resume(scenario.bob)
        #expect(scenario.network.run(for: .seconds(30)) { scenario.alice.carrier(of: 0) == .udp(right) })
        #expect(scenario.carriesTraffic(3), "\(scenario.describe())")
    }
}
