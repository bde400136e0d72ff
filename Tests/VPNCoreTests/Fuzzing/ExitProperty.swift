// SPDX-License-Identifier: Apache-2.0
// An exit's word on any packet under any policy is that of the naive one; texts of rules and leases that are understood are
// said again in the same way.

import VPNTesting

@testable import VPNCore

enum ExitProperty {
    static func check(_ input: inout FuzzInput) throws {
        switch input.byte() & 7 {
        case 0: try checkText(input.rest(upTo: 200))
        case 1: try checkLease(input.rest(upTo: 200))
        default: try checkPackets(&input)
        }
    }

    private static func checkText(_ bytes: [UInt8]) throws {
        guard let policy = try? ExitPolicy(text: String(decoding: bytes, as: UTF8.self)) else { return }
        let again = try? ExitPolicy(text: policy.description)
        try FuzzFinding.unless(again == policy && again?.description == policy.description, "'\(policy)' means another")
    }

    private static func checkLease(_ bytes: [UInt8]) throws {
        guard let message = ExitLeaseMessage(bytes) else { return }
        try FuzzFinding.unless(message.encoded == bytes, "\(bytes) is \(message)")
    }

    // MARK: - Packets

    private static func checkPackets(_ input: inout FuzzInput) throws {
        let policy = policy(&input)
        var surroundings = ExitSurroundings(
            addresses: (0..<input.number(below: 3)).map { _ in address(&input) }, port: 9000,
            closed: (0..<input.number(below: 3)).map { _ in network(&input) })
        let kind = input.byte()
        let isHomeward = kind & 1 == 1
        surroundings.links = (0..<Int(kind >> 6)).map { _ in network(&input) }
        var naive = NaiveExit(policy: policy, surroundings: surroundings, isHomeward: isHomeward)
        var gate = ExitGate(ExitFence(policy, surroundings), isHomeward ? .homeward : .outward)
        for _ in 0..<3 {
            let packet = packet(&input)
            var guarded = GuardedPacket(packet, front: Int(input.byte() & 7))
            let verdict = guarded.access { gate.judge($0, $1, now: .origin + .seconds(100)) }
            try FuzzFinding.unless(guarded.isGuardIntact && guarded.packet == packet, "the packet was changed")
            let outcome: NaiveExit.Outcome =
                switch verdict {
                case .accept: .accept
                case .refuse: .refuse
                case .unreadable: .unreadable
                }
            let expected = naive.judge(packet)
            try FuzzFinding.unless(
                outcome == expected,
                "\(outcome), not \(expected): \(packet), '\(policy)', \(surroundings), \(isHomeward)")
        }
    }

    private static func policy(_ input: inout FuzzInput) -> ExitPolicy {
        switch input.byte() & 7 {
        case 0: return .allowAll
        case 1: return .denyAll
        default: break
        }
        let rules = (0..<1 + input.number(below: 4)).map { _ in
            let kind = input.byte()
            let transport: ExitRule.Transport? = [nil, .tcp, .udp, .icmp][Int(kind >> 1 & 3)]
            let target: ExitRule.Target =
                switch kind >> 3 & 7 {
                case 0: .any
                case 1: .anyIPv4
                case 2: .anyIPv6
                case 3: .ownNetworks
                case 4: .host
                default: .network(network(&input))
                }
            var ports: [ClosedRange<UInt16>] = []
            if kind & 0xC0 == 0xC0, transport != .icmp {
                let (a, b) = (port(&input), port(&input))
                ports = [min(a, b)...max(a, b)]
            }
            return ExitRule(kind & 1 == 0 ? .accept : .reject, transport, to: target, ports: ports)
        }
        return ExitPolicy(rules)
    }

    private static func port(_ input: inout FuzzInput) -> UInt16 {
        let known: [UInt16] = [80, 443, 25, 9000, 1, 65535, 53]
        let choice = Int(input.byte() & 7)
        return choice < known.count ? known[choice] : max(1, input.word())
    }

    private static let known = [
        "1.1.1.1", "8.8.8.8", "10.0.0.1", "10.66.0.7", "127.0.0.1", "169.254.169.254", "192.168.1.1", "224.0.0.1",
        "255.255.255.255", "2606:4700::1", "fd66:7071::7", "::1", "fe80::1", "::ffff:1.1.1.1", "64:ff9b::a00:1",
        "2002:a00:1::1",
    ].map { IPAddress($0)! }

    private static func address(_ input: inout FuzzInput) -> IPAddress {
        let choice = input.byte()
        if choice & 0x60 != 0x60 { return known[Int(choice & 15)] }
        return choice & 1 == 0 ? IPAddress(v4: input.wide()) : IPAddress(bytes: input.take(16))!
    }

    private static func network(_ input: inout FuzzInput) -> IPPrefix {
        let address = address(&input)
        let length = 1 + Int(input.byte()) % address.family.bits
        return IPPrefix(containing: address, length: length)
    }

    private static func packet(_ input: inout FuzzInput) -> [UInt8] {
        let kind = input.byte()
        if kind & 0xF0 == 0xF0 { return input.rest(upTo: 120) }
        let (first, second) = (address(&input), address(&input))
        // Two addresses of one family.
        let (source, destination) = (first, second.family == first.family ? second : first)
        var body = Array(PacketModel.bytes(port(&input))) + PacketModel.bytes(port(&input))
        body += input.take(2) + [UInt8](repeating: 0, count: 14 + Int(kind & 3))
        var number: UInt8 = [6, 17, first.family == .v4 ? 1 : 58, 47][Int(kind >> 2 & 3)]
        if number == 1 || number == 58 {
            body[0] = [8, 3, 128, 1, 5, 11][input.number(below: 6)]
            if kind & 16 != 0 { body = Array(body[0..<8]) + raw(destination, source, 6, [0, 80, 1, 187, 0, 0, 0, 0]) }
            if kind & 32 != 0 { body = Array(body[0..<8]) + raw(source, destination, 17, [1, 187, 0, 53, 0, 8, 0, 0]) }
        } else if first.family == .v6 {
            // Extension headers, the last of which is next to the transport.
            for _ in 0..<Int(kind >> 4 & 3) * (kind & 64 != 0 ? 3 : 1) {
                let header: UInt8 = [0, 60, 44, 43, 51, 60, 60, 44][Int(input.byte() & 7)]
                body =
                    [number, 0] + PacketModel.bytes(header == 44 ? input.word() & 0x19 : 0) + [
                        0, 0, 0, input.byte() & 1,
                    ] + body
                number = header
            }
        }
        var packet = raw(source, destination, number, body)
        if first.family == .v4, kind & 0x40 != 0 {
            packet[6] = input.byte() & 0x21
            packet[5] = input.byte() & 1
        }
        if kind & 0x80 != 0 { input.damage(&packet) }
        return packet
    }

    /// An IP packet of the simplest kind.
    private static func raw(_ source: IPAddress, _ destination: IPAddress, _ number: UInt8, _ body: [UInt8]) -> [UInt8]
    {
        if source.family == .v4 {
            return [0x45, 0] + PacketModel.bytes(UInt16(20 + body.count)) + [0, 0, 0, 0, 64, number, 0, 0]
                + source.bytes
                + destination.bytes + body
        }
        return [0x60, 0, 0, 0] + PacketModel.bytes(UInt16(body.count)) + [number, 64] + source.bytes + destination.bytes
            + body
    }
}
