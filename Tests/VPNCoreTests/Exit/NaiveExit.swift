// SPDX-License-Identifier: Apache-2.0
// An exit's policy in the simplest words, on plain arrays: what the quick one is held against. It shares with it the values of rules
// and the list of special networks, and no other line.

@testable import VPNCore

struct NaiveExit {
    var policy: ExitPolicy
    var surroundings: ExitSurroundings
    var isHomeward: Bool
    /// First fragments that were let through.
    var letThrough: [[UInt8]] = []

    enum Outcome: Equatable { case accept, refuse, unreadable }

    /// What a packet says of its transport.
    struct Transport: Equatable {
        /// "tcp", "udp", "echo", "error", "signal", "later", or a number.
        var name: String
        var source = 0
        var destination = 0
        var quoted: [UInt8] = []
        /// What fragments of it have in common.
        var mark: [UInt8] = []
    }

    func allows(_ name: String, _ address: IPAddress, _ port: Int) -> Bool {
        if SpecialNetworks.mapped.contains(address) { return false }
        let isOwn = surroundings.addresses.contains(address)
        if isOwn, name == "udp", port == Int(surroundings.port) { return false }
        if !isOwn, surroundings.closed.contains(where: { $0.length > 0 && $0.contains(address) }) { return false }
        let apart = SpecialNetworks.all + surroundings.links
        let isSpecial = apart.contains { $0.contains(address) }
        for rule in policy.rules {
            if let transport = rule.transport {
                guard transport.rawValue == (name == "echo" ? "icmp" : name) else { continue }
            }
            if !rule.ports.isEmpty {
                guard name == "tcp" || name == "udp", rule.ports.contains(where: { $0.contains(UInt16(port)) }) else {
                    continue
                }
            }
            let isThere: Bool
            let isNamed: Bool
            switch rule.target {
            case .any: (isThere, isNamed) = (true, false)
            case .anyIPv4: (isThere, isNamed) = (address.family == .v4, false)
            case .anyIPv6: (isThere, isNamed) = (address.family == .v6, false)
            case .host: (isThere, isNamed) = (isOwn, true)
            case .ownNetworks:
                isThere = SpecialNetworks.ownNetworks.contains { $0.contains(address) }
                isNamed = !isOwn
            case .network(let network):
                isThere = network.contains(address)
                isNamed =
                    !isOwn
                    && apart.contains { $0.contains(network.address) && network.length >= $0.length }
            }
            guard isThere else { continue }
            if rule.verdict == .reject { return false }
            if (isOwn || isSpecial) && !isNamed { continue }
            return true
        }
        return false
    }

    static func addresses(_ packet: [UInt8]) -> (source: IPAddress, destination: IPAddress)? {
        guard packet.count >= 20 else { return nil }
        if packet[0] >> 4 == 4 {
            return (IPAddress(bytes: Array(packet[12..<16]))!, IPAddress(bytes: Array(packet[16..<20]))!)
        }
        guard packet[0] >> 4 == 6, packet.count >= 40 else { return nil }
        return (IPAddress(bytes: Array(packet[8..<24]))!, IPAddress(bytes: Array(packet[24..<40]))!)
    }

    static func number(_ bytes: ArraySlice<UInt8>) -> Int { bytes.reduce(0) { $0 << 8 | Int($1) } }

