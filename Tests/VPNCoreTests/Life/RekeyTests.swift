// SPDX-License-Identifier: Apache-2.0
// New handshakes of old associations (§6, §7): by age, bytes and packets, at both ends at once, a thousand times, and no inner
// packet minds.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct RekeyTests {
    /// Inner packets with numbers, so that each can be missed.
    private struct Flow {
        var sent: [[UInt8]] = []

        mutating func send(_ scenario: Scenario) {
            let number = UInt32(sent.count / 2)
            for (from, to, host) in [(1, 2, scenario.alice), (2, 1, scenario.bob)] as [(UInt8, UInt8, VirtualHost)] {
                var packet = Scenario.packet(from: from, to: to, tag: 0)
                packet.replaceSubrange(20..<24, with: [UInt8](bigEndian: number))
                sent.append(packet)
                scenario.network.sendInner(packet, from: host)
            }
        }

        /// How many came not at all, and how many twice.
        func faults(_ scenario: Scenario) -> (lost: Int, doubled: Int) {
            let came = scenario.alice.delivered + scenario.bob.delivered
            let distinct = Set(came)
            return (Set(sent).subtracting(distinct).count, came.count - distinct.count)
        }
    }

    private func busy(
        _ seed: UInt64, both: Bool = false, _ change: (inout NodeOptions) -> Void = { _ in }
    ) -> Scenario {
        var alice = NodeOptions()
        change(&alice)
        var bob = both ? NodeOptions() : Scenario.answering
        change(&bob)
        var conditions = LinkConditions(loss: 0, latency: .milliseconds(30))
        conditions.jitter = .milliseconds(20)
        conditions.reordering = 0.2
        let scenario = Scenario(seed: seed, conditions: conditions, alice: alice, bob: bob)
        scenario.network.isCapturing = false
        return scenario
    }

    /// A thousand rekeys while packets go both ways every 20 ms through jitter and reordering: none is lost, none comes twice.
    @Test func aThousandRekeysLoseNoPacket() {
        let scenario = busy(71) { $0.rekeyThreshold = .seconds(2) }
        #expect(scenario.connect(within: .seconds(5)))
        var flow = Flow()
        while scenario.alice.establishedSessions.count <= 1000, scenario.network.now < .origin + .seconds(10_000) {
            for _ in 0..<500 {
                flow.send(scenario)
                scenario.network.run(for: .milliseconds(20))
            }
        }
        scenario.network.run(for: .seconds(1))
        let faults = flow.faults(scenario)
        #expect(faults == (0, 0), "of \(flow.sent.count): \(scenario.describe())")
        #expect(scenario.alice.establishedSessions.count > 1000)
        let unchained = scenario.alice.establishedSessions.count { !$0.isChained }
        #expect(unchained * 20 <= scenario.alice.establishedSessions.count, "\(unchained)")
        let most = Limits.previousSessions + 2
        #expect(scenario.alice.footprint.sessions <= most && scenario.bob.footprint.sessions <= most)
    }

    /// Both ends begin within 150 ms of each other, a thousand times: one session comes of it, no packet is lost.
    @Test func aThousandCrossingRekeysConverge() {
        let scenario = busy(72, both: true)
        #expect(scenario.connect(within: .seconds(30)))
        scenario.network.run(for: .seconds(20))
        var random = SeededRandom(seed: 72)
        var flow = Flow()
        for round in 0..<1000 {
            let before = scenario.alice.sendingSession(of: 0)?.id
            let hosts = round % 2 == 0 ? [scenario.alice, scenario.bob] : [scenario.bob, scenario.alice]
            scenario.network.renew(0, at: hosts[0])
            scenario.network.run(for: TimeSpan(nanoseconds: random.fraction(of: 150_000_000)))
            scenario.network.renew(0, at: hosts[1])
            for _ in 0..<60 {
                flow.send(scenario)
                scenario.network.run(for: .milliseconds(50))
            }
            let (one, other) = (scenario.alice.sendingSession(of: 0)?.id, scenario.bob.sendingSession(of: 0)?.id)
            #expect(one != nil && one == other && one != before, "round \(round): \(scenario.describe())")
            if one != other { return }
            scenario.network.run(for: .seconds(4))
        }
        scenario.network.run(for: .seconds(100))
        let faults = flow.faults(scenario)
        #expect(faults == (0, 0), "of \(flow.sent.count): \(scenario.describe())")
        #expect(scenario.alice.footprint.sessions == 1 && scenario.bob.footprint.sessions == 1)
    }

    /// The one whose id is smaller comes first.
    private func bySize(_ scenario: Scenario) -> (small: VirtualHost, large: VirtualHost) {
        let isAlice = scenario.alice.identity.publicKeys.peerID < scenario.bob.identity.publicKeys.peerID
        return isAlice ? (scenario.alice, scenario.bob) : (scenario.bob, scenario.alice)
    }

    /// One end answered long before the other one got that answer, and then began a session itself: both send on the same.
    @Test func endsThatSawAHandshakeAtDifferentTimesAgree() {
        let scenario = busy(76, both: true)
        #expect(scenario.connect(within: .seconds(30)))
        scenario.network.run(for: .seconds(20))
        let (small, large) = bySize(scenario)
        let before = large.establishedSessions.count
        scenario.network.renew(0, at: small)
        #expect(scenario.network.run(for: .seconds(3)) { large.establishedSessions.count > before })
        scenario.network.suspend(small)
        scenario.network.run(for: .seconds(11))
        scenario.network.renew(0, at: large)
        scenario.network.run(for: .seconds(1))
        scenario.network.resume(small)
        scenario.network.run(for: .seconds(3))
        let (one, other) = (small.sendingSession(of: 0)?.id, large.sendingSession(of: 0)?.id)
        #expect(one != nil && one == other, "\(scenario.describe())")
    }

    /// S2 of a session that its maker has ended meanwhile: the one that lives stays.
    @Test func anAnswerThatIsTooLateReplacesNoSession() {
        let scenario = busy(77, both: true)
        #expect(scenario.connect(within: .seconds(30)))
        scenario.network.run(for: .seconds(20))
        let (small, large) = bySize(scenario)
        let from = large.endpoint
        scenario.network.intervene = { $0.type == .s2 && $0.source == from ? .drop : .pass }
        let (before, begun) = (large.establishedSessions.count, small.establishedSessions.count)
        scenario.network.renew(0, at: small)
        #expect(scenario.network.run(for: .seconds(3)) { large.establishedSessions.count > before })
        #expect(scenario.network.drop(0, of: large))
        scenario.network.run(for: .seconds(3))
        #expect(scenario.carriesTraffic(1), "\(scenario.describe())")
        scenario.network.intervene = nil
        let isLate = scenario.network.run(for: .seconds(8)) {
            small.establishedSessions.dropFirst(begun).contains { $0.role == .initiator }
        }
        #expect(isLate, "\(scenario.describe())")
        #expect(scenario.carriesTraffic(2), "\(scenario.describe())")
        scenario.network.run(for: .seconds(8))
        #expect(scenario.carriesTraffic(3), "\(scenario.describe())")
    }

    @Test func bytesAndPacketsBringANewSession() {
        for (bytes, packets) in [(100_000, nil), (nil, 700)] as [(UInt64?, UInt64?)] {
            let scenario = busy(73) {
                $0.rekeyBytes = bytes
                $0.rekeyPackets = packets
            }
            #expect(scenario.connect(within: .seconds(5)))
            var flow = Flow()
            for _ in 0..<300 {
                flow.send(scenario)
                scenario.network.run(for: .milliseconds(20))
            }
            #expect(scenario.alice.establishedSessions.count == 1, "600 packets are 60,000 bytes")
            for _ in 0..<300 {
                flow.send(scenario)
                scenario.network.run(for: .milliseconds(20))
            }
            scenario.network.run(for: .seconds(3))
            #expect(scenario.alice.establishedSessions.count == 2, "\(scenario.describe())")
            #expect(scenario.alice.establishedSessions.last?.role == .initiator)
            #expect(flow.faults(scenario) == (0, 0))
        }
    }

    /// The keys of a replaced session are gone once its grace is over, at both ends.
    @Test func oldSessionsAreWiped() {
        let scenario = busy(74)
        #expect(scenario.connect(within: .seconds(5)))
        #expect(scenario.carriesTraffic())
        weak let one = scenario.alice.sendingSession(of: 0)
        weak let other = scenario.bob.sendingSession(of: 0)
        scenario.network.renew(0, at: scenario.alice)
        scenario.network.run(for: .seconds(2))
        #expect(one != nil && other != nil, "in their grace")
        #expect(scenario.carriesTraffic(2))
        scenario.network.run(for: .seconds(6))
        #expect(one == nil && other == nil)
        #expect(scenario.carriesTraffic(3))
    }

    /// A peer that does not answer is called for 90 s at a time, with pauses, and the session goes on meanwhile.
    @Test func aRenewalThatFailsLeavesTheSession() {
        let scenario = busy(75) {
            $0.rekeyThreshold = .seconds(100)
            $0.rekeyInterval = .seconds(1000)
        }
        #expect(scenario.connect(within: .seconds(5)))
        scenario.network.intervene = { [.s0, .s1].contains($0.type) ? .drop : .pass }
        for tag in 1...40 as ClosedRange<UInt8> {
            #expect(scenario.carriesTraffic(tag))
            scenario.network.run(for: .seconds(10))
        }
        let begun = scenario.alice.events.count { if case .handshakeStarted = $0.event { true } else { false } }
        #expect((2...5).contains(begun), "\(begun)")
        scenario.network.intervene = nil
        scenario.network.run(for: .seconds(200))
        #expect(scenario.alice.establishedSessions.count >= 2)
        #expect(scenario.carriesTraffic(99))
    }

    // MARK: - Many sessions

    /// A thousand sessions that one node made at once are renewed over their whole window: no second has more than twice the mean
    /// of jobs, and no session is lost.
    @Test func aThousandSessionsAreRenewedInTurn() {
        let network = VirtualNetwork(seed: 76)
        network.isCapturing = false
        let count = 1000
        let identities = (0...count).map { RehearsalIdentity(seed: 7600 + UInt64($0)) }
        func endpoint(_ number: Int) -> Endpoint { Endpoint(v4: 0x0A00_0000 + UInt32(number), port: 9000) }
        func host(_ number: Int, knows others: [Int], calls: Bool) -> VirtualHost {
            let parameters = NodeParameters(
                offers: Offers(hasAESHardware: true), mtu: 1436,
                trust: TrustPolicy(trustsOnFirstUse: false, isStrict: false), descriptor: [], handshakesPerMinute: 0,
                maximumJobs: 200, rekeyThreshold: .seconds(1800), rekeyInterval: .seconds(3600), unixSeconds: 0)
            return VirtualHost(
                name: "\(number)", endpoint: endpoint(number), identity: identities[number],
                cryptography: RehearsalCryptography(seed: UInt64(number)), parameters: parameters,
                pins: others.map {
                    PinnedPeer(keys: identities[$0].publicKeys, name: "\($0)", origin: .operatorAdded)
                },
                peers: others.map {
                    PeerConfiguration(
                        name: "\($0)", peerID: identities[$0].publicKeys.peerID, endpoint: calls ? endpoint($0) : nil,
                        allowedIPs: [IPPrefix(containing: IPAddress(v4: 0x0A4D_0000 + UInt32($0)), length: 32)])
                }, now: network.now)
        }
        for number in 1...count { network.attach(host(number, knows: [0], calls: false)) }
        let hub = host(0, knows: Array(1...count), calls: true)
        network.attach(hub)
        network.run(for: .seconds(60))
        #expect(hub.footprint.sessions == count)
        let before = hub.jobsBySecond
        network.run(for: .seconds(1990))
        #expect(hub.establishedSessions.count == 2 * count, "each was renewed once")
        #expect(hub.footprint.sessions == count)
        let renewals = hub.jobsBySecond.filter { before[$0.key] == nil }
        let total = renewals.values.reduce(0, +)
        // The window is 360 s wide, ± 10 % of 1800 s.
        let mean = Double(total) / 360
        let most = renewals.values.max() ?? 0
        #expect(total >= 2 * count && Double(most) <= 2 * mean, "at most \(most) in a second, \(mean) in the mean")
        #expect(!hub.events.contains { if case .handshakeTimedOut = $0.event { true } else { false } })
    }

    @Test func theCalendarFillsEvenly() {
        var calendar = RenewalCalendar()
        var random = SeededRandom(seed: 77)
        let now = Instant.origin + .seconds(100)
        var load: [Instant: Int] = [:]
        for _ in 0..<1000 {
            let time = calendar.plan(
                from: now + .seconds(10), to: now + .seconds(109), random: random.next(), now: now)
            #expect(time >= now + .seconds(10) && time <= now + .seconds(109))
            load[time, default: 0] += 1
        }
        #expect(load.count == 100 && load.values.allSatisfy { $0 == 10 })
        // What is cancelled is given out again before anything else.
        let free = now + .seconds(50)
        calendar.cancel(free)
        #expect(calendar.plan(from: now + .seconds(10), to: now + .seconds(109), random: 3, now: now) == free)
        // A window of less than a second, and one of hours.
        let soon = Instant(nanoseconds: 100_400_000_000)
        let short = calendar.plan(from: soon, to: soon + .milliseconds(300), random: 9, now: now)
        #expect(short == Instant(nanoseconds: 101_000_000_000), "never before the window")
        for _ in 0..<10_000 {
            let time = calendar.plan(from: now, to: now + .seconds(20_000), random: random.next(), now: now)
            #expect(time >= now && time <= now + .seconds(20_000))
        }
        // Seconds that went by are forgotten in the end.
        for second in 0..<50_000 {
            let later = now + .seconds(second)
            _ = calendar.plan(from: later + .seconds(1), to: later + .seconds(2), random: 0, now: later)
        }
        #expect(calendar.count <= Limits.calendarSeconds)
    }
}
