// SPDX-License-Identifier: Apache-2.0
// D18, H13: a responder that is asked for ten times the public-key work that it can do. Virtual processors: every job takes its
// time on one of two. A tenth of the reference machine's speed, with bounds to match, so that a run is short.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct OverloadTests {
    /// Ten times slower than measured: 4 ms to open an S1, 63 ms to answer it; so two processors answer 30 a second.
    private static let durations: [CryptoJob.Kind: TimeSpan] = [
        .openS1: .milliseconds(4), .composeS2: .milliseconds(63),
    ]
    private static let flooding = 300
    private static let maximumJobs = 20
    private static let seconds = 12

    private struct Outcome {
        var flooded = 0
        var genuine = 0
        var inTime = 0
        var mostSessions = 0
        var mostInbound = 0
        var mostJobs = 0
        var mostPeers = 0

        mutating func note(_ footprint: ControlFootprint) {
            mostSessions = max(mostSessions, footprint.sessions)
            mostInbound = max(mostInbound, footprint.inboundHandshakes)
            mostJobs = max(mostJobs, footprint.jobs)
            mostPeers = max(mostPeers, footprint.peers)
        }
    }

    private func responder(
        perMinute: Int, firstUse: Bool, knows genuine: [any IdentitySigner], _ network: VirtualNetwork
    ) -> VirtualHost {
        let parameters = NodeParameters(
            offers: Offers(hasAESHardware: true), mtu: 1436,
            trust: TrustPolicy(trustsOnFirstUse: firstUse, isStrict: false), descriptor: [],
            handshakesPerMinute: perMinute, maximumJobs: Self.maximumJobs, rekeyThreshold: .seconds(1800),
            rekeyInterval: .seconds(3600), unixSeconds: 1)
        let pins = genuine.enumerated().map {
            PinnedPeer(keys: $1.publicKeys, name: "genuine \($0)", origin: .operatorAdded)
        }
        let host = VirtualHost(
            name: "bob", endpoint: Scenario.bobEndpoint, identity: Scenario.identities(81, .rehearsal)[1],
            cryptography: RehearsalCryptography(seed: 2), parameters: parameters, pins: pins, now: network.now)
        host.processors = 2
        host.jobDurations = Self.durations
        return host
    }

    /// The flood runs from the first moment on; from the third second on three genuine callers a second begin. Whoever has a
    /// session that carried data within 5 s is in time.
    private func run(
        _ flood: inout Flood, perMinute: Int, firstUse: Bool, paysAfterOneSecond: Bool = false
    ) -> (Outcome, VirtualHost) {
        let network = VirtualNetwork(seed: 81)
        network.isCapturing = false
        let count = (Self.seconds - 2) * 3
        let identities = (0..<count).map { RehearsalIdentity(seed: 5000 + UInt64($0)) }
        let bob = responder(perMinute: perMinute, firstUse: firstUse, knows: identities, network)
        network.attach(bob)
        flood.collectCookies(network)
        var outcome = Outcome()
        var callers: [(host: VirtualHost, began: Instant)] = []
        var begun = 0
        for tick in 0..<(Self.seconds + 5) * 100 {
            if tick < Self.seconds * 100 {
                for _ in 0..<Self.flooding / 100 { flood.send(network) }
                outcome.flooded += Self.flooding / 100
            }
            if paysAfterOneSecond, tick == 100 { flood.collectCookies(network) }
            if tick >= 200, tick % 33 == 0, begun < count {
                let host = Scenario.host(
                    "alice", Endpoint(v4: 0x0C00_0000 | UInt32(begun) << 8, port: 9), identities[begun],
                    peer: bob.identity, peerEndpoint: Scenario.bobEndpoint, NodeOptions(), seed: UInt64(7000 + begun),
                    .rehearsal, now: network.now)
                begun += 1
                callers.append((host, network.now))
                network.attach(host)
            }
            network.run(for: .milliseconds(10))
            outcome.note(bob.footprint)
            callers.removeAll { caller in
                let isDone = !caller.host.confirmedSessions.isEmpty
                guard isDone || network.now.since(caller.began) > .seconds(5) else { return false }
                outcome.genuine += 1
                if isDone { outcome.inTime += 1 }
                network.detach(caller.host)
                return true
            }
        }
        #expect(outcome.genuine == count)
        return (outcome, bob)
    }

    private func judge(_ outcome: Outcome, _ bob: VirtualHost, _ what: String) {
        let share = Double(outcome.inTime) / Double(outcome.genuine)
        print("\(what): \(outcome.inTime) of \(outcome.genuine) in time, \(outcome), \(bob.controlDrops.nonZero)")
        #expect(share >= 0.95, "\(what): \(outcome) \(bob.controlDrops.nonZero)")
        // Flat: whatever comes, no table grows beyond its bound.
        #expect(outcome.mostJobs <= Self.maximumJobs, "\(what): \(outcome)")
        #expect(
            outcome.mostInbound <= Limits.reassemblies + 2 * Self.maximumJobs + 2 * Limits.answersKept,
            "\(what): \(outcome)")
        #expect(outcome.mostSessions <= Limits.strangers + 2 * outcome.genuine, "\(what): \(outcome)")
        #expect(outcome.mostPeers <= Limits.strangers + 2 * outcome.genuine, "\(what): \(outcome)")
    }

    /// One address, many ports: the rate sees to it, before any public-key work.
    @Test func oneAddressIsStoppedByItsRate() {
        var flood = Flood(sources: (0..<300).map { Endpoint(v4: 0x0B00_0001, port: 1000 + $0) })
        let (outcome, bob) = run(&flood, perMinute: 10, firstUse: true)
        judge(outcome, bob, "one address")
        #expect(outcome.inTime == outcome.genuine)
        #expect(bob.controlDrops[.handshakeRate] > UInt64(outcome.flooded) * 9 / 10)
        // Ten openings and ten answers for the flood, one of each for the others.
        #expect(bob.jobsRun <= 2 * (10 + outcome.genuine), "\(bob.jobsRun)")
    }

    /// Whoever has a thousand addresses, and cookies from quiet times, gives way to those who pay.
    @Test func hoardedCookiesGiveWay() {
        var flood = Flood(sources: (0..<1000).map { Endpoint(v4: 0x0B00_0000 | UInt32($0) << 8, port: 5) })
        let (outcome, bob) = run(&flood, perMinute: 60, firstUse: true)
        judge(outcome, bob, "hoarded cookies")
        // Most of them before any state, any hash, any MAC.
        #expect(bob.controlDrops[.unpaid] > 1000)
    }

    /// Attackers who pay what is asked give way to those who ask less often.
    @Test func payingAttackersGiveWayByTheirNumber() {
        var flood = Flood(sources: (0..<100).map { Endpoint(v4: 0x0B00_0000 | UInt32($0) << 8, port: 5) })
        let (outcome, bob) = run(&flood, perMinute: 0, firstUse: true, paysAfterOneSecond: true)
        judge(outcome, bob, "paying attackers")
        #expect(flood.paid > 0, "nobody was asked to pay")
        #expect(bob.controlDrops[.jobsFull] > 1000)
    }

    /// One /48: every message from a /64 of its own.
    @Test func aSiteCountsAsOne() {
        let sources = (0..<3700).map { Endpoint(high: 0x2001_0DB8_0007_0000 | UInt64($0), low: 1, port: 5) }
        var flood = Flood(sources: sources)
        let (outcome, bob) = run(&flood, perMinute: 10, firstUse: true)
        judge(outcome, bob, "one site")
    }

    /// Without first use strangers cost an opening only.
    @Test func strangersCostLittleWhereNobodyIsMet() {
        var flood = Flood(sources: (0..<1000).map { Endpoint(v4: 0x0B00_0000 | UInt32($0) << 8, port: 5) })
        let (outcome, bob) = run(&flood, perMinute: 60, firstUse: false)
        judge(outcome, bob, "no first use")
        #expect(outcome.mostSessions <= outcome.genuine)
    }

    @Test func theTableOfRatesIsBounded() {
        var rate = HandshakeRate(limit: 10)
        for number in 0..<100_000 as Range<UInt32> {
            let isAdmitted = rate.admit(
                .udp(Endpoint(v4: number &* 2_654_435_761, port: 1)), now: .origin + .microseconds(Int(number)))
            #expect(isAdmitted)
        }
        #expect(rate.count <= Limits.ratedPrefixes)
        // Whoever came last is remembered.
        let last = Carrier.udp(Endpoint(v4: 99_999 &* 2_654_435_761, port: 1))
        #expect(rate.load(of: last, now: .origin + .seconds(1)) == 1)
        #expect(rate.load(of: last, now: .origin + .seconds(70)) == 0)
    }

    @Test func theEleventhOfAPrefixOfIPv6() {
        var rate = HandshakeRate(limit: 10)
        func admit(_ high: UInt64, _ low: UInt64, at seconds: Int) -> Bool {
            rate.admit(.udp(Endpoint(high: high, low: low, port: 7)), now: .origin + .seconds(seconds))
        }
        for number in 0..<10 as Range<UInt64> { #expect(admit(0x2001_0DB8_0001_0001, number << 40, at: Int(number))) }
        #expect(!admit(0x2001_0DB8_0001_0001, 77, at: 30), "one /64")
        #expect(admit(0x2001_0DB8_0001_0002, 77, at: 30), "another /64 of the same /48")
        #expect(!admit(0x2001_0DB8_0001_0001, 77, at: 59))
        #expect(admit(0x2001_0DB8_0001_0001, 77, at: 60), "the first one's minute is over")
        #expect(!admit(0x2001_0DB8_0001_0001, 77, at: 60))
        rate.refund(.udp(Endpoint(high: 0x2001_0DB8_0001_0001, low: 5, port: 1)))
        #expect(admit(0x2001_0DB8_0001_0001, 77, at: 60), "what gave way does not count")
    }

    /// Where nobody runs a job, its place is free again and its S1 is heard when it is repeated.
    @Test func refusedJobsLeaveNothingBehind() {
        let run = Scenario(seed: 82)
        run.bob.refusesJobs = true
        run.network.run(for: .seconds(4))
        #expect(run.bob.controlDrops[.jobsFull] > 1 && run.bob.confirmedSessions.isEmpty)
        #expect(run.bob.footprint.jobs == 0 && run.bob.footprint.inboundHandshakes == 0)
        run.bob.refusesJobs = false
        #expect(run.connect(within: .seconds(5)), "\(run.describe())")
    }
}

