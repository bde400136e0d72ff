// SPDX-License-Identifier: Apache-2.0
// Several paths through relays to one exit, used at once (§8, §9).
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct CircuitQuiltTests {
    private static let inner = IPPrefix(containing: IPAddress(v4: 0x0A4D_0001), length: 32)

    /// A client with a circuit of several paths to exit 5, which chooses them among relays 1 to 4, 7, 8 and 9.
    private final class Scene {
        let scenario: ChoiceScenario
        let number: Int
        private(set) var sent: UInt32 = 0

        var network: VirtualNetwork { scenario.network }
        var client: VirtualHost { scenario.client }
        var exit: VirtualHost { scenario.relays[4] }

        init(
            seed: UInt64, relays: Int = 9, paths: Int = 2, hops: Int = 3, scheduler: QuiltScheduler = .edpf,
            relaxed: Bool = false, padding: PaddingPolicy = .none
        ) throws {
            scenario = try ChoiceScenario(seed: seed, count: relays, exits: [5], padding: padding)
            let wish = PathWish(hops: hops, exit: scenario.relays[4].identity.publicKeys.peerID)
            let configuration = QuiltConfiguration(scheduler: scheduler, relaxesDisjointness: relaxed)
            number = try scenario.network.build(
                CircuitRequest(
                    name: "home", hops: [], allowedIPs: [ChoiceScenario.behind], wish: wish,
                    quilt: CircuitQuilt(configuration: configuration, paths: paths)),
                at: scenario.client)
        }

        var circuit: CircuitSnapshot? { client.circuits(now: network.now).first { $0.number == number } }

        func patchesUp() -> [PatchSnapshot] {
            guard let slot = circuit?.destination else { return [] }
            return client.quilt(of: slot, now: network.now)?.patches.filter { $0.state == .up } ?? []
        }

        /// Until so many paths carry, at both ends.
        func connect(_ count: Int, within limit: TimeSpan = .seconds(30)) -> Bool {
            let isThere = network.run(for: limit) {
                patchesUp().count == count
                    && exit.guests.contains { guest in
                        exit.quilt(of: guest, now: network.now)?.patches.filter { $0.state == .up }.count == count
                    }
            }
            guard isThere, let guest = exit.guests.last else { return false }
            return network.assign([CircuitQuiltTests.inner], to: guest, at: exit)
        }

        /// Numbered packets to what lies behind the exit, at an even pace, for a time.
        func load(perSecond: Int, for time: TimeSpan) {
            for _ in 0..<Int(Double(perSecond) * time.seconds) {
                var packet = CircuitScenario.packet(from: 0x0A4D_0001, to: 0x0A63_0009, tag: 7, count: 400)
                for place in 0..<4 { packet[28 + place] = UInt8(truncatingIfNeeded: sent >> UInt32(24 - 8 * place)) }
                sent += 1
                network.sendInner(packet, from: client)
                network.run(for: TimeSpan(nanoseconds: 1_000_000_000 / UInt64(perSecond)))
            }
        }

        var arrived: [UInt32] { QuiltScenario.numbers(exit) }

        /// The relays of the paths in use, without the exit.
        var relaysInUse: [[PeerID]] { (circuit?.paths ?? []).map { Array($0.dropLast()) } }

        func describe() -> String {
            let patches = patchesUp().map { "\($0.number): \($0.packetsSent)" }
            return "\(patches) \(circuit.map { "\($0.paths.map(\.count)) \($0.state)" } ?? "gone"); "
                + "\(client.circuitEvents); \(client.controlDrops.nonZero) \(client.dataPlaneDrops.nonZero) exit "
                + "\(exit.controlDrops.nonZero) \(exit.dataPlaneDrops.nonZero)"
        }
    }

    @Test(arguments: 2...4) func pathsShareTheirExitAlone(count: Int) throws {
        let scene = try Scene(seed: UInt64(count), paths: count, hops: count == 4 ? 2 : 3, scheduler: .weighted)
        #expect(scene.connect(count), "\(scene.describe())")
        let relays = scene.relaysInUse.flatMap { $0 }
        #expect(scene.relaysInUse.count == count && Set(relays).count == relays.count)
        scene.load(perSecond: 200, for: .seconds(2))
        scene.network.run(for: .seconds(1))
        #expect(scene.arrived == Array(0..<scene.sent), "\(scene.describe())")
        // Each of them carries.
        #expect(scene.patchesUp().allSatisfy { $0.packetsSent > 20 }, "\(scene.describe())")
        // And back.
        let back = CircuitScenario.packet(from: 0x0A63_0009, to: 0x0A4D_0001, tag: 3)
        scene.network.sendInner(back, from: scene.exit)
        #expect(scene.network.run(for: .seconds(1)) { scene.client.delivered.contains(back) })
        // One session, one guest: the further paths have no handshake with the exit.
        #expect(scene.exit.guests.count == 1)
    }

    /// Everything as long as may be, at every node: several paths come up and carry all the same.
    @Test func paddingKeepsToWhatCircuitsCarry() throws {
        let scene = try Scene(seed: 77, padding: .buckets([]))
        #expect(scene.connect(2), "\(scene.describe())")
        scene.load(perSecond: 50, for: .seconds(2))
        scene.network.run(for: .seconds(30))
        #expect(scene.arrived == Array(0..<scene.sent), "\(scene.describe())")
    }

    /// Any relay dies: packets go on within 0.6 s, in the same session, and soon by as many paths as before.
    @Test(arguments: 0..<4, 0..<3) func aRelayDies(which: Int, seed: Int) throws {
        let scene = try Scene(seed: 100 + UInt64(seed), paths: 2)
        #expect(scene.connect(2), "\(scene.describe())")
        scene.load(perSecond: 100, for: .seconds(2))
        let dead = scene.relaysInUse[which / 2][which % 2]
        let began = scene.exit.deliveredAt.count
        scene.scenario.detach(dead)
        scene.load(perSecond: 100, for: .seconds(5))
        scene.network.run(for: .seconds(1))
        let times = scene.exit.deliveredAt[(began - 1)...].map { $0 }
        let gap = zip(times, times.dropFirst()).map { $1.since($0) }.max() ?? .seconds(99)
        #expect(gap <= .milliseconds(600), "\(gap.seconds) s; \(scene.describe())")
        #expect(Set(scene.arrived).count == scene.arrived.count)
        // A guard that failed is waited for, half a minute at first, before another one is chosen.
        let isWhole = scene.network.run(for: .seconds(90)) {
            scene.patchesUp().count == 2 && !scene.relaysInUse.joined().contains(dead)
        }
        #expect(isWhole, "\(scene.describe())")
        let ended = scene.client.circuitEvents.contains { if case .failed = $0 { true } else { false } }
        #expect(!ended && scene.circuit != nil, "\(scene.describe())")
        scene.load(perSecond: 50, for: .seconds(1))
        scene.network.run(for: .seconds(1))
        #expect(scene.arrived.last == scene.sent - 1)
    }

    /// Paths live 8 to 12 minutes. Others are there before they end, and no packet is lost with them.
    @Test func pathsAreReplacedWhileTheyCarry() throws {
        let scene = try Scene(seed: 7, paths: 3, scheduler: .weighted)
        #expect(scene.connect(3), "\(scene.describe())")
        let before = Set(scene.relaysInUse.joined())
        scene.load(perSecond: 10, for: .seconds(30 * 60))
        scene.network.run(for: .seconds(1))
        #expect(Set(scene.arrived) == Set(0..<scene.sent), "\(Set(0..<scene.sent).subtracting(scene.arrived).count)")
        #expect(scene.arrived.count == Int(scene.sent))
        #expect(scene.patchesUp().count == 3 && scene.circuit?.paths.count == 3, "\(scene.describe())")
        // Guards stay, what is between may be others; nobody is in two paths.
        let relays = scene.relaysInUse.flatMap { $0 }
        #expect(Set(relays).count == relays.count && !before.isEmpty)
        let replaced = scene.client.circuitEvents.count { if case .replaced = $0 { true } else { false } }
        #expect(replaced >= 2, "\(scene.client.circuitEvents)")
    }

    /// Four relays and an exit make two paths of three hops. A third would share a relay: only where that is allowed.
    @Test func tooFewRelays() throws {
        let strict = try Scene(seed: 8, relays: 5, paths: 3)
        #expect(strict.connect(2), "\(strict.describe())")
        strict.network.run(for: .seconds(60))
        #expect(strict.patchesUp().count == 2 && strict.circuit?.isRelaxed == false)
        let relaxed = try Scene(seed: 8, relays: 5, paths: 3, relaxed: true)
        #expect(relaxed.connect(3), "\(relaxed.describe())")
        #expect(relaxed.circuit?.isRelaxed == true)
    }

    /// Somebody on the way ends each further path, or each first one, as soon as it is there: the next ones are built at once,
    /// after 1 s, and doubled each time, and the circuit goes on by the other.
    @Test(arguments: [true, false]) func pathsThatDoNotLastAreBuiltWithGrowingPauses(sides: Bool) throws {
        let scene = try Scene(seed: 11, paths: 2)
        #expect(scene.connect(2), "\(scene.describe())")
        for _ in 0..<1200 {
            let circuits = scene.client.machine.circuits
            for path in circuits.paths.values where path.isSide == sides && path.machine.stage == .ready {
                // The other one must carry, or all is lost.
                if sides || scene.patchesUp().count == 2 { scene.scenario.endByGuard(path) }
            }
            scene.network.run(for: .milliseconds(100))
        }
        let lost = scene.client.circuitEvents.count { if case .pathLost = $0 { true } else { false } }
        #expect((4...9).contains(lost), "\(lost): \(scene.describe())")
        #expect(scene.circuit != nil, "\(scene.describe())")
    }

    /// The exit itself dies: no path leads anywhere, and that is known within 3 s.
    @Test func theExitDies() throws {
        let scene = try Scene(seed: 9, paths: 2)
        #expect(scene.connect(2))
        scene.load(perSecond: 50, for: .seconds(1))
        scene.scenario.detach(scene.exit.identity.publicKeys.peerID)
        scene.load(perSecond: 50, for: .seconds(3))
        let ended = scene.client.circuitEvents.contains { if case .failed = $0 { true } else { false } }
        #expect(ended && scene.circuit == nil, "\(scene.describe())")
    }

    /// Closing leaves nothing: no path, no patch, no guest.
    @Test func closingLeavesNothing() throws {
        let scene = try Scene(seed: 10, paths: 3)
        #expect(scene.connect(3))
        #expect(scene.network.closeCircuit(scene.number, at: scene.client))
        scene.network.run(for: .seconds(2))
        #expect(scene.client.circuits(now: scene.network.now).isEmpty)
        #expect(scene.exit.footprint.guests == 0 && scene.client.footprint.paths == 0, "\(scene.describe())")
        for relay in scene.scenario.relays { #expect(relay.relaySnapshot.circuits == 0, "\(relay.name)") }
    }
}
