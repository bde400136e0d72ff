// SPDX-License-Identifier: Apache-2.0
// Exit policies as text (§8): what is understood, how it is said again, and what an operator reads about what is not.
import Testing

@testable import VPNCore

@Suite struct ExitPolicyTests {
    @Test(arguments: [
        ("allow-all", "allow-all"), ("deny-all", "deny-all"), ("", "deny-all"), (" allow-all \n", "allow-all"),
        ("accept *", "accept *"), ("accept *:*", "accept *"), ("accept tcp/*:*", "accept tcp/*"),
        ("accept  tcp/*:443", "accept tcp/*:443"), ("accept tcp/*:443,80", "accept tcp/*:80,443"),
        ("accept udp/*4:53", "accept udp/*4:53"), ("accept icmp/*6", "accept icmp/*6"),
        ("accept *:1-10,5-20,21", "accept *:1-21"), ("accept *:65535,1-65534", "accept *:1-65535"),
        ("accept 192.0.2.0/24:80", "accept 192.0.2.0/24:80"), ("accept 192.0.2.7", "accept 192.0.2.7/32"),
        ("accept 0.0.0.0/0", "accept *4"), ("accept [::/0]:53", "accept *6:53"), ("accept ::/0", "accept *6"),
        ("accept 2001:DB8::/32", "accept [2001:db8::/32]"),
        ("accept [2001:db8::1]:443", "accept [2001:db8::1/128]:443"),
        ("accept [2001:db8::/32]", "accept [2001:db8::/32]"), ("accept [2001:db8::/32]:*", "accept [2001:db8::/32]"),
        ("accept tcp/2001:db8::/32", "accept tcp/[2001:db8::/32]"),
        ("reject self:22; accept private:80\nreject *", "reject self:22; accept private:80; reject *"),
    ])
    func canonicalText(text: String, canonical: String) throws {
        let policy = try ExitPolicy(text: text)
        #expect(policy.description == canonical)
        #expect(try ExitPolicy(text: canonical) == policy)
    }

    @Test(arguments: [
        ("accept 10.0.0.1/8", "write '10.0.0.0/8'"), ("accept [fd00::1/8]", "write 'fd00::/8'"),
        ("accept *:443-80", "reversed; write '80-443'"), ("accept *:65536", "1 to 65535"), ("accept *:0", "1 to 65535"),
        ("accept *:99999999999999999999", "1 to 65535"), ("accept *:80-", "'' is no port"),
        ("accept *:1-2-3", "no range of ports"), ("accept *:80,,443", "'' is no port"), ("accept *:", "'' is no port"),
        ("accept *:http", "'http' is no port"), ("accept everything", "none of the words"),
        ("accept *5", "none of the words"), ("allow *", "neither 'accept' nor 'reject'"),
        ("accept", "without spaces"), ("accept tcp/* :80", "without spaces"), ("accept-all", "without spaces"),
        ("accept sctp/*", "no protocol that has a name here (tcp, udp, icmp)"),
        ("accept private/8", "no protocol that has a name here"),
        ("accept icmp/*:8", "icmp has no ports; write 'accept icmp/*'"),
        ("accept 2001:db8::/32:443", "'[2001:db8::/32]:443'"), ("accept 2001:db8::1:443", "'[2001:db8::1:443]'"),
        ("accept 2001:db8::1", "'[2001:db8::1]' or '[2001:db8::1]:443'"),
        ("accept [2001:db8::]/32", "prefix length goes inside"), ("accept [2001:db8::/32", "no closing bracket"),
        ("accept [10.0.0.0/8]:80", "brackets are for IPv6; write '10.0.0.0/8:80'"),
        ("accept 10.0.0.0/33", "no valid prefix length"), ("accept [fd00::/129]", "no valid prefix length"),
        ("accept [::ffff:10.0.0.0/104]", "write '10.0.0.0/8'"), ("accept 10.0.0/8", "none of the words"),
        ("accept *; allow-all", "stands alone; in a list write 'accept *'"),
        ("deny-all; accept *", "stands alone; in a list write 'reject *'"),
    ])
    func refusals(text: String, advice: String) throws {
        let error = #expect(throws: ExitPolicyError.self) { try ExitPolicy(text: text) }
        let told = try #require(error)
        #expect("\(told)".contains(advice), "\(told)")
        #expect(told.rule > 0 && "\(told)".contains("rule \(told.rule), '"), "\(told)")
    }

