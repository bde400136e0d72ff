// SPDX-License-Identifier: Apache-2.0
// Daemons on two paths that both lose packets at random: copies and repairs bring nearly all of them, whole, and repairs cost little.
import Foundation
import Testing

@testable import VPNNode

extension NamespaceTests {
    @Suite("Quilts that lose")
    struct QuiltLosses {
        /// 20 Mbit/s: packets of 1000 bytes a second, for so long, after a time in which the ends learn what is lost.
        private static let (rate, seconds, learning) = (2500, 8, 4)
        private static let port = 7011
        /// Each packet is its number 251 times, so that nothing of it can be of another one.
        private static let bytes = 1004

        /// Sends so many packets a second for so long, numbered from some number on.
        private static let sender = """
            use IO::Socket::INET; use Time::HiRes qw(time sleep); ($address, $port, $rate, $seconds, $n) = @ARGV;
            $s = IO::Socket::INET->new(Proto => "udp", PeerAddr => $address, PeerPort => $port) or die; ($first, $begin) = ($n, time);
            while (($t = time - $begin) < $seconds) {
            for (; $n < $first + $t * $rate; $n++) { $s->send(pack("N", $n) x 251) } sleep 0.001 } print "sent ", $n - $first, "\\n";
            """
        /// Counts what comes from a number on until two seconds pass without anything: different ones, repeated ones, spoilt ones.
        private static let receiver = """
            use IO::Socket::INET; ($port, $first) = @ARGV; $s = IO::Socket::INET->new(Proto => "udp", LocalPort => $port) or die;
            setsockopt($s, 1, 33, pack("i", 8 << 20)); $| = 1; print "open\\n"; vec($r, fileno($s), 1) = 1; ($came, $again, $bad) = (0, 0, 0);
            while (select($q = $r, undef, undef, $last ? 2 : 30)) { $s->recv($b, 2000); $last = 1; $n = unpack("N", $b);
            if ($b ne pack("N", $n) x 251) { $bad++; next } next if $n < $first; if ($seen{$n}++) { $again++ } else { $came++ } }
            print "came $came again $again bad $bad\\n";
            """

        private struct Interface: Decodable {
            var stats64: InterfaceCounts
        }

        /// What left by a cable since it was made.
        private func left(_ host: DemoHost, _ cable: String) throws -> InterfaceCounts.Direction {
            let text = try host.ip("-n", host.namespace, "-s", "-j", "link", "show", "dev", cable)
            let interfaces = try JSONDecoder().decode([Interface].self, from: Data(text.utf8))
            return try #require(interfaces.first).stats64.tx
        }

        private func losing(_ stage: Stage, _ hosts: [DemoHost], nft: String) throws {
            for host in hosts {
                let rule =
                    "add table inet losses { chain inward { type filter hook input priority 0; iifname { outer0, outer1 } udp dport "
                    + "9000 numgen random mod 1000 < 30 counter drop; } ; }"
                let outcome = try stage.run("losses", on: host, [nft, rule])
                try #require(outcome.status == 0, "\(outcome.errors)")
            }
        }

        /// Of packets that nft dropped on a host.
        private func lost(_ stage: Stage, _ host: DemoHost, nft: String) throws -> Int {
            let words = try stage.run("count", on: host, [nft, "list", "table", "inet", "losses"]).output
                .split(whereSeparator: \.isWhitespace)
            let place = try #require(words.firstIndex(of: "packets"))
            return try #require(Int(words[place + 1]))
        }

        @Test(
            "Two paths that lose 3 % each bring nearly all packets, by copies or by few repairs",
            arguments: [("fec", 1.25), ("redundant", 2.05)])
        func losses(_ scheduler: (name: String, most: Double)) throws {
            guard let perl = DemoTools.path(of: "perl"), let nft = DemoTools.path(of: "nft") else {
                print("SKIPPED: \(Test.current?.name ?? ""): it needs perl and nft")
                return
            }
            // What a busy machine does not read in time it loses as well.
            var (share, overhead) = (0.0, 99.0)
            for _ in 0..<2 where share < 0.999 || overhead > scheduler.most {
                try Stage.perform { stage in
                    (share, overhead) = try measure(stage, scheduler.name, perl: perl, nft: nft)
                }
                if share == 0 { return }
            }
            // 99.9 % is what the virtual network is held to, where each datagram is lost by itself. Here a train is lost as a whole: 99.89
            // and 99.91 % were measured with repairs, of two rounds each on a busy machine.
            #expect(share >= 0.995, "\(scheduler.name): \(share)")
            #expect(overhead <= scheduler.most, "\(scheduler.name): \(overhead)")
        }

        private func measure(
            _ stage: Stage, _ scheduler: String, perl: String, nft: String
        ) throws -> (share: Double, overhead: Double) {
            let (a, b) = (stage.hosts[0], stage.hosts[1])
            try DemoHost.connect(a, b, by: "outer1", network: 98)
            let (client, server) = (try stage.node(on: a), try stage.node(on: b))
            try client.befriend(server, endpoint: "10.99.0.2:9000")
            try server.befriend(client)
            client.configuration.peers[0].quilt = "{ endpoints: [\"10.98.0.2:9000\"], scheduler: \(scheduler) }"
            try server.start()
            try client.start()
            try DemoProcess.wait(30, for: "both paths") {
                let asked = try stage.run(
                    "quilt", on: a, [stage.pqvpn, "quilt", "--json"], environment: client.environment)
                return try JSONDecoder().decode(QuiltReport.self, from: Data(asked.output.utf8)).quilts.first?.up == 2
            }
            try losing(stage, [a, b], nft: nft)
            try stage.reach(b.innerIPv4, from: a)
            let first = 1_000_000
            let counter = try stage.start("receiver", on: b, [perl, "-e", Self.receiver, "\(Self.port)", "\(first)"])
            try DemoProcess.wait(20, for: "the socket") { counter.output.contains("open") }
            func send(_ seconds: Int, from number: Int) throws -> Int {
                let command = [
                    perl, "-e", Self.sender, b.innerIPv4, "\(Self.port)", "\(Self.rate)", "\(seconds)", "\(number)",
                ]
                let words = try stage.run("sender", on: a, command).output.split(whereSeparator: \.isWhitespace)
                return try #require(words.last.flatMap { Int($0) })
            }
            _ = try send(Self.learning, from: 0)
            func bytes() throws -> Int { try left(a, "outer0").bytes + left(a, "outer1").bytes }
            let (before, lostBefore) = (try bytes(), try lost(stage, b, nft: nft))
            let sent = try send(Self.seconds, from: first)
            let (after, lostAfter) = (try bytes(), try lost(stage, b, nft: nft))
            let words = try counter.finish(within: 30).output.split(whereSeparator: \.isWhitespace)
            let numbers = try [2, 4, 6].map { try #require(Int(words[$0])) }
            // Inner headers 28, ours 36, outer ones 28, Ethernet's 14.
            let overhead = Double(after - before) / Double(sent * (Self.bytes + 106))
            let share = Double(numbers[0]) / Double(sent)
            print(
                "MEASURED: \(scheduler): \(numbers[0]) of \(sent) came, \(lostAfter - lostBefore) dropped, overhead \(overhead)"
            )
            #expect(numbers[1] == 0, "packets came twice")
            #expect(numbers[2] == 0, "packets came spoilt")
            // 3 % of what both paths carried, where a train counts once.
            #expect(lostAfter - lostBefore > sent / 100, "the paths lost \(lostAfter - lostBefore) of \(sent)")
            return (share, overhead)
        }
    }
}
