// SPDX-License-Identifier: Apache-2.0
// What an exit lets its guests reach (§8), as its operator wrote it: parsed once, refused where it is not certain, canonical. Pure;
// what decides about packets is made of it together with what the host knows of itself (ExitFence).

/// What is wrong with the text of a policy.
public struct ExitPolicyError: Error, Hashable, Sendable, CustomStringConvertible {
    /// From 1; 0 where it is about the whole.
    public let rule: Int
    public let text: String
    public let advice: String

    public var description: String { rule == 0 ? advice : "rule \(rule), '\(text)': \(advice)" }
}

/// Rules, the first that matches decides; behind them `reject *`.
///
/// No `accept` reaches an address of this host but `accept self`, nor a special network (`SpecialNetworks.all`), nor one that the host
/// is linked to, unless it names it: `private`, or a network that lies wholly in it. IPv4-mapped IPv6 is reached by nothing.
public struct ExitPolicy: Hashable, Sendable {
    private enum Form: Hashable {
        case allowAll, denyAll
        case list([ExitRule])
    }

    private let form: Form

    private init(_ form: Form) { self.form = form }

    /// Everything public but TCP port 25: a host that lets anonymous people send mail is on every block list within a day, and
    /// so is its address for everything else. Who wants it writes 'accept *'.
    public static let allowAll = ExitPolicy(.allowAll)
    /// No exit at all.
    public static let denyAll = ExitPolicy(.denyAll)

    /// No rule at all is `denyAll`.
    public init(_ rules: [ExitRule]) { form = rules.isEmpty ? .denyAll : .list(rules) }

    /// Reads "allow-all", "deny-all", or rules with ';' or a line's end between them.
    public init(text: String) throws(ExitPolicyError) {
        try self.init(texts: text.split { $0 == ";" || $0.isNewline }.map(String.init))
    }

    /// Reads a rule from each text; one alone may be "allow-all" or "deny-all".
    public init(texts: [String]) throws(ExitPolicyError) {
        guard texts.count <= Limits.exitRules else {
            throw ExitPolicyError(
                rule: 0, text: "",
                advice: "more than \(Limits.exitRules) rules; write larger networks or ranges of ports")
        }
        var rules: [ExitRule] = []
        for (place, text) in texts.enumerated() {
            let words = text.split(whereSeparator: \.isWhitespace)
            if words == ["allow-all"] || words == ["deny-all"] {
                guard texts.count == 1 else {
                    throw ExitPolicyError(
                        rule: place + 1, text: text,
                        advice: "stands alone; in a list write '\(words == ["allow-all"] ? "accept *" : "reject *")'")
                }
                self = words == ["allow-all"] ? .allowAll : .denyAll
                return
            }
            do throws(ExitRule.Problem) {
                rules.append(try ExitRule(text))
            } catch {
                throw ExitPolicyError(rule: place + 1, text: text, advice: error.text)
            }
        }
        self.init(rules)
    }

    /// Without the `reject *` behind them.
    public var rules: [ExitRule] {
        switch form {
        case .allowAll: [ExitRule(.reject, .tcp, to: .any, ports: [25...25]), ExitRule(.accept, to: .any)]
        case .denyAll: []
        case .list(let rules): rules
        }
    }

    public var isAllowAll: Bool { form == .allowAll }
    /// Whether anything can be reached at all: whether this is an exit.
    public var isOpen: Bool { rules.contains { $0.verdict == .accept } }
}

extension ExitPolicy: CustomStringConvertible {
    /// The canonical text, of which `init(text:)` makes an equal policy.
    public var description: String {
        switch form {
        case .allowAll: "allow-all"
        case .denyAll: "deny-all"
        case .list(let rules): rules.map(\.description).joined(separator: "; ")
        }
    }
}

/// What the host knows of itself, and what its guests may not see of it.
public struct ExitSurroundings: Hashable, Sendable {
    /// Every address of this host, public ones before a NAT included.
    public var addresses: [IPAddress]
    /// The daemon's own UDP port: closed on all of them, `accept self` or not, since a tunnel in itself has no end.
    public var port: UInt16
    /// Reached by no rule: the networks of leases, and those behind configured peers. A network of length 0 is the Internet and
    /// closes nothing.
    public var closed: [IPPrefix]
    /// Where this host's neighbours are, public addresses or not: reached as special networks are, by a rule that names them.
    public var links: [IPPrefix]

    public init(addresses: [IPAddress], port: UInt16, closed: [IPPrefix], links: [IPPrefix] = []) {
        self.addresses = addresses
        self.port = port
        self.closed = closed
        self.links = links
    }

    /// Whether a whole network is one that a rule must name: special, or a neighbourhood.
    public func isApart(_ network: IPPrefix) -> Bool {
        SpecialNetworks.contain(network)
            || links.contains { $0.length > 0 && $0.length <= network.length && $0.contains(network.address) }
    }
}
