// SPDX-License-Identifier: Apache-2.0
// Whole handshakes on the virtual network: good paths, bad paths, and what an eavesdropper sees.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct HandshakeTests {
    @Test(arguments: Primitives.allCases)
    func twoNodesConnectAndCarryTraffic(_ primitives: Primitives) throws {
        let scenario = Scenario(seed: 1, primitives: primitives)
        #expect(scenario.connect(within: .seconds(5)), "\(scenario.describe())")
        #expect(scenario.carriesTraffic())
        let made = try #require(scenario.alice.establishedSessions.first)
        let answered = try #require(scenario.bob.establishedSessions.first)
        #expect(made.sessionID == answered.sessionID)
        #expect(made.handshake == answered.handshake)
        #expect(made.role == .initiator && answered.role == .responder)
        #expect(made.peer == scenario.bob.identity.publicKeys.peerID)
        #expect(answered.peer == scenario.alice.identity.publicKeys.peerID)
        #expect(made.cipher == .aes256GCM)
        // §5: seven fragments each way; headers of 80 and 40 bytes, all datagrams of one size.
        #expect(made.s1Bytes == 7 * 1232 && made.s2Bytes == 7 * 1232)
        #expect(answered.s1Bytes == made.s1Bytes && answered.s2Bytes == made.s2Bytes)
    }

    @Test func onlyTwoEndsWithoutAESHardwareUseChaCha() throws {
        for (alice, bob, cipher) in [
            (true, true, PacketCipher.aes256GCM), (true, false, .aes256GCM), (false, true, .aes256GCM),
            (false, false, .chaCha20Poly1305),
        ] {
            var aliceOptions = NodeOptions()
            aliceOptions.hasAESHardware = alice
            var bobOptions = Scenario.answering
            bobOptions.hasAESHardware = bob
            let scenario = Scenario(seed: 2, alice: aliceOptions, bob: bobOptions)
            #expect(scenario.connect(within: .seconds(5)))
            #expect(scenario.alice.establishedSessions.first?.cipher == cipher)
            #expect(scenario.carriesTraffic())
        }
    }

    @Test func eachSingleFragmentLostInTurnCostsOneRepeat() {
        for type in [DatagramType.s1, .s2] {
            for index in 0..<7 {
                var lost = false
                let scenario = Scenario(seed: 3) { datagram in
                    guard !lost, datagram.type == type, datagram.bytes[16] == UInt8(index) else { return .pass }
                    lost = true
                    return .drop
                }
                #expect(scenario.connect(within: .seconds(1)), "\(type) fragment \(index): \(scenario.describe())")
                #expect(lost)
                #expect(scenario.alice.establishedSessions.count == 1 && scenario.bob.establishedSessions.count == 1)
            }
        }
    }

    @Test func s0AndRetryLostInTurn() {
        for type in [DatagramType.s0, .retry] {
            var lost = 0
            let scenario = Scenario(seed: 4) { datagram in
                guard lost < 3, datagram.type == type else { return .pass }
                lost += 1
                return .drop
            }
            #expect(scenario.connect(within: .seconds(4)), "\(scenario.describe())")
        }
    }

    /// H11: 0 to 40 % loss, with duplication and reordering.
    @Test(arguments: [0.0, 0.1, 0.2, 0.3, 0.4])
    func connectsThroughLoss(_ loss: Double) {
        let seeds: UInt64 = 1000
        var slow: [UInt64] = []
        for seed in 1...seeds {
            let scenario = Scenario(seed: seed &* 7919, conditions: lossy(loss))
            scenario.network.isCapturing = false
            if !scenario.connect(within: .seconds(10)) { slow.append(scenario.seed) }
            #expect(scenario.connect(within: .seconds(80)), "not within 90 s: \(scenario.describe())")
            scenario.network.conditions = LinkConditions()
            #expect(scenario.carriesTraffic(), "no traffic: \(scenario.describe())")
        }
        print("loss \(Int(loss * 100)) %: \(seeds) seeds, \(Int(seeds) - slow.count) within 10 s, all within 90 s")
        if loss <= 0.3 { #expect(slow.count * 10 <= Int(seeds), "too slow with \(loss): seeds \(slow)") }
    }

    @Test func fiftySeedsWithRealPrimitives() {
        for seed in 1...50 as ClosedRange<UInt64> {
            let scenario = Scenario(seed: seed, primitives: .real, conditions: lossy(Double(seed % 5) * 0.08))
            #expect(scenario.connect(within: .seconds(90)), "\(scenario.describe())")
            scenario.network.conditions = LinkConditions()
            #expect(scenario.carriesTraffic(), "\(scenario.describe())")
        }
    }

    private func lossy(_ loss: Double) -> LinkConditions {
        var conditions = LinkConditions(loss: loss, latency: .milliseconds(20))
        conditions.jitter = .milliseconds(15)
        conditions.duplication = 0.1
        conditions.reordering = 0.1
        return conditions
    }

    @Test(arguments: Primitives.allCases)
    func simultaneousOpenConverges(_ primitives: Primitives) {
        for seed in 1...(primitives == .real ? 50 : 300) as ClosedRange<UInt64> {
            var conditions = LinkConditions(loss: seed % 3 == 0 ? 0.2 : 0, latency: .milliseconds(Int(seed % 40)))
            conditions.jitter = .milliseconds(10)
            let scenario = Scenario(
                seed: seed, primitives: primitives, conditions: conditions, alice: NodeOptions(), bob: NodeOptions())
            #expect(scenario.connect(within: .seconds(90)), "\(scenario.describe())")
            scenario.network.run(for: .seconds(30))
            scenario.network.conditions = LinkConditions()
            #expect(scenario.carriesTraffic(), "\(scenario.describe())")
            // A late answer to an attempt that was given up waits 90 s for its first DATA, in vain.
            scenario.network.run(for: .seconds(100))
            // One session each, and the same one.
            #expect(scenario.alice.footprint.sessions == 1, "\(scenario.describe())")
            #expect(scenario.bob.footprint.sessions == 1, "\(scenario.describe())")
            #expect(scenario.carriesTraffic(2), "\(scenario.describe())")
        }
    }

    @Test(arguments: Primitives.allCases)
    func theEavesdropperSeesNoIdentityAndNoPayload(_ primitives: Primitives) {
        let scenario = Scenario(seed: 9, primitives: primitives)
        #expect(scenario.connect())
        #expect(scenario.carriesTraffic(0xA7))
        let secrets: [(String, [UInt8])] = [
            ("alice's peer_id", scenario.alice.identity.publicKeys.peerID.bytes),
            ("bob's peer_id", scenario.bob.identity.publicKeys.peerID.bytes),
            ("alice's brainpool key", Array(scenario.alice.identity.publicKeys.brainpool[1..<33])),
            ("alice's Ed25519 key", scenario.alice.identity.publicKeys.ed25519),
            ("alice's ML-DSA key", Array(scenario.alice.identity.publicKeys.mldsa[0..<32])),
            ("alice's ML-KEM key", Array(scenario.alice.identity.publicKeys.mlkem[0..<32])),
            ("bob's ML-KEM key", Array(scenario.bob.identity.publicKeys.mlkem[0..<32])),
            ("the inner packet", [UInt8](repeating: 0xA7, count: 16)), ("the keepalive", Array("KEEPALIVE".utf8)),
            ("a hexadecimal id", Array(scenario.alice.identity.publicKeys.peerID.hex.utf8)),
        ]
        #expect(scenario.network.capture.count >= 20)
        for (_, datagram) in scenario.network.capture {
            for (name, secret) in secrets {
                #expect(
                    !datagram.bytes.contains(sequence: secret),
                    "\(name) in clear in \(String(describing: datagram.type))")
            }
        }
        // The search itself works: the session's receiver indices do travel in clear.
        let index = [UInt8](bigEndian: scenario.alice.establishedSessions[0].handshake.value)
        #expect(scenario.network.capture.contains { $0.datagram.bytes.contains(sequence: index) })
    }

    @Test func noPathEverCarriesMoreBytesBackThanCame() {
        for seed in 1...50 as ClosedRange<UInt64> {
            let scenario = Scenario(seed: seed, conditions: lossy(0.3))
            var there = 0
            var back = 0
            scenario.network.intervene = { datagram in
                guard let type = datagram.type, !type.isData else { return .pass }
                if datagram.source == Scenario.aliceEndpoint {
                    there += datagram.bytes.count
                } else {
                    back += datagram.bytes.count
                }
                return .pass
            }
            scenario.connect()
            #expect(back <= there, "seed \(seed): \(back) bytes back for \(there)")
        }
    }

    @Test func aRestartedResponderIsFoundAgain() {
        let scenario = Scenario(seed: 11)
        #expect(scenario.connect())
        scenario.network.detach(scenario.bob)
        let reborn = Scenario.host(
            "bob", Scenario.bobEndpoint, scenario.bob.identity, peer: scenario.alice.identity,
            peerEndpoint: Scenario.aliceEndpoint, Scenario.answering, seed: 99, .rehearsal, now: scenario.network.now)
        scenario.network.attach(reborn)
        scenario.network.sendInner(Scenario.packet(from: 1, to: 2, tag: 5), from: scenario.alice)
        let isBack = scenario.network.run(for: .seconds(30)) { !reborn.confirmedSessions.isEmpty }
        #expect(isBack, "\(scenario.describe()) \(scenario.alice.events.suffix(6)) \(reborn.controlDrops.nonZero)")
        scenario.network.sendInner(Scenario.packet(from: 1, to: 2, tag: 6), from: scenario.alice)
        #expect(scenario.network.run(for: .seconds(2)) { !reborn.delivered.isEmpty })
    }

    @Test func theFirstPacketWaitsForTheSession() {
        let scenario = Scenario(seed: 12)
        let packet = Scenario.packet(from: 1, to: 2, tag: 3)
        scenario.network.sendInner(packet, from: scenario.alice)
        #expect(scenario.network.run(for: .seconds(5)) { scenario.bob.delivered.contains(packet) })
    }

    @Test func goodbyeEndsTheSessionAtBothEnds() {
        let scenario = Scenario(seed: 13)
        #expect(scenario.connect())
        scenario.network.shutDown(scenario.alice)
        scenario.network.run(for: .seconds(2))
        #expect(scenario.bob.footprint.sessions == 0)
        #expect(scenario.alice.footprint.sessions == 0 && scenario.alice.footprint.receiverIndices == 0)
    }

    @Test func aPeerThatSaidGoodbyeIsCalledAtOnceWhereThereIsTraffic() {
        let scenario = Scenario(seed: 17)
        #expect(scenario.connect())
        scenario.network.shutDown(scenario.bob)
        scenario.network.run(for: .seconds(1))
        scenario.network.detach(scenario.bob)
        // The same node, started anew: its secrets are others, so that no token of its last run is good.
        let identities = Scenario.identities(17, .rehearsal)
        let again = Scenario.host(
            "bob", Scenario.bobEndpoint, identities[1], peer: identities[0], peerEndpoint: Scenario.aliceEndpoint,
            Scenario.answering, seed: 4711, .rehearsal, now: scenario.network.now)
        scenario.network.attach(again)
        let packet = Scenario.packet(from: 1, to: 2, tag: 5)
        scenario.network.sendInner(packet, from: scenario.alice)
        #expect(scenario.network.run(for: .seconds(1)) { again.delivered.contains(packet) }, "\(scenario.describe())")
    }

    @Test func aPeerThatSaidGoodbyeIsCalledAgain() {
        let scenario = Scenario(seed: 16)
        #expect(scenario.connect())
        scenario.network.shutDown(scenario.bob)
        scenario.network.run(for: .seconds(2))
        #expect(scenario.alice.footprint.sessions == 0)
        let reborn = Scenario.host(
            "bob", Scenario.bobEndpoint, scenario.bob.identity, peer: scenario.alice.identity,
            peerEndpoint: Scenario.aliceEndpoint, Scenario.answering, seed: 98, .rehearsal, now: scenario.network.now)
        scenario.network.attach(reborn)
        // Nobody sends anything, and still they meet.
        #expect(scenario.network.run(for: .seconds(40)) { !reborn.confirmedSessions.isEmpty }, "\(scenario.describe())")
    }

    @Test func throughNATBothMappings() {
        for mapping in [VirtualNAT.Mapping.endpointIndependent, .endpointDependent] {
            var options = NodeOptions()
            options.keepaliveSeconds = 20
            let scenario = Scenario(seed: 14, alice: options, starting: false)
            scenario.network.attach(scenario.bob)
            let outside = Endpoint(v4: 0xC633_6407, port: 40_000)
            scenario.network.attach(
                scenario.alice, nat: VirtualNAT(mapping, publicEndpoint: outside, timeout: .seconds(30)))
            #expect(scenario.connect(within: .seconds(5)), "\(scenario.describe())")
            // D7: idle for ten minutes, held by keepalives.
            scenario.network.run(for: .seconds(600))
            scenario.network.sendInner(Scenario.packet(from: 2, to: 1, tag: 9), from: scenario.bob)
            #expect(scenario.network.run(for: .seconds(1)) { !scenario.alice.delivered.isEmpty }, "\(mapping)")
        }
    }

    @Test func keysAreRenewedWithoutLosingAPacket() {
        var options = NodeOptions()
        options.rekeyThreshold = .seconds(60)
        options.rekeyInterval = .seconds(120)
        let scenario = Scenario(seed: 15, alice: options)
        #expect(scenario.connect())
        var sent: [[UInt8]] = []
        for second in 0..<600 {
            let packet = Scenario.packet(from: 1, to: 2, tag: UInt8(second & 0xFF), count: 64 + second % 100)
            sent.append(packet)
            scenario.network.sendInner(packet, from: scenario.alice)
            scenario.network.run(for: .seconds(1))
        }
        scenario.network.run(for: .seconds(1))
        #expect(scenario.bob.delivered == sent)
        #expect(
            (8...12).contains(scenario.alice.establishedSessions.count), "\(scenario.alice.establishedSessions.count)")
        #expect(scenario.alice.footprint.sessions <= 2 && scenario.bob.footprint.sessions <= 2)
        #expect(
            Set(scenario.alice.establishedSessions.map(\.sessionID)).count == scenario.alice.establishedSessions.count)
    }
}

extension [UInt8] {
    func contains(sequence needle: [UInt8]) -> Bool {
        guard !needle.isEmpty, count >= needle.count else { return false }
        return indices.dropLast(needle.count - 1).contains { start in
            self[start] == needle[0] && Array(self[start..<start + needle.count]) == needle
        }
    }
}
