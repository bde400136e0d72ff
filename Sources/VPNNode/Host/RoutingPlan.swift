// SPDX-License-Identifier: Apache-2.0
// The rules that lead packets into the tunnel's own routing table, and those that lead around it, as commands. The routes in
// that table are the daemon's, which has the interface: they come with it, go with it, and follow a reload.
internal import VPNCore

/// Policy routing of one tunnel.
struct RoutingPlan: Hashable, Sendable {
    /// Of the outer datagrams; the table has the same number.
    var mark: UInt32
    /// Go by the main table, its default route included.
    var excluded: [IPPrefix]
    /// Go by the main table's routes that are no default route.
    var lan: [IPPrefix]
    var families: [IPAddress.Family]

    private static func flag(_ family: IPAddress.Family) -> String { family == .v4 ? "-4" : "-6" }

    /// In the order in which they are made. The rule that leads into the tunnel is the last one: no packet that is to go
    /// around it goes in for a moment.
    var steps: [HostStep] {
        families.flatMap { family in
            let around =
                Self.once(excluded, family)
                .map { step(family, HostNumbers.excludedPriority, ["to", "\($0)", "lookup", "main"]) }
                + Self.once(lan, family).map {
                    step(
                        family, HostNumbers.lanPriority,
                        ["to", "\($0)", "lookup", "main", "suppress_prefixlength", "0"])
                }
            let into = ["not", "fwmark", "0x" + String(mark, radix: 16), "lookup", "\(mark)"]
            return around + [step(family, HostNumbers.tunnelPriority, into)]
        }
    }

    /// The kernel refuses a rule that it has.
    private static func once(_ networks: [IPPrefix], _ family: IPAddress.Family) -> [IPPrefix] {
        var seen: Set<IPPrefix> = []
        return networks.filter { $0.family == family && seen.insert($0).inserted }
    }

    /// To a name server of the tunnel's, before all that goes around it: questions for names and nothing else. An exit may name any
    /// address, the router of this network as well.
    static func ways(to server: IPAddress, mark: UInt32) -> [HostStep] {
        [("udp", 53), ("tcp", 53), ("tcp", 853), ("udp", 853)].map { transport, port in
            // What has a mark is the tunnel's own, or somebody's who knows where it is to go. `not` would turn "to" round as well.
            let selector = [
                "to", "\(server)", "fwmark", "0x0/0xffffffff", "ipproto", transport, "dport", "\(port)", "lookup",
                "\(mark)",
            ]
            return step(
                server.family, HostNumbers.namesPriority, selector,
                title: "rule of a name server \(server), \(transport) \(port)", isRepeated: true)
        }
    }

    private func step(_ family: IPAddress.Family, _ priority: Int, _ selector: [String]) -> HostStep {
        Self.step(family, priority, selector, title: "rule \(Self.flag(family)) \(priority)")
    }

    private static func step(
        _ family: IPAddress.Family, _ priority: Int, _ selector: [String], title: String,
        isRepeated: Bool = false
    ) -> HostStep {
        func command(_ verb: String, gone: [String] = []) -> HostCommand {
            HostCommand("ip", [flag(family), "rule", verb, "pref", "\(priority)"] + selector, gone: gone)
        }
        return HostStep(
            title,
            .commands(
                apply: [command("add", gone: isRepeated ? ["File exists"] : [])],
                revert: [command("del", gone: ["No such file or directory"])]))
    }

    /// With `rp_filter` = 1 the kernel drops answers of peers whose address it would route into the tunnel, unless they carry
    /// the mark of what they answer and it goes by marks: `src_valid_mark`, and a table that remembers them.
    var strictFilterSteps: [HostStep] {
        // Another tunnel's has another mark.
        let table = "inet \(HostNumbers.marksTable)\(String(mark, radix: 16))"
        let mark = "0x" + String(mark, radix: 16)
        let text = """
            table \(table)
            delete table \(table)
            table \(table) {
              chain remember {
                type filter hook postrouting priority mangle; policy accept;
                meta l4proto udp meta mark \(mark) ct mark set meta mark
              }
              chain restore {
                type filter hook prerouting priority mangle; policy accept;
                meta l4proto udp ct mark \(mark) meta mark set ct mark
              }
            }

            """
        return [
            HostStep(
                "marks of answers",
                .commands(
                    apply: [HostCommand("nft", ["-f", "-"], input: text)],
                    revert: [HostCommand("nft", ["-f", "-"], input: "table \(table)\ndelete table \(table)\n")])),
            HostStep("src_valid_mark", .setting("/proc/sys/net/ipv4/conf/all/src_valid_mark", "1")),
        ]
    }
}
