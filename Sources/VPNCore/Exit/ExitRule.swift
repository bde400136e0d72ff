// SPDX-License-Identifier: Apache-2.0
// One rule of an exit policy (§8) as a value, and its text both ways. What rules mean together is ExitPolicy's.

/// `accept|reject [tcp/|udp/|icmp/]CIDR|*|*4|*6|private|self[:ports]`.
public struct ExitRule: Hashable, Sendable {
    public enum Verdict: String, Sendable {
        case accept, reject
    }

    /// What has a name in a rule. All else needs a rule without one. `icmp` is ICMPv6 towards IPv6.
    public enum Transport: String, Sendable, CaseIterable {
        case tcp, udp, icmp
    }

    public enum Target: Hashable, Sendable {
        /// `*`, and one family of it.
        case any, anyIPv4, anyIPv6
        /// `private`: `SpecialNetworks.ownNetworks`.
        case ownNetworks
        /// `self`: every address of this host.
        case host
        case network(IPPrefix)
    }

    public var verdict: Verdict
    /// nil: any protocol; with ports TCP and UDP.
    public var transport: Transport?
    public var target: Target
    /// In order, without overlaps; empty: all of them.
    public var ports: [ClosedRange<UInt16>]

    public init(
        _ verdict: Verdict, _ transport: Transport? = nil, to target: Target, ports: [ClosedRange<UInt16>] = []
    ) {
        self.verdict = verdict
        self.transport = transport
        self.target = target
        self.ports = ports
    }
}

extension ExitRule: CustomStringConvertible {
    /// The canonical text: what `init` makes an equal rule of.
    public var description: String {
        var text = "\(verdict.rawValue) " + (transport.map { "\($0.rawValue)/" } ?? "")
        switch target {
        case .any: text += "*"
        case .anyIPv4: text += "*4"
        case .anyIPv6: text += "*6"
        case .ownNetworks: text += "private"
        case .host: text += "self"
        case .network(let network): text += network.family == .v4 ? "\(network)" : "[\(network)]"
        }
        if !ports.isEmpty { text += ":" + ports.map(ExitRule.text).joined(separator: ",") }
        return text
    }

    private static func text(_ range: ClosedRange<UInt16>) -> String {
        range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound)-\(range.upperBound)"
    }
}

extension ExitRule {
    /// What is wrong with a rule, and what to write instead.
    struct Problem: Error {
        let text: String
        init(_ text: String) { self.text = text }
    }

    /// Reads a rule; whoever calls says which one it was.
    init(_ text: some StringProtocol) throws(Problem) {
        let words = String(text).split(whereSeparator: \.isWhitespace)
        guard words.count == 2 else {
            throw Problem(
                "write 'accept' or 'reject', a space, and to what, without spaces: 'accept tcp/*:80,443'")
        }
        guard let verdict = Verdict(rawValue: String(words[0])) else {
            throw Problem("'\(words[0])' is neither 'accept' nor 'reject'")
        }
        self.init(verdict, to: .any)
        let place = try takeTransport(words[1])
        let ports = try takeTarget(place)
        guard let ports else { return }
        self.ports = try ExitRule.ports(ports)
        if transport == .icmp, !self.ports.isEmpty {
            throw Problem("icmp has no ports; write '\(words[0]) icmp/\(place.dropLast(ports.count + 1))'")
        }
    }

    /// Takes "tcp/" and its like from the front; the rest.
    private mutating func takeTransport(_ text: Substring) throws(Problem) -> Substring {
        guard let slash = text.firstIndex(of: "/"), text[..<slash].allSatisfy(\.isLetter) else { return text }
        guard let transport = Transport(rawValue: String(text[..<slash])) else {
            throw Problem(
                "'\(text[..<slash])' is no protocol that has a name here (tcp, udp, icmp); "
                    + "without one a rule is about all protocols")
        }
        self.transport = transport
        return text[text.index(after: slash)...]
    }