    /// nil: unreadable.
    static func transport(_ packet: [UInt8], isQuoted: Bool) -> Transport? {
        let isV4 = packet[0] >> 4 == 4
        var protocolNumber: UInt8
        var rest: [UInt8]
        var mark: [UInt8] = []
        var isLater = false
        if isV4 {
            let header = Int(packet[0] % 16) * 4
            guard header >= 20, packet.count >= header else { return nil }
            var options = Array(packet[20..<header])
            while let kind = options.first, kind != 0 {
                if kind == 1 {
                    options.removeFirst()
                } else {
                    guard kind != 131, kind != 137, options.count >= 2, options[1] >= 2, options.count >= options[1]
                    else { return nil }
                    options.removeFirst(Int(options[1]))
                }
            }
            protocolNumber = packet[9]
            rest = Array(packet[header...])
            let (more, offset) = (packet[6] & 0x20 != 0, number(packet[6..<8]) & 0x1FFF)
            if more || offset > 0 { mark = [4] + packet[4..<6] + packet[12..<20] + [protocolNumber] }
            isLater = offset > 0
        } else {
            protocolNumber = packet[6]
            rest = Array(packet[40...])
            var seen: [UInt8] = []
            while [0, 43, 44, 51, 60].contains(protocolNumber) {
                guard protocolNumber != 43, protocolNumber != 0 || seen.isEmpty else { return nil }
                seen.append(protocolNumber)
                guard seen.count <= 8, rest.count >= 8 else { return nil }
                let size = protocolNumber == 44 ? 8 : protocolNumber == 51 ? Int(rest[1]) * 4 + 8 : Int(rest[1]) * 8 + 8
                guard rest.count >= size else { return nil }
                if protocolNumber == 44 {
                    guard mark.isEmpty else { return nil }
                    let (offset, more) = (number(rest[2..<4]) >> 3, rest[3] & 1 == 1)
                    if offset > 0 || more { mark = [6] + rest[4..<8] + packet[8..<40] }
                    isLater = offset > 0
                }
                protocolNumber = rest[0]
                rest.removeFirst(size)
                if isLater { break }
            }
        }
        if isLater { return Transport(name: "later", mark: mark) }
        switch protocolNumber {
        case 6, 17:
            guard rest.count >= (protocolNumber == 6 && !isQuoted ? 20 : 8) else { return nil }
            return Transport(
                name: protocolNumber == 6 ? "tcp" : "udp", source: number(rest[0..<2]),
                destination: number(rest[2..<4]),
                mark: mark)
        case isV4 ? 1 : 58:
            guard rest.count >= 8 else { return nil }
            if (isV4 ? [0, 8] : [128, 129]).contains(rest[0]) { return Transport(name: "echo", mark: mark) }
            guard (isV4 ? [3, 11, 12] : [1, 2, 3, 4]).contains(rest[0]) else {
                return Transport(name: "signal", mark: mark)
            }
            return mark.isEmpty ? Transport(name: "error", quoted: Array(rest[8...])) : nil
        default: return Transport(name: "\(protocolNumber)", mark: mark)
        }
    }

    /// All packets are of one moment.
    mutating func judge(_ packet: [UInt8]) -> Outcome {
        guard let (source, destination) = NaiveExit.addresses(packet) else { return .unreadable }
        let isV4 = packet[0] >> 4 == 4
        guard
            isV4
                ? NaiveExit.number(packet[2..<4]) == packet.count : NaiveExit.number(packet[4..<6]) + 40 == packet.count
        else { return .unreadable }
        guard let transport = NaiveExit.transport(packet, isQuoted: false) else { return .unreadable }
        switch transport.name {
        case "later": return letThrough.contains(transport.mark) ? .accept : .unreadable
        case "signal": return .refuse
        case "error":
            let quoted = transport.quoted
            guard let about = NaiveExit.addresses(quoted), about.source.family == source.family,
                let inner = NaiveExit.transport(quoted, isQuoted: true),
                !["later", "signal", "error"].contains(inner.name)
            else { return .unreadable }
            if isHomeward {
                return about.source == destination && allows(inner.name, about.destination, inner.destination)
                    ? .accept : .refuse
            }
            return about.destination == source && about.source == destination
                && allows(inner.name, about.source, inner.source) ? .accept : .refuse
        default:
            let isAllowed =
                isHomeward
                ? allows(transport.name, source, transport.source)
                : allows(transport.name, destination, transport.destination)
            if isAllowed, !transport.mark.isEmpty { letThrough.append(transport.mark) }
            return isAllowed ? .accept : .refuse
        }
    }
}
