// SPDX-License-Identifier: Apache-2.0
// The table of an exit: nft takes it, and its rules say of every address, protocol and port what the core's fence says. What the
// kernel makes of it, packets in namespaces show (Namespaces/KernelTableTests).
import Foundation
import Glibc
import Testing

@testable import VPNCore
@testable import VPNNode

@Suite struct ExitTableTests {
    private static let surroundings = ExitSurroundings(
        addresses: ["127.0.0.1", "198.41.0.4", "10.1.0.5", "10.66.0.1", "2a00::5", "fd66:7071::1", "fe80::1"].map {
            IPAddress($0)!
        }, port: 9000,
        closed: ["10.66.0.0/16", "fd66:7071::/64", "10.77.0.0/24", "10.88.0.2/32", "0.0.0.0/0"].map {
            try! IPPrefix($0)
        },
        links: ["198.41.0.0/24", "8.8.0.0/16", "10.1.0.0/24", "2a00::/64"].map { try! IPPrefix($0) })

    private static func table(_ policy: String) throws -> ExitTable {
        ExitTable(
            policy: try ExitPolicy(text: policy), surroundings: surroundings, interface: "pqvpn0",
            networks: [try IPPrefix("10.66.0.0/16"), try IPPrefix("fd66:7071::/64")], masquerades: true,
            newConnectionsPerSecond: 50, connections: 2048)
    }

    static let policies = [
        "allow-all", "deny-all", "accept *", "accept tcp/*:80,443; accept udp/*:53,443; accept icmp/*",
        "reject private; accept 10.9.0.0/16; accept *", "accept 10.9.0.0/16; reject private; accept *:1-1023",
        "accept self:53,9000; accept *:443", "accept private; accept [fc00::/7]:22; accept *6",
        "accept 169.254.169.254:80; accept 8.0.0.0/5; reject *4",
        "accept [64:ff9b::/96]; accept [2000::/3]; reject udp/self",
        "reject tcp/[2606:4700::/32]:443; accept *; accept self", "accept *4; accept icmp/*6",
        "accept 8.8.8.0/24:53; accept [2a00::/64]; accept 198.0.0.0/8; accept *:80",
    ]

    @Test(arguments: policies) func nftTakesIt(policy: String) throws {
        guard let nft = HostTools(scratch: "/").find("nft"), geteuid() == 0 else {
            print("SKIPPED: nft as root, to look at an exit's table")
            return
        }
        let scratch = try Scratch()
        let path = scratch.file("table.nft")
        var table = try Self.table(policy)
        for change in 0..<3 {
            if change == 1 { (table.masquerades, table.connections, table.newConnectionsPerSecond) = (false, 0, 0) }
            if change == 2 { table.networks.removeLast() }
            try scratch.write(table.replacement, to: "table.nft")
            let outcome = try Program.launch(["/usr/bin/unshare", "-n", nft, "-c", "-f", path], in: scratch)
            #expect(outcome.status == 0, "\(policy): \(outcome.errors) \(table.text)")
        }
    }

    @Test func onlyOurOwnTableIsTouched() throws {
        let text = try Self.table("allow-all").replacement
        #expect(text.hasPrefix("table inet pqvpn_exit\ndelete table inet pqvpn_exit\ntable inet pqvpn_exit {\n"))
        #expect(text.ranges(of: "table ").count == 3 && !text.contains("flush"))
        #expect(ExitTable.removal == "table inet pqvpn_exit\ndelete table inet pqvpn_exit\n")
    }

    @Test func masqueradeIsAChoice() throws {
        var table = try Self.table("allow-all")
        #expect(table.text.contains("ip saddr @guests4 oifname != \"pqvpn0\" counter masquerade fully-random"))
        table.masquerades = false
        #expect(!table.text.contains("masquerade") && !table.text.contains("nat"))
    }

    // MARK: - Both fences

