// SPDX-License-Identifier: Apache-2.0
// Two nodes with several ways between them, each with conditions of its own: what tests of the quilt start with.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

/// Alice and Bob have an address in each of the networks 10.1.0.0/24, 10.2.0.0/24, …: way 1, 2, … .
final class QuiltScenario {
    let scenario: Scenario
    /// Of each way, both directions; way 1 is the first.
    var ways: [LinkConditions]
    /// Ways that swallow everything, in both directions, to Bob or to Alice, or what is longer than some size.
    var cut: Set<Int> = []
    var cutThere: Set<Int> = []
    var cutBack: Set<Int> = []
    var longestBytes: [Int: Int] = [:]

    var network: VirtualNetwork { scenario.network }
    var alice: VirtualHost { scenario.alice }
    var bob: VirtualHost { scenario.bob }

    static func endpoint(_ way: Int, _ host: UInt32) -> Endpoint {
        Endpoint(v4: 0x0A00_0000 | UInt32(way) << 16 | host, port: 9000)
    }

    init(
        seed: UInt64, ways: [LinkConditions], scheduler: QuiltScheduler = .edpf, primitives: Primitives = .rehearsal,
        configure: (inout NodeOptions, inout NodeOptions) -> Void = { _, _ in }
    ) {
        self.ways = ways
        var (a, b) = (NodeOptions(), Scenario.answering)
        a.quilt = QuiltConfiguration(
            scheduler: scheduler, ways: (2..<ways.count + 1).map { QuiltScenario.endpoint($0, 2) })
        b.quilt = QuiltConfiguration(scheduler: scheduler)
        configure(&a, &b)
        scenario = Scenario(
            seed: seed, primitives: primitives, alice: a, bob: b,
            endpoints: (QuiltScenario.endpoint(1, 1), QuiltScenario.endpoint(1, 2)), starting: false)
        let all = 1...ways.count
        alice.interfaces = all.map { QuiltScenario.endpoint($0, 1) }
        bob.interfaces = all.map { QuiltScenario.endpoint($0, 2) }
        network.path = { [unowned self] in self.ways[QuiltScenario.way($0) - 1] }
        network.intervene = { [unowned self] in self.intervene($0) }
        network.isCapturing = false
        network.attach(bob)
        network.attach(alice)
    }

    static func way(_ datagram: VirtualDatagram) -> Int { Int(datagram.destination.low >> 16 & 0xFF) }

    private func intervene(_ datagram: VirtualDatagram) -> VirtualNetwork.Intervention {
        let way = QuiltScenario.way(datagram)
        if cut.contains(way) { return .drop }
        if cutThere.contains(way), datagram.destination.low & 0xFF == 2 { return .drop }
        if cutBack.contains(way), datagram.destination.low & 0xFF == 1 { return .drop }
        if let longest = longestBytes[way], datagram.bytes.count > longest { return .drop }
        return .pass
    }

    /// Runs until both ends have all patches.
    func stitch(within limit: TimeSpan = .seconds(20)) -> Bool {
        network.run(for: limit) { self.patchesUp(alice) == ways.count && self.patchesUp(bob) == ways.count }
    }

    func patchesUp(_ host: VirtualHost) -> Int {
        host.quilt(of: 0, now: network.now)?.patches.filter { $0.state == .up }.count ?? 0
    }

    /// What a host knows of its patches, for a failing test.
    func summary(_ host: VirtualHost) -> String {
        guard let snapshot = host.quilt(of: 0, now: network.now) else { return "no quilt" }
        let patches = snapshot.patches.map { patch in
            "\(patch.number) \(patch.state) rtt \(patch.roundTrip?.seconds ?? 0) loss \(patch.lossPerMille) "
                + "rate \(patch.rate * 8 / 1000) kbit/s \(patch.isRateKnown) sent \(patch.packetsSent)"
        }
        return patches.joined(separator: ", ") + "; again \(snapshot.sentAgain)"
    }

    // MARK: - Traffic

    /// Which end sends all packets: Alice, who began the session, or Bob.
    enum Direction: String, CaseIterable, Sendable { case there, back }

    func sender(_ direction: Direction) -> VirtualHost { direction == .there ? alice : bob }
    func receiver(_ direction: Direction) -> VirtualHost { direction == .there ? bob : alice }

    private(set) var sent: UInt32 = 0

    /// Sends numbered packets of some length at an even rate, for a time.
    func load(
        megabits: Double, bytes: Int = 1200, for time: TimeSpan, from host: VirtualHost? = nil,
        while each: () -> Void = {}
    ) {
        let count = max(1, Int(megabits * 1e6 / 8 / Double(bytes) * time.seconds))
        let gap = TimeSpan(nanoseconds: time.nanoseconds / UInt64(count))
        for _ in 0..<count {
            sendNumbered(bytes, from: host)
            network.run(for: gap)
            each()
        }
    }

    func sendNumbered(_ bytes: Int = 1200, from host: VirtualHost? = nil) {
        let host = host ?? alice
        let isAlice = host === alice
        var packet = Scenario.packet(from: isAlice ? 1 : 2, to: isAlice ? 2 : 1, tag: 7, count: bytes)
        for place in 0..<4 { packet[28 + place] = UInt8(truncatingIfNeeded: sent >> UInt32(24 - 8 * place)) }
        sent += 1
        network.sendInner(packet, from: host)
    }

    /// The numbers of what came at a host, in the order of arrival.
    static func numbers(_ host: VirtualHost) -> [UInt32] {
        host.delivered.map { packet in (0..<4).reduce(0) { $0 << 8 | UInt32(packet[28 + $1]) } }
    }
}
