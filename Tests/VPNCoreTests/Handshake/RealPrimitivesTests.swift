// SPDX-License-Identifier: Apache-2.0
// Fifty seeds of everything that the stand-in is used for elsewhere, on the real primitives: what holds in rehearsal must
// hold in earnest.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct RealPrimitivesTests {
    private let seeds: ClosedRange<UInt64> = 1...50

    @Test func firstContactAndTraffic() {
        for seed in seeds {
            var caller = NodeOptions()
            caller.trust = TrustPolicy(trustsOnFirstUse: true, isStrict: seed % 2 == 0)
            caller.knowsPeer = false
            caller.namesPeer = seed % 3 == 0
            var answering = Scenario.answering
            answering.trust = TrustPolicy(trustsOnFirstUse: true, isStrict: false)
            answering.knowsPeer = false
            let scenario = Scenario(
                seed: seed, primitives: .real, conditions: LinkConditions(loss: Double(seed % 4) * 0.05), alice: caller,
                bob: answering)
            #expect(scenario.connect(within: .seconds(90)), "\(scenario.describe())")
            scenario.network.conditions = LinkConditions()
            #expect(scenario.carriesTraffic(), "\(scenario.describe())")
            scenario.network.run(for: .seconds(3))
            #expect(
                scenario.alice.remembered.count == 1 && scenario.bob.remembered.count == 1, "\(scenario.describe())")
        }
    }

    @Test func replayOfEverything() {
        for seed in seeds {
            let scenario = Scenario(seed: seed, primitives: .real)
            #expect(scenario.connect(within: .seconds(10)))
            #expect(scenario.carriesTraffic())
            let sessions = (scenario.alice.establishedSessions.count, scenario.bob.establishedSessions.count)
            let delivered = (scenario.alice.delivered.count, scenario.bob.delivered.count)
            for datagram in scenario.network.capture.map(\.datagram).shuffledBy(seed) {
                scenario.network.inject(datagram)
            }
            scenario.network.run(for: .seconds(3))
            #expect(scenario.alice.establishedSessions.count == sessions.0, "\(scenario.describe())")
            #expect(scenario.bob.establishedSessions.count == sessions.1, "\(scenario.describe())")
            #expect(scenario.alice.delivered.count == delivered.0 && scenario.bob.delivered.count == delivered.1)
        }
    }

    @Test func oneSpoiltByteOfTheHandshake() {
        for seed in seeds {
            let types: [DatagramType] = [.s0, .retry, .s1, .s2]
            let type = types[Int(seed % 4)]
            let scenario = Scenario(seed: seed, primitives: .real) { datagram in
                guard datagram.type == type, datagram.bytes.count < 200 || datagram.bytes[16] == UInt8(seed % 7) else {
                    return .pass
                }
                return .replace(datagram.bytes.flipping(Int(seed * 37) % datagram.bytes.count))
            }
            scenario.network.run(for: .seconds(12))
            #expect(scenario.alice.establishedSessions.isEmpty, "\(type) \(scenario.describe())")
            #expect(scenario.bob.confirmedSessions.isEmpty, "\(type) \(scenario.describe())")
        }
    }

    @Test func renewalUnderTraffic() {
        for seed in seeds {
            var options = NodeOptions()
            options.rekeyThreshold = .seconds(20)
            options.rekeyInterval = .seconds(60)
            let scenario = Scenario(seed: seed, primitives: .real, alice: options)
            #expect(scenario.connect(within: .seconds(5)))
            var sent: [[UInt8]] = []
            for step in 0..<100 {
                sent.append(Scenario.packet(from: 1, to: 2, tag: UInt8(step), count: 64 + Int(seed)))
                scenario.network.sendInner(sent[step], from: scenario.alice)
                scenario.network.run(for: .milliseconds(500))
            }
            scenario.network.run(for: .seconds(1))
            #expect(scenario.bob.delivered == sent, "\(scenario.describe())")
            #expect(scenario.alice.establishedSessions.count >= 3)
        }
    }
}