    /// Takes what the rule is about; the text of its ports, if it has any.
    private mutating func takeTarget(_ text: Substring) throws(Problem) -> Substring? {
        if text.first == "[" {
            guard let end = text.firstIndex(of: "]") else { throw Problem("'\(text)' has no closing bracket") }
            let network = try ExitRule.network(text[text.index(after: text.startIndex)..<end])
            guard network.family == .v6 else {
                throw Problem("brackets are for IPv6; write '\(network)\(text[text.index(after: end)...])'")
            }
            target = ExitRule.target(network)
            let rest = text[text.index(after: end)...]
            guard !rest.isEmpty else { return nil }
            guard rest.first == ":" else {
                throw Problem(
                    "behind ']' comes nothing, or ':' and ports; the prefix length goes inside: '[fd00::/8]:443'")
            }
            return rest.dropFirst()
        }
        if text.count(where: { $0 == ":" }) > 1 {
            target = ExitRule.target(try ExitRule.bareIPv6(text))
            return nil
        }
        let colon = text.firstIndex(of: ":")
        let address = text[..<(colon ?? text.endIndex)]
        switch address {
        case "*": target = .any
        case "*4": target = .anyIPv4
        case "*6": target = .anyIPv6
        case "private": target = .ownNetworks
        case "self": target = .host
        default: target = ExitRule.target(try ExitRule.network(address))
        }
        return colon.map { text[text.index(after: $0)...] }
    }

    /// IPv6 without brackets cannot have ports, and without a length nobody could tell an address from one with a port.
    private static func bareIPv6(_ text: Substring) throws(Problem) -> IPPrefix {
        guard let slash = text.firstIndex(of: "/") else {
            throw Problem("IPv6 goes into brackets, before ports: '[\(text)]' or '[\(text)]:443'")
        }
        let length = text[text.index(after: slash)...]
        if let colon = length.firstIndex(of: ":") {
            throw Problem(
                "IPv6 with ports goes into brackets: '[\(text[..<colon])]\(length[colon...])'")
        }
        return try network(text)
    }

    private static func network(_ text: Substring) throws(Problem) -> IPPrefix {
        let network: IPPrefix
        do throws(IPPrefixError) {
            network = try IPPrefix(text)
        } catch {
            switch error {
            case .malformed:
                throw Problem(
                    "'\(text)' is no network such as 192.0.2.0/24 or [2001:db8::/32], and none of the words "
                        + "*, *4, *6, private and self")
            case .length: throw Problem("'\(text)' has no valid prefix length (IPv4: 0-32, IPv6: 0-128)")
            case .hostBits(_, let suggestion):
                throw Problem("'\(text)' has bits set behind its length; write '\(suggestion)'")
            }
        }
        if SpecialNetworks.mapped.contains(network.address) {
            // No shorter one: all of these have a bit set at 96.
            let inner = IPPrefix(
                containing: IPAddress(v4: UInt32(truncatingIfNeeded: network.address.value)),
                length: network.length - 96)
            throw Problem("'\(text)' is IPv4; write '\(inner)'")
        }
        return network
    }

    /// A network of length 0 is its family.
    private static func target(_ network: IPPrefix) -> Target {
        network.length > 0 ? .network(network) : network.family == .v4 ? .anyIPv4 : .anyIPv6
    }

    /// "80", "80,443", "1-1023,8080"; "*" is all of them.
    private static func ports(_ text: Substring) throws(Problem) -> [ClosedRange<UInt16>] {
        if text == "*" { return [] }
        var ranges: [ClosedRange<UInt16>] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let ends = part.split(separator: "-", omittingEmptySubsequences: false)
            guard let first = ends.first, ends.count <= 2 else { throw Problem("'\(part)' is no range of ports") }
            let lower = try port(first)
            let upper = try port(ends.last ?? first)
            guard lower <= upper else { throw Problem("'\(part)' is reversed; write '\(upper)-\(lower)'") }
            ranges.append(lower...upper)
        }
        let merged = merge(ranges)
        guard merged.count <= Limits.exitPortRanges else {
            throw Problem("more than \(Limits.exitPortRanges) ranges of ports; divide it into several rules")
        }
        return merged
    }

    private static func port(_ text: Substring) throws(Problem) -> UInt16 {
        guard !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            throw Problem("'\(text)' is no port; ports are '443', '80,443', '1024-65535' or '*'")
        }
        guard let number = UInt16(text), number > 0 else {
            throw Problem("'\(text)' is no port; ports are 1 to 65535")
        }
        return number
    }

    private static func merge(_ ranges: [ClosedRange<UInt16>]) -> [ClosedRange<UInt16>] {
        var merged: [ClosedRange<UInt16>] = []
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = merged.last, Int(range.lowerBound) <= Int(last.upperBound) + 1 {
                merged[merged.count - 1] = last.lowerBound...max(last.upperBound, range.upperBound)
            } else {
                merged.append(range)
            }
        }
        return merged
    }
}