    @Test(arguments: policies) func theTableSaysWhatTheFenceSays(policy: String) throws {
        let table = try Self.table(policy)
        let fence = ExitFence(table.policy, Self.surroundings)
        let reader = try TableReader(table.text)
        var accepted = 0
        for text in [
            "1.1.1.1", "8.0.0.0", "8.7.255.255", "8.8.8.8", "8.8.9.9", "8.9.0.0", "198.41.1.0", "2a00:0:0:1::",
            "15.255.255.255", "10.9.0.1", "10.8.255.255", "10.1.0.5", "10.1.0.6", "198.41.0.4",
            "198.41.0.5", "10.66.0.1", "10.66.0.2", "10.77.0.9", "10.88.0.2", "10.88.0.3", "127.0.0.1", "127.0.0.2",
            "169.254.169.254", "169.254.0.1", "192.168.1.1", "172.31.255.255", "172.32.0.0", "100.64.0.1", "224.0.0.1",
            "255.255.255.255", "0.0.0.0", "2606:4700::1", "2607::1", "2a00::5", "2a00::6", "fd66:7071::1",
            "fd66:7071::2", "fd00::1", "fe80::1", "fe80::2", "::1", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1",
            "64:ff9b:1::1",
            "2002:a00:1::1", "2001::1", "2001:db8::1", "ff02::1", "3fff::1",
        ] {
            let address = try #require(IPAddress(text))
            for transport in [.tcp, .udp, .icmp, nil] as [ExitRule.Transport?] {
                for port in [22, 25, 53, 80, 443, 1023, 1024, 9000, 65535] as [UInt16] {
                    let expected = fence.allows(transport, address, port: port)
                    let said = try reader.allows(address, transport?.rawValue ?? "gre", Int(port))
                    #expect(said == expected, "\(policy): \(text) \(transport?.rawValue ?? "gre") \(port)")
                    accepted += expected ? 1 : 0
                }
            }
        }
        #expect((accepted > 0) == table.policy.isOpen)
    }

    // MARK: - The host

    @Test func addressesAreReadAsTheKernelWritesThem() {
        let trie = """
            Main:
              +-- 0.0.0.0/0 3 0 5
                 |-- 0.0.0.0
                    /0 universe UNICAST
                 +-- 10.0.0.0/24 2 0 2
                    |-- 10.0.0.0
                       /24 link UNICAST
                    |-- 10.0.0.7
                       /32 host LOCAL
                    |-- 10.0.0.255
                       /32 link BROADCAST
            Local:
                 |-- 127.0.0.1
                    /32 host LOCAL
            """
        #expect(HostAddresses.ipv4(trie).map(\.description) == ["10.0.0.7", "127.0.0.1"])
        let table = """
            00000000000000000000000000000001 01 80 10 80       lo
            fd660000000000000000000000000007 02 40 00 80     eth0
            nonsense 02
            """
        #expect(HostAddresses.ipv6(table).map(\.description) == ["::1", "fd66::7"])
        #expect(HostAddresses.current().contains(IPAddress("127.0.0.1")!))
    }

    @Test func linksAreReadAsTheKernelWritesThem() {
        // By rows: the default route, an uplink with its gateway, a network behind that, the link, a LAN, the tunnel, ppp's default and
        // half of one, a single host, and a network that is refused.
        let table = """
            Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
            eth0\t00000000\t010029C6\t0003\t0\t0\t0\t00000000\t0\t0\t0
            eth0\t00000208\t010029C6\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0
            eth0\t000029C6\t00000000\t0001\t0\t0\t100\t00FCFFFF\t0\t0\t0
            eth1\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
            pqvpn0\t00000309\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
            ppp0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0
            wg0\t00000080\t00000000\t0001\t0\t0\t0\t00000080\t0\t0\t0
            eth0\t01010101\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0
            *\t00000109\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
            """
        #expect(HostAddresses.links4(table, besides: "pqvpn0").map(\.description) == ["198.41.0.0/22"])
        func row(_ network: String, _ length: String, via: String = "::", _ flags: String, _ name: String) -> String {
            func digits(_ text: String) -> String {
                IPAddress(text)!.bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
            }
            return "\(digits(network)) \(length) \(digits("::")) 00 \(digits(via)) 00000100 00000001 00000000 \(flags)"
                + " \(name)"
        }
        let rows = [
            row("2a00:1::", "40", "00000001", "eth0"), row("2a00:2::", "40", "00480001", "eth1"),
            row("2a00:3::", "40", via: "fe80::1", "00000003", "eth0"),
            row("::", "00", via: "fe80::1", "00000003", "eth0"),
            row("::", "00", "00000001", "ppp0"), row("2000::", "03", "00000001", "wg0"),
            row("2a00:4::", "40", "00000001", "pqvpn0"), row("2a00:5::", "30", "00200200", "lo"),
            row("2a00:1::5", "80", "80200001", "eth0"), row("fe80::", "40", "00000001", "eth0"),
            row("ff00::", "08", "00000001", "eth0"), row("fd99::", "40", "00000001", "eth0"), "nonsense",
        ]
        #expect(
            HostAddresses.links6(rows.joined(separator: "\n"), besides: "pqvpn0").map(\.description)
                == ["2a00:1::/64", "2a00:2::/64"])
    }
}

