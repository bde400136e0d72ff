// SPDX-License-Identifier: Apache-2.0
// A client and three relays under any list of operations: no packet comes twice or spoilt, what relays keep stays bounded, and when
// the network is well again a circuit carries again.
import VPNCrypto
import VPNTesting

@testable import VPNCore

enum CircuitNodesProperty {
    static func check(_ input: inout FuzzInput) throws {
        let shape = input.byte()
        var policy = RelayPolicy()
        policy.circuitsPerClient = 6
        policy.guests = 8
        let scenario = CircuitScenario(seed: UInt64(shape & 15), relays: 3, policy: policy)
        scenario.network.isCapturing = false
        scenario.network.run(for: .seconds(2))
        var run = Run(scenario: scenario)
        for _ in 0..<40 where !input.isEmpty { try run.step(&input) }
        try run.settle()
    }

    private struct Run {
        let scenario: CircuitScenario
        var circuits: [Int] = []
        var number: UInt32 = 0
        var seen = 0

        private static let ways = [[1, 2], [1, 2, 3], [1, 3], [1, 3, 2]]

        mutating func step(_ input: inout FuzzInput) throws {
            let kind = input.byte()
            let network = scenario.network
            switch kind & 15 {
            case 0, 1:
                let name = "c\(circuits.count)"
                guard circuits.count < 6,
                    let number = try? scenario.build(
                        Self.ways[Int(kind >> 4 & 3)], name: name, behind: Self.behind(circuits.count))
                else { return }
                circuits.append(number)
            case 2: if let number = pick(kind) { network.replaceCircuit(number, at: scenario.client) }
            case 3: if let number = pick(kind) { network.closeCircuit(number, at: scenario.client) }
            case 4, 5, 6: network.run(for: .milliseconds(Int(input.byte()) * (kind & 0x40 == 0 ? 4 : 100)))
            case 7: network.conditions = NodeRun.conditions(kind, input.byte())
            case 8: scenario.restart(1 + Int(kind >> 4) % 3)
            case 9:
                let relay = scenario.relays[Int(kind >> 4) % 3]
                if relay.isStopped { network.resume(relay) } else { network.suspend(relay) }
            case 10: try tamper(kind, input.byte())
            case 11:
                for relay in scenario.relays {
                    for guest in relay.guests.suffix(2) {
                        _ = network.assign([CircuitScenario.inner], to: guest, at: relay)
                    }
                }
            case 12, 13: send(kind)
            default: say(&input)
            }
            try look()
        }

        private static func behind(_ number: Int) -> IPPrefix {
            IPPrefix(containing: IPAddress(v4: 0x0A63_0009 + UInt32(number) << 8), length: 32)
        }

        private func pick(_ kind: UInt8) -> Int? {
            circuits.isEmpty ? nil : circuits[Int(kind >> 4) % circuits.count]
        }

        private mutating func send(_ kind: UInt8) {
            number += 1
            var packet = CircuitScenario.packet(
                from: 0x0A4D_0001, to: 0x0A63_0009 + UInt32(kind >> 4 & 3) << 8, tag: kind, count: 200)
            for place in 0..<4 { packet[28 + place] = UInt8(truncatingIfNeeded: number >> UInt32(24 - 8 * place)) }
            scenario.network.sendInner(packet, from: scenario.client)
        }

        /// A relay that loses, repeats or changes what passes it.
        private func tamper(_ kind: UInt8, _ change: UInt8) throws {
            let relay = scenario.relays[Int(kind >> 4) % 3]
            switch change & 3 {
            case 0: relay.tamper = nil
            case 1: relay.tamper = { _ in [] }
            case 2: relay.tamper = { [$0, $0] }
            default:
                relay.tamper = { payload in
                    guard payload.count > 4 else { return [payload] }
                    var payload = payload
                    payload[4 + Int(change) % (payload.count - 4)] ^= change
                    return [payload]
                }
            }
        }

        /// What hostile ends say: any frame but inner packets, with any content.
        private func say(_ input: inout FuzzInput) {
            let kind = input.byte()
            let types: [FrameType] = [.extend, .extended, .relay, .end, .directory, .close, .probe, .pathChallenge]
            let host = kind & 8 == 0 ? scenario.client : scenario.relays[Int(kind >> 4) % 3]
            let slots = host.snapshot(now: scenario.network.now).map(\.slot)
            guard let slot = slots.isEmpty ? nil : slots[Int(kind >> 6) % slots.count] else { return }
            scenario.network.say(types[Int(kind & 7)], input.take(Int(input.byte() & 63)), to: slot, from: host)
        }

        private mutating func look() throws {
            let all = [scenario.client] + scenario.relays
            for host in all {
                let size = host.footprint
                try FuzzFinding.unless(
                    size.peers <= 64 && size.sessions <= 128 && size.relayed <= 24 && size.guests <= 8
                        && size.circuits <= 8 && size.paths <= 24 && size.inboundHandshakes <= 1200 && size.jobs <= 200,
                    "\(host.name) keeps \(size)")
                var numbers: Set<UInt32> = []
                for packet in host.delivered {
                    let number = packet[28..<32].reduce(0) { $0 << 8 | UInt32($1) }
                    let isWhole = packet.count == 200 && packet[32...].allSatisfy { $0 == packet[32] }
                    try FuzzFinding.unless(
                        isWhole && number <= self.number && numbers.insert(number).inserted,
                        "\(host.name) got a packet twice or spoilt: \(packet.prefix(40))")
                }
            }
        }

        mutating func settle() throws {
            let network = scenario.network
            network.conditions = LinkConditions()
            for relay in scenario.relays {
                relay.tamper = nil
                if relay.isStopped { network.resume(relay) }
            }
            for number in circuits { network.closeCircuit(number, at: scenario.client) }
            // Until relays have forgotten what a killed one left, and the longest pause of a link is over.
            network.run(for: .seconds(240))
            try look()
            for _ in 0..<8 {
                guard let number = try? scenario.connect([1, 2, 3]) else {
                    throw FuzzFinding("no circuit: \(scenario.describe())")
                }
                let isThere = scenario.isReady(number) && scenario.carriesTraffic(to: 3, attempts: 3, count: 64)
                if isThere { return }
                network.closeCircuit(number, at: scenario.client)
                network.run(for: .seconds(30))
            }
            throw FuzzFinding("no circuit carries: \(scenario.describe())")
        }
    }
}