    @Test func theRuleThatIsWrongIsNamed() throws {
        let error = #expect(throws: ExitPolicyError.self) {
            try ExitPolicy(texts: ["accept *:80", "reject 10.0.0.0/8", "accept *:0"])
        }
        #expect(error?.rule == 3)
        #expect(error?.description == "rule 3, 'accept *:0': '0' is no port; ports are 1 to 65535")
    }

    @Test func limitsHold() {
        #expect(throws: Never.self) {
            try ExitPolicy(texts: Array(repeating: "accept *", count: Limits.exitRules))
        }
        #expect(throws: ExitPolicyError.self) {
            try ExitPolicy(texts: Array(repeating: "accept *", count: Limits.exitRules + 1))
        }
        let ports = (1...65).map { "\($0 * 2)" }.joined(separator: ",")
        #expect(throws: ExitPolicyError.self) { try ExitPolicy(text: "accept *:\(ports)") }
    }

    @Test func openness() throws {
        #expect(ExitPolicy.allowAll.isOpen && ExitPolicy.allowAll.isAllowAll && !ExitPolicy.denyAll.isOpen)
        #expect(try !ExitPolicy(text: "reject *:25").isOpen)
        #expect(try ExitPolicy(text: "accept *:443").isOpen)
        #expect(try !ExitPolicy(text: "accept *").isAllowAll)
    }

    // MARK: - Decisions

    private static let surroundings = ExitSurroundings(
        addresses: ["198.41.0.4", "10.1.0.5", "10.66.0.1", "2a00::5", "fd66:7071::1"].map { IPAddress($0)! },
        port: 9000,
        closed: [try! IPPrefix("10.66.0.0/16"), try! IPPrefix("fd66:7071::/64"), try! IPPrefix("10.77.0.2/32")])

    /// "tcp 1.1.1.1 80", or "gre 1.1.1.1".
    private static func allows(_ policy: String, _ what: String) throws -> Bool {
        let words = what.split(separator: " ")
        let fence = ExitFence(try ExitPolicy(text: policy), surroundings)
        return fence.allows(
            ExitRule.Transport(rawValue: String(words[0])), IPAddress(words[1])!,
            port: words.count > 2 ? UInt16(words[2])! : 0)
    }

    @Test(arguments: [
        // Nothing is open that no rule opens.
        ("deny-all", "", "tcp 1.1.1.1 80, icmp 1.1.1.1, gre 1.1.1.1, tcp 2606:4700::1 443"),
        ("reject *:25", "", "tcp 1.1.1.1 80"),
        // Everything public but mail.
        (
            "allow-all",
            "tcp 1.1.1.1 80, udp 1.1.1.1 25, tcp 1.1.1.1 24, tcp 1.1.1.1 26, icmp 1.1.1.1, gre 1.1.1.1, "
                + "tcp 2606:4700::1 443, icmp 2606:4700::1, tcp 2001:500:9f::42 443",
            "tcp 1.1.1.1 25, tcp 2606:4700::1 25"
        ),
        // The edges of what is special.
        (
            "allow-all",
            "tcp 1.0.0.0 80, tcp 9.255.255.255 80, tcp 11.0.0.0 80, tcp 100.63.255.255 80, tcp 100.128.0.0 80, "
                + "tcp 126.255.255.255 80, tcp 128.0.0.0 80, tcp 169.253.255.255 80, tcp 169.255.0.0 80, tcp 172.15.255.255 80, "
                + "tcp 172.32.0.0 80, tcp 192.167.255.255 80, tcp 192.169.0.0 80, tcp 198.17.255.255 80, tcp 198.20.0.0 80, "
                + "tcp 223.255.255.255 80, tcp 2000:: 80, tcp 2001:200:: 80, tcp 2003:: 80, tcp 3ffe:ffff:: 80",
            "tcp 0.255.255.255 80, tcp 10.0.0.0 80, tcp 10.255.255.255 80, tcp 100.64.0.0 80, tcp 100.127.255.255 80, "
                + "tcp 127.0.0.1 80, tcp 127.255.255.255 80, tcp 169.254.0.0 80, tcp 169.254.169.254 80, "
                + "tcp 169.254.255.255 80, tcp 172.16.0.0 80, tcp 172.31.255.255 80, tcp 192.168.0.0 80, "
                + "tcp 192.168.255.255 80, tcp 198.18.0.0 80, tcp 198.19.255.255 80, tcp 224.0.0.0 80, "
                + "tcp 255.255.255.255 80, tcp 192.0.2.1 80, tcp 203.0.113.9 80, tcp :: 80, tcp ::1 80, "
                + "tcp ::ffff:1.1.1.1 80, tcp ::ffff:10.0.0.1 80, tcp 64:ff9b::1.1.1.1 80, tcp 64:ff9b::10.0.0.1 80, "
                + "tcp 64:ff9b:1::1 80, tcp 1fff:ffff:: 80, tcp 2001::1 80, tcp 2001:1ff:: 80, tcp 2001:db8::1 80, "
                + "tcp 2002:a00:1::1 80, tcp 3fff::1 80, tcp 4000:: 80, tcp fc00:: 80, tcp fdff::1 80, tcp fe80::1 80, "
                + "tcp fec0::1 80, tcp ff02::1 80"
        ),
        // This host, by any rule that does not say so.
        (
            "accept *; accept private; accept 10.0.0.0/8; accept 198.41.0.4; accept [2a00::/16]",
            "tcp 10.1.0.6 80, tcp 198.41.0.5 80, tcp 2a00::6 80",
            "tcp 198.41.0.4 22, tcp 10.1.0.5 22, tcp 2a00::5 22, tcp 10.66.0.1 80, udp 198.41.0.4 9000"
        ),
        // By one that does; the tunnel in the tunnel never.
        (
            "accept self:53,9000", "udp 10.66.0.1 53, tcp 10.66.0.1 53, tcp 198.41.0.4 9000, udp fd66:7071::1 53",
            "udp 198.41.0.4 9000, udp 10.66.0.1 9000, tcp 10.66.0.1 54, icmp 10.66.0.1, tcp 1.1.1.1 53"
        ),
        // Other guests and peers, whatever is written.
        (
            "accept *; accept private; accept 10.66.0.0/16; accept [fd66:7071::/64]; accept self", "tcp 10.67.0.2 80",
            "tcp 10.66.0.2 80, icmp 10.66.255.1, tcp fd66:7071::2 80, tcp 10.77.0.2 80"
        ),
        // `private` is networks of one's own, and not what else is special.
        (
            "accept private", "tcp 10.2.3.4 80, tcp 172.16.0.1 80, tcp 192.168.9.9 80, tcp 100.64.0.1 80, icmp fd00::1",
            "tcp 169.254.169.254 80, tcp 127.0.0.1 80, tcp fe80::1 80, tcp 1.1.1.1 80, tcp ::ffff:10.2.3.4 80, "
                + "tcp 224.0.0.1 80"
        ),
        // A special network that is named; a wider one names nothing.
        ("accept 169.254.169.254:80", "tcp 169.254.169.254 80", "tcp 169.254.169.254 81, tcp 169.254.169.253 80"),
        ("accept [64:ff9b::/96]", "tcp 64:ff9b::1.1.1.1 80", "tcp 64:ff9b::1:0:0 80"),
        ("accept 8.0.0.0/5", "tcp 8.1.1.1 80, tcp 11.1.1.1 80", "tcp 10.2.0.1 80, tcp 16.0.0.0 80, tcp 7.9.9.9 80"),
        // The first that matches decides.
        (
            "reject 1.1.1.0/24; accept 1.1.0.0/16; reject *", "tcp 1.1.0.255 80, tcp 1.1.2.0 80, tcp 1.1.255.255 80",
            "tcp 1.1.1.0 80, tcp 1.1.1.255 80, tcp 1.2.0.0 80, tcp 1.0.255.255 80"
        ),
        ("accept *:80; reject *; accept *:81", "tcp 1.1.1.1 80", "tcp 1.1.1.1 81"),
        ("reject private; accept 10.9.0.0/16; accept *", "tcp 1.1.1.1 80", "tcp 10.9.0.1 80"),
        ("accept 10.9.0.0/16; reject private", "tcp 10.9.0.1 80", "tcp 10.8.0.1 80"),
        // Ports, and whom they are about.
        (
            "accept *:80-90,443", "tcp 1.1.1.1 80, udp 1.1.1.1 90, tcp 1.1.1.1 85, udp 1.1.1.1 443",
            "tcp 1.1.1.1 79, tcp 1.1.1.1 91, udp 1.1.1.1 442, icmp 1.1.1.1, gre 1.1.1.1"
        ),
        (
            "accept tcp/*", "tcp 1.1.1.1 1, tcp 1.1.1.1 65535, tcp 2606:4700::1 80",
            "udp 1.1.1.1 80, icmp 1.1.1.1, gre 1.1.1.1"
        ),
        ("accept icmp/*", "icmp 1.1.1.1, icmp 2606:4700::1", "tcp 1.1.1.1 80, gre 1.1.1.1"),
        ("accept *4", "tcp 1.1.1.1 80, gre 1.1.1.1", "tcp 2606:4700::1 80"),
        ("accept *6", "tcp 2606:4700::1 80", "tcp 1.1.1.1 80, tcp ::ffff:1.1.1.1 80"),
        ("accept tcp/*; accept udp/*; accept icmp/*", "icmp 1.1.1.1", "gre 1.1.1.1"),
    ])
    func decisions(policy: String, accepted: String, refused: String) throws {
        for what in accepted.split(separator: ",").map({ $0.drop { $0 == " " } }) {
            #expect(try Self.allows(policy, String(what)), "\(policy): \(what)")
        }
        for what in refused.split(separator: ",").map({ $0.drop { $0 == " " } }) {
            #expect(try !Self.allows(policy, String(what)), "\(policy): \(what)")
        }
    }

    @Test func aClosedInternetIsNoClosedNetwork() throws {
        let surroundings = ExitSurroundings(addresses: [], port: 9000, closed: [try IPPrefix("0.0.0.0/0")])
        #expect(ExitFence(.allowAll, surroundings).allows(.tcp, IPAddress("1.1.1.1")!, port: 80))
    }

    /// Public addresses of whoever is on the exit's own link: reached as private ones are.
    @Test func neighboursAreReachedByName() throws {
        let surroundings = ExitSurroundings(
            addresses: [IPAddress("198.41.0.4")!, IPAddress("2a00::5")!], port: 9000,
            closed: [try IPPrefix("198.41.0.128/25")],
            links: ["198.41.0.0/24", "2a00::/64", "0.0.0.0/0"].map { try! IPPrefix($0) })
        func reached(_ policy: String) throws -> [String] {
            let fence = ExitFence(try ExitPolicy(text: policy), surroundings)
            return ["198.41.0.3", "198.41.0.4", "198.41.0.130", "198.41.1.0", "2a00::6", "2a00:0:0:1::6"].filter {
                fence.allows(.tcp, IPAddress($0)!, port: 443)
            }
        }
        let strangers = ["198.41.1.0", "2a00:0:0:1::6"]
        for policy in ["allow-all", "accept *", "accept 198.0.0.0/8; accept [2a00::/32]", "accept private; accept *"] {
            #expect(try reached(policy) == strangers, "\(policy)")
        }
        #expect(try reached("accept 198.41.0.0/24; accept *") == ["198.41.0.3"] + strangers)
        #expect(try reached("accept [2a00::6/128]:443") == ["2a00::6"])
        #expect(try reached("accept self; accept 198.41.0.2/31") == ["198.41.0.3", "198.41.0.4"])
        #expect(try reached("reject 198.41.0.0/16; accept 198.41.0.0/24").isEmpty)
    }

    @Test func theSpecialNetworksAreApart() {
        for (place, network) in SpecialNetworks.all.enumerated() {
            for other in SpecialNetworks.all[(place + 1)...] {
                #expect(!network.contains(other.address) && !other.contains(network.address), "\(network), \(other)")
            }
        }
        for network in SpecialNetworks.ownNetworks { #expect(SpecialNetworks.contain(network), "\(network)") }
    }
}
