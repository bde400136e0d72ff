// SPDX-License-Identifier: Apache-2.0
// D20: whatever comes, no decoder traps, no state grows, nothing is amplified. A seeded stand-in for the fuzzers, in CI.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct RandomInputTests {
    /// Noise of every type and many lengths, at a node that has a handshake and a session under way.
    @Test func noiseAtARunningNode() {
        let scenario = Scenario(seed: 61)
        #expect(scenario.connect())
        scenario.network.isCapturing = false
        let before = (scenario.bob.footprint, scenario.bob.establishedSessions.count)
        var random = SeededRandom(seed: 61)
        let types = DatagramType.allCases
        for round in 0..<60_000 {
            var bytes = random.bytes(Int(random.fraction(of: round % 3 == 0 ? 140 : 1400)))
            if bytes.count >= 16 {
                bytes[0] = round % 50 == 0 ? bytes[0] : 1
                bytes[1] = types[Int(random.next() % UInt64(types.count))].rawValue
                bytes[2] = UInt8((bytes.count - 16) >> 8)
                bytes[3] = UInt8((bytes.count - 16) & 0xFF)
            }
            scenario.network.inject(
                VirtualDatagram(
                    bytes: bytes, source: Endpoint(v4: UInt32(truncatingIfNeeded: random.next()), port: 5),
                    destination: Scenario.bobEndpoint))
            if round % 500 == 0 { scenario.network.run(for: .milliseconds(20)) }
        }
        scenario.network.run(for: .milliseconds(100))
        #expect(scenario.bob.footprint == before.0 && scenario.bob.establishedSessions.count == before.1)
        #expect(scenario.carriesTraffic())
    }

    /// Real datagrams with a few bytes changed, from the address of the peer itself.
    @Test func mutationsOfARealConversation() {
        let scenario = Scenario(seed: 62)
        #expect(scenario.connect())
        #expect(scenario.carriesTraffic())
        let recorded = scenario.network.capture.map(\.datagram)
        scenario.network.isCapturing = false
        let sessions = (scenario.alice.establishedSessions.count, scenario.bob.establishedSessions.count)
        let delivered = (scenario.alice.delivered.count, scenario.bob.delivered.count)
        var random = SeededRandom(seed: 62)
        for round in 0..<40_000 {
            var datagram = recorded[Int(random.next() % UInt64(recorded.count))]
            for _ in 0...random.fraction(of: 3) {
                let place = Int(random.next() % UInt64(datagram.bytes.count))
                datagram.bytes[place] = UInt8(truncatingIfNeeded: random.next())
            }
            if round % 7 == 0 { datagram.bytes.removeLast(Int(random.fraction(of: 20))) }
            scenario.network.inject(datagram)
            if round % 500 == 0 { scenario.network.run(for: .milliseconds(25)) }
        }
        scenario.network.run(for: .milliseconds(100))
        #expect(scenario.alice.establishedSessions.count == sessions.0)
        #expect(scenario.bob.establishedSessions.count == sessions.1)
        #expect(scenario.alice.delivered.count == delivered.0 && scenario.bob.delivered.count == delivered.1)
        #expect(scenario.carriesTraffic(9))
    }

    @Test func everyDecoderOnEveryLength() {
        var random = SeededRandom(seed: 63)
        for length in 16...1300 {
            let bytes = random.bytes(length)
            _ = S0Message(bytes)
            _ = RetryMessage(bytes)
            _ = S1Fragment(bytes)
            _ = S2Fragment(bytes)
            _ = InfoRequest(bytes)
            _ = InfoResponse(bytes)
            _ = KeepaliveMessage(bytes)
        }
        let cryptography = RehearsalCryptography(seed: 63)
        for length in stride(from: 0, to: 14_000, by: 17) {
            let bytes = random.bytes(length)
            _ = S1Message(bytes)
            _ = S2Message(bytes)
            _ = S1Payload.decode(bytes)
            _ = S2Payload.decode(bytes)
            _ = try? Descriptor(decoding: bytes, using: cryptography)
        }
        for size in [S1Message.briefSize, S1Message.fullSize, S2Message.size] {
            for _ in 0..<200 {
                var bytes = random.bytes(size)
                bytes.replaceSubrange(0..<4, with: [1, 1, 1, 0])
                _ = S1Message(bytes)
                _ = S2Message(bytes)
            }
        }
    }
}