/// Reads the chains "rules4" and "rules6" of a table's text, and does what they say, in its own way.
private struct TableReader {
    struct Strange: Error { let text: String }

    private var sets: [String: [IPPrefix]] = [:]
    private var chains: [String: [String]] = [:]

    init(_ text: String) throws {
        var chain: String?
        for line in text.split(separator: "\n").map({ $0.trimmingCharacters(in: .whitespaces) }) {
            let words = line.split(separator: " ").map(String.init)
            if words.first == "set" {
                let members = line.contains("elements = {") ? line.components(separatedBy: "elements = {")[1] : ""
                sets[words[1]] = members.split(whereSeparator: { " ,}".contains($0) }).compactMap { try? IPPrefix($0) }
            } else if words.first == "chain" {
                chain = words[1]
            } else if line == "}" {
                chain = nil
            } else if let chain {
                chains[chain, default: []].append(line)
            }
        }
    }

    func allows(_ address: IPAddress, _ name: String, _ port: Int) throws -> Bool {
        for rule in chains[address.family == .v4 ? "rules4" : "rules6"] ?? [] {
            var words = rule.split(whereSeparator: { " ,".contains($0) }).map(String.init)[...]
            if try matches(&words, address, name, port) { return words.first == "accept" }
        }
        return false
    }

    /// Takes the conditions off; what is left is the verdict.
    private func matches(_ words: inout ArraySlice<String>, _ address: IPAddress, _ name: String, _ port: Int) throws
        -> Bool
    {
        var holds = true
        while let word = words.popFirst() {
            switch word {
            case "counter": return holds
            case "ip", "ip6":
                _ = words.popFirst()
                let isNot = words.first == "!="
                if isNot { _ = words.popFirst() }
                let members = try operand(&words)
                let networks = members.flatMap { member in
                    member.hasPrefix("@") ? sets[String(member.dropFirst())] ?? [] : [try! IPPrefix(member)]
                }
                let isThere = networks.contains { $0.contains(address) }
                if isThere == isNot { holds = false }
            case "tcp", "udp", "th":
                _ = words.popFirst()
                if word == "th" ? name != "tcp" && name != "udp" : name != word { holds = false }
                let isListed = try operand(&words).contains { range in
                    let ends = range.split(separator: "-").compactMap { Int($0) }
                    return (ends[0]...ends[ends.count - 1]).contains(port)
                }
                if !isListed { holds = false }
            case "meta":
                guard words.popFirst() == "l4proto" else { throw Strange(text: word) }
                if try !operand(&words).contains(name == "icmp" && address.family == .v6 ? "ipv6-icmp" : name) {
                    holds = false
                }
            // Questions and answers are all the ICMP that is asked about here.
            case "icmp", "icmpv6":
                _ = words.popFirst()
                let isNot = words.first == "!="
                if isNot { _ = words.popFirst() }
                guard try operand(&words) == ["echo-request", "echo-reply"] else { throw Strange(text: word) }
                if name != "icmp" || isNot { holds = false }
            default: throw Strange(text: word)
            }
        }
        throw Strange(text: "no verdict")
    }

    private func operand(_ words: inout ArraySlice<String>) throws -> [String] {
        guard let first = words.popFirst() else { throw Strange(text: "no operand") }
        guard first == "{" else { return [first] }
        var members: [String] = []
        while let word = words.popFirst(), word != "}" { members.append(word) }
        return members
    }
}
