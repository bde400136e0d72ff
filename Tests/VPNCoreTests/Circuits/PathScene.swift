// SPDX-License-Identifier: Apache-2.0
// A circuit that goes by several paths to one exit (§9), one of which can be taken away or held up: what tests of such
// paths begin with.
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

/// A client that knows eleven relays by their descriptors, with a circuit of three hops to exit 5.
final class PathScene {
    let scene: ChoiceScenario
    let number: OwnCircuit.Number
    private let paths: Int

    var network: VirtualNetwork { scene.network }
    var client: VirtualHost { scene.client }
    var exit: VirtualHost { scene.relays[4] }
    var circuit: OwnCircuit? { client.machine.circuits.all[number] }
    /// The path that the session with the exit was made on, and those beside it.
    var first: CircuitPath? { circuit?.current.flatMap { path($0) } }
    var sides: [CircuitPath] { (circuit?.sides ?? []).compactMap { path($0) } }

    init(seed: UInt64, paths: Int) throws {
        scene = try ChoiceScenario(seed: seed, count: 11, exits: [5])
        self.paths = paths
        let request = CircuitRequest(
            name: "home", hops: [], allowedIPs: [ChoiceScenario.behind],
            wish: PathWish(hops: 3, exit: DirectoryScene.id(5)), quilt: CircuitQuilt(paths: paths))
        number = try scene.network.build(request, at: scene.client)
    }

    func path(_ number: CircuitPath.Number) -> CircuitPath? { client.machine.circuits.paths[number] }

    func relay(_ id: PeerID) -> VirtualHost? { scene.relays.first { $0.identity.publicKeys.peerID == id } }

    private func up(_ host: VirtualHost, _ slot: PeerSlot?) -> Int {
        guard let slot, let quilt = host.quilt(of: slot, now: network.now) else { return 0 }
        return quilt.patches.count { $0.state == .up }
    }

    /// Runs until all paths carry, at both ends.
    func connect() -> Bool {
        network.run(for: .seconds(90)) {
            up(client, circuit?.destination) == paths && up(exit, exit.guests.last) == paths
        }
    }

    /// The relay between guard and exit leaves circuits alone from now on: both ends of the path hear of it.
    func cut(_ path: CircuitPath) {
        guard let middle = relay(path.hops[1]) else { return }
        network.enableRelay(nil, of: middle)
    }

    /// Runs until the path that is to replace the first one speaks with the exit, whose jobs take so long from then on.
    func meetSlowly(_ duration: TimeSpan) -> Bool {
        let isMet = network.run(for: .seconds(10)) {
            circuit?.successor.flatMap { path($0) }?.machine.stage == .greeting(hop: 2)
        }
        exit.jobDuration = duration
        return isMet
    }

    /// Paths that were lost, and how long it is until the next attempt.
    var lost: [(hop: Int, failure: CircuitFailure, pause: TimeSpan)] {
        client.circuitEvents.compactMap {
            if case .pathLost(_, _, let hop, let failure, let pause) = $0 { (hop, failure, pause) } else { nil }
        }
    }

    var replaced: Int { client.circuitEvents.count { if case .replaced = $0 { true } else { false } } }

    func describe() -> String {
        "\(client.circuitEvents) \(client.controlDrops.nonZero) exit \(exit.footprint) \(exit.controlDrops.nonZero)"
    }
}
