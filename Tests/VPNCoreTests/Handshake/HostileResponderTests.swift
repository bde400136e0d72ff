// SPDX-License-Identifier: Apache-2.0
// What a responder that has the right keys can put into its S2, and what must not come of it.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

extension VirtualHost {
    /// Changes each S2 that this node composes.
    func composing(_ change: @escaping (inout S2Composition) -> Void) {
        alterJob = { job in
            guard case .composeS2(var work) = job.work else { return job }
            change(&work)
            return CryptoJob(id: job.id, work: .composeS2(work))
        }
    }
}

@Suite struct HostileResponderTests {
    private static func token(_ head: [UInt8]) -> [UInt8] { head + [UInt8](repeating: 9, count: 28) }

    @Test func tokensWithAPuzzleAreNone() {
        func usable(_ head: [UInt8]) -> Bool {
            S2Payload(
                token: Self.token(head), mtu: 1436, keepaliveSeconds: 0, lifetime: 3600,
                offers: Offers(hasAESHardware: true)
            ).usableToken != nil
        }
        #expect(usable([0x80, 0, 0, 0]) && usable([0xFF, 0, 0, 0]))
        for head: [UInt8] in [
            [0, 0, 0, 0], [0x7F, 0, 0, 0], [0x80, 1, 0, 0], [0x80, 255, 0, 0], [0x80, 0, 1, 0], [0x80, 0, 0, 1],
        ] {
            #expect(!usable(head), "\(head)")
        }
    }

    /// Whatever stands in a cookie, the work for it has an end.
    @Test func noPuzzleIsWithoutEnd() throws {
        let bench = Bench(.rehearsal)
        let composed = try S1Composition(
            signer: bench.initiator, responder: bench.responder.publicKeys, cookie: Self.token([0x80, 255, 0, 0]),
            ciphers: 1, senderIndex: 1, kind: .brief, mtu: 1436, keepaliveSeconds: 0, presharedKeyID: 0
        ).perform(bench.cryptography).get()
        #expect(composed.puzzleSolution.count == 8)
    }

    /// The caller renews its session as one that has no token.
    @Test func aTokenWithAPuzzleCostsItsReceiverNothing() {
        let scenario = Scenario(seed: 61)
        scenario.bob.composing { $0.token = Self.token([0x80, 255, 0, 0]) }
        #expect(scenario.connect())
        let before = scenario.network.capture.count { $0.datagram.type == .s0 }
        scenario.network.run(for: .seconds(2100))
        #expect(scenario.alice.establishedSessions.count == 2, "\(scenario.describe())")
        #expect(scenario.network.capture.count { $0.datagram.type == .s0 } > before)
        #expect(scenario.carriesTraffic())
    }

    /// A hop that lets its sessions end at once would have its client draw new relays without end.
    @Test func sessionsTooShortForACircuitAreRefused() throws {
        let scenario = CircuitScenario(seed: 62, relays: 3)
        scenario.relays[2].composing { $0.lifetimeSeconds = 4 }
        scenario.network.run(for: .seconds(5))
        let number = try scenario.build([1, 2, 3])
        let jobs = scenario.relays[1].jobsRun
        #expect(!scenario.network.run(for: .seconds(600)) { scenario.isReady(number) })
        #expect((1...20).contains(scenario.relays[1].jobsRun - jobs), "\(scenario.relays[1].jobsRun - jobs)")
        #expect(scenario.client.controlDrops[.handshakeRefused] > 0)
        scenario.relays[2].alterJob = nil
        let next = try scenario.build([1, 2, 3])
        #expect(scenario.network.run(for: .seconds(60)) { scenario.isReady(next) }, "\(scenario.describe())")
    }

    /// A relay whose own sessions are renewed every minute gives its guests what a circuit needs.
    @Test func guestsLiveAsLongAsCircuitsDo() throws {
        let scenario = CircuitScenario(seed: 63, relays: 3)
        var told: [UInt32] = []
        scenario.relays[2].composing { told.append($0.lifetimeSeconds) }
        _ = try scenario.connect([1, 2, 3])
        #expect(!told.isEmpty && told.allSatisfy { $0 >= UInt32(Limits.guestLifetime.seconds) }, "\(told)")
    }

    /// §6: NEED_FULL counts only under the key that S1 carried: nobody else has an initiator show its keys, or begin anew.
    @Test func whoCannotReadAnS1AsksForNoKeys() throws {
        let scenario = Scenario(seed: 78)
        let (network, alice) = (scenario.network, scenario.alice)
        func s1() -> [[UInt8]] { network.capture.filter { $0.datagram.type == .s1 }.map(\.datagram.bytes) }
        #expect(network.run(for: .seconds(5)) { !s1().isEmpty })
        let index = try #require(s1().first).u32(at: 20)
        for fill: UInt8 in [0, 0xA5] {
            let bytes = OuterHeader.bytes(
                .needFull, bodyLength: NeedFull.size - OuterHeader.size, receiverIndex: index, word: 0)
            network.inject(
                VirtualDatagram(
                    bytes: bytes + [UInt8](repeating: fill, count: NeedFull.size - OuterHeader.size),
                    source: Scenario.bobEndpoint, destination: Scenario.aliceEndpoint))
        }
        #expect(scenario.connect(within: .seconds(2)), "\(scenario.describe())")
        #expect(alice.controlDrops[.needFullUnexpected] == 2)
        #expect(s1().allSatisfy { $0.u16(at: 18) == S1Message.briefSize })
    }

    /// Whoever sees an S0 can answer it, as often as he likes: a few of his cookies are tried, each of which costs public-key work.
    @Test func fewOfManyRetriesAreFollowed() throws {
        let scenario = Scenario(seed: 79, starting: false)
        let (network, alice) = (scenario.network, scenario.alice)
        network.attach(alice)
        let s0 = try #require(network.capture.first { $0.datagram.type == .s0 }).datagram.bytes
        let before = alice.jobsRun
        for number: UInt8 in 0..<40 {
            let retry = RetryMessage.encoded(
                offers: Offers(hasAESHardware: true), cookie: [0, 0, 0, 0] + [UInt8](repeating: number, count: 28),
                salt: [UInt8](repeating: number, count: 16), answering: s0, senderIndex: s0.u32(at: 20),
                sealingID: scenario.bob.identity.publicKeys.peerID.bytes)
            for _ in 0..<2 {
                network.inject(
                    VirtualDatagram(bytes: retry, source: Scenario.bobEndpoint, destination: Scenario.aliceEndpoint))
            }
        }
        network.run(for: .seconds(1))
        #expect(alice.jobsRun - before == Limits.retriesKept, "\(scenario.describe())")
        #expect(alice.controlDrops[.retryUnexpected] == UInt64(80 - Limits.retriesKept))
    }
}