/// Callers that mean no good: complete and authentic S1 messages of identities that nobody knows, each one new.
private struct Flood {
    private struct Source {
        var endpoint: Endpoint
        var index: UInt32
        var cookie: [UInt8] = []
        var solution: [UInt8] = []
    }

    private var sources: [Source]
    private var next = 0
    /// Cookies for which a puzzle had to be solved.
    private(set) var paid = 0
    private let cryptography = RehearsalCryptography(seed: 99)
    private let target = Scenario.identities(81, .rehearsal)[1].publicKeys

    init(sources endpoints: [Endpoint]) {
        sources = endpoints.enumerated().map { Source(endpoint: $1, index: UInt32($0 + 1)) }
    }

    /// S0 from every source, and what RETRY asks for.
    mutating func collectCookies(_ network: VirtualNetwork) {
        let mail = Mail()
        let offers = Offers(hasAESHardware: true)
        let nonce = [UInt8](repeating: 7, count: S0Message.nonceSize)
        let key = MAC1Key(responder: target.peerID)
        network.intervene = { datagram in
            guard datagram.type == .retry, datagram.source == Scenario.bobEndpoint else { return .pass }
            mail.retries[datagram.destination] = datagram.bytes
            return .pass
        }
        for source in sources {
            let s0 = S0Message(offers: offers, senderIndex: source.index, nonce: nonce).encoded(macKey: key)
            network.inject(VirtualDatagram(bytes: s0, source: source.endpoint, destination: Scenario.bobEndpoint))
        }
        network.run(for: .milliseconds(30))
        network.intervene = nil
        for place in sources.indices {
            let source = sources[place]
            let s0 = S0Message(offers: offers, senderIndex: source.index, nonce: nonce).encoded(macKey: key)
            guard let bytes = mail.retries[source.endpoint], let retry = RetryMessage(bytes),
                let cookie = retry.openCookie(answering: s0, sealingID: target.peerID.bytes)
            else { continue }
            sources[place].cookie = cookie
            sources[place].solution = Puzzle.solve(
                cookie: cookie, senderIndex: source.index, difficulty: cookie[1], from: 0)
            if cookie[1] > 0 { paid += 1 }
        }
    }

    private final class Mail {
        var retries: [Endpoint: [UInt8]] = [:]
    }

    /// All fragments of one S1, from the next source in turn.
    mutating func send(_ network: VirtualNetwork) {
        let source = sources[next % sources.count]
        let signer = RehearsalIdentity(seed: 9000 + UInt64(next))
        next += 1
        let work = S1Composition(
            signer: signer, responder: target, cookie: source.cookie, ciphers: 1, senderIndex: source.index,
            kind: .full,
            mtu: 1436, keepaliveSeconds: 0, puzzleSolution: source.solution)
        guard let composed = try? work.perform(cryptography).get(),
            let shape = FragmentShape.fitting(
                total: composed.message.count, datagram: Limits.handshakeDatagram, overhead: S1Fragment.overhead)
        else {
            Issue.record("no S1")
            return
        }
        for bytes in S1Fragment.datagrams(
            of: composed.message, shape: shape, senderIndex: source.index, cookie: source.cookie,
            puzzleSolution: source.solution, macKey: MAC1Key(responder: target.peerID))
        {
            network.inject(
                VirtualDatagram(bytes: bytes, source: source.endpoint, destination: Scenario.bobEndpoint))
        }
    }
}
