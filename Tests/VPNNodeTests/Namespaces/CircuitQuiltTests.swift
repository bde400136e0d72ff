// SPDX-License-Identifier: Apache-2.0
// Daemons with several paths through relays to one exit, used at once: both carry, a relay that is killed under load costs a moment and
// not a byte, another path comes by itself, and packets of one flow stay in order whichever packet threads they come by.
//
//     host a: client ── way1 … wayN ── host b: relays at 20.n.0.1, and behind them an exit at 20.(N + 1).0.1
import Foundation
import Glibc
import Testing

@testable import VPNNode

/// Each relay is reached by a cable of its own, the exit by none. All know each other by their descriptors.
private final class RelayQuarter {
    /// Of a cable, both ways; the delay in milliseconds is one way's.
    enum Cable {
        case plain(megabits: Int)
        case long(megabits: Int, delay: Int)
    }

    /// Inner, of the exit.
    static let target = "10.66.0.1"

    let stage: Stage
    let client: StageNode
    let exit: StageNode
    private(set) var relays: [StageNode] = []

    init(_ stage: Stage, cables: [Cable], hops: Int, scheduler: String) throws {
        self.stage = stage
        let (near, far) = (stage.hosts[0], stage.hosts[1])
        client = try stage.node(on: near)
        for (place, cable) in cables.enumerated() {
            try Self.lay(cable, place + 1, stage)
            relays.append(try stage.node(on: far))
        }
        exit = try stage.node(on: far)
        let all = relays + [exit]
        for (place, node) in all.enumerated() {
            try far.ip("-n", far.namespace, "address", "add", "\(Self.address(place))/32", "dev", "lo")
            let isExit = node === exit
            node.configuration.bindHost = Self.address(place)
            node.configuration.hasTunnel = isExit
            node.configuration.addresses = []
            node.configuration.extraLines =
                ["directory: { file: relays.yaml, own_file: own.pub }"]
                + (isExit
                    ? [
                        "relay: { enabled: true, exit_policy: [\"accept icmp/self\", \"accept tcp/self\", "
                            + "\"accept udp/self\"] }", "exit: { networks: [10.66.0.0/16] }",
                    ] : ["relay: true"])
            try node.pin(client)
            try node.writeConfiguration()
            try pqvpn(
                ["relay", "publish", "--address", "\(Self.address(place)):9000", "--operator", node.name, "--config"]
                    + [node.configurationPath] + (isExit ? ["--exit"] : []))
        }
        client.configuration.addresses = []
        client.configuration.extraLines = [
            "directory: { file: relays.yaml, own_file: own.pub }",
            "circuit: { guards_file: guards.yaml, hops: \(hops), paths: 2, scheduler: \(scheduler), "
                + "allowed_ips: [10.66.0.0/16] }",
        ]
        try client.writeConfiguration()
        for node in all + [client] {
            for other in all where other !== node {
                try pqvpn([
                    "relay", "import", "\(other.directory)/own.pub", "--yes", "--config", node.configurationPath,
                ])
            }
        }
        for node in all + [client] { try node.start() }
        try client.event("circuit.leased", within: 60)
        try DemoProcess.wait(60, for: "both paths") { (try? quilt().up) == 2 }
    }

    private static func address(_ place: Int) -> String { "20.\(place + 1).0.1" }

    private func pqvpn(_ words: [String]) throws {
        let outcome = try stage.run("pqvpn", on: stage.hosts[0], [stage.pqvpn] + words)
        guard outcome.status == 0 else { throw NodeFailure(.failure, "\(words): \(outcome.errors)") }
    }

    /// A cable called way\(number), and the relay of that number behind it.
    private static func lay(_ cable: Cable, _ number: Int, _ stage: Stage) throws {
        let (near, far) = (stage.hosts[0], stage.hosts[1])
        let (name, network) = ("way\(number)", 40 + number)
        switch cable {
        case .plain(let megabits):
            try DemoHost.connect(near, far, by: name, network: network)
            let tc = try #require(DemoTools.path(of: "tc"))
            for host in [near, far] {
                let words = "qdisc add dev \(name) root tbf rate \(megabits)mbit burst 64kb latency 50ms"
                let outcome = try stage.run("tc", on: host, [tc] + words.split(separator: " ").map(String.init))
                try #require(outcome.status == 0, "\(outcome.errors)")
            }
        case .long(let megabits, let delay):
            let moving = "far\(number)"
            _ = try stage.start(
                "cable", on: near, [stage.pqvpn, "demo", "--cable", "\(name),\(moving),\(megabits),\(delay)"])
            try DemoProcess.wait(10, for: name) {
                (try? near.ip("-n", near.namespace, "link", "show", "dev", moving)) != nil
            }
            try near.ip("-n", near.namespace, "link", "set", moving, "netns", far.namespace, "name", name)
            for host in [near, far] {
                try host.ip(
                    "-n", host.namespace, "address", "add", "10.\(network).0.\(host.number)/24", "dev", name)
                try host.ip("-n", host.namespace, "link", "set", name, "mtu", "1500", "up")
            }
        }
        try near.ip("-n", near.namespace, "route", "add", "\(address(number - 1))/32", "via", "10.\(network).0.2")
    }

    // MARK: - What the client says

    private func ask<Answer: Decodable>(_ words: String...) throws -> Answer {
        let outcome = try stage.run(
            words[0], on: client.host, [stage.pqvpn] + words + ["--json"], environment: client.environment)
        return try JSONDecoder().decode(Answer.self, from: Data(outcome.output.utf8))
    }

    func quilt() throws -> QuiltReport.Quilt {
        let report: QuiltReport = try ask("quilt")
        guard let quilt = report.quilts.first else { throw NodeFailure(.failure, "no quilt yet") }
        return quilt
    }

    func circuit() throws -> CircuitsReport.Own {
        let report: CircuitsReport = try ask("circuits")
        return try #require(report.circuits.first, "\(client.log)")
    }

    /// The relays of the paths in use, without the exit, the first path first.
    func paths() throws -> [[String]] { try (circuit().paths ?? []).map { $0.dropLast().map(\.name) } }

    func node(_ name: String) throws -> StageNode { try #require(relays.first { $0.name == name }) }
}

extension NamespaceTests {
    @Suite("Quilts of circuits")
    struct CircuitQuilts {
        private static let port = 7007
        private static let fileSize = 24 << 20
        /// 20 ms each.
        private static let tick = 0.02

        /// Listens, writes what comes to a file, and prints the longest pause in ticks once something has come.
        private static let receiver = """
            use IO::Socket::INET; $l = IO::Socket::INET->new(LocalPort => $ARGV[0], Listen => 1, ReuseAddr => 1) or die; $| = 1;
            print "listening\\n"; $c = $l->accept or die; open(F, ">", $ARGV[1]); vec($r, fileno($c), 1) = 1; $most = $now = 0;
            while (1) { if (select($s = $r, undef, undef, 0.02) == 0) { $now++; $most = $now if $now > $most; next }
            $now = 0; last unless sysread($c, $b, 65536); syswrite F, $b; } close(F); print "pause $most\\n";
            """
        private static let sender = """
            use IO::Socket::INET; open(F, "<", $ARGV[2]) or die; $c = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => $ARGV[1])
            or die; while (sysread(F, $b, 65536)) { for ($o = 0; $o < length $b;) { $o += syswrite($c, $b, length($b) - $o, $o) } }
            """
        /// Sends numbered datagrams at an even rate, or counts those that come and those that come behind a later one. `$ARGV[0]` is
        /// what of both; the one that has no address of the other waits for its word, and answers: to an exit, what is not answered is new.
        private static let numbers = """
            use IO::Socket::INET; use Time::HiRes qw(time sleep); ($do, $address, $port, $rate, $seconds, $first) = @ARGV; $| = 1;
            $s = IO::Socket::INET->new(Proto => "udp", $address ? (PeerAddr => $address, PeerPort => $port) : (LocalPort => $port))
            or die; $s->sockopt(SO_RCVBUF, 1 << 20); print "open\\n";
            if ($address) { $s->send("go") } else { $s->recv($b, 9); $s->send("ok") }
            if ($do eq "send") { $begin = time; while (($t = time - $begin) < $seconds) {
            for (; $n < $t * $rate; $n++) { $s->send(pack("N", $n) . "x" x 996) } sleep 0.002 } print "sent $n\\n"; exit }
            vec($r, fileno($s), 1) = 1; $high = $came = $late = 0; while (select($q = $r, undef, undef, $came ? 3 : 30)) {
            $s->recv($b, 2000); next if length $b < 4; $i = unpack("N", $b); $end = $i; if ($i >= $first) { $came++; $late++ if $i < $high }
            $high = $i if $i > $high } print "came $came late $late of ", $high - $first + 1, "\\n";
            """

        private func skip() -> Bool {
            guard DemoTools.path(of: "perl") != nil, DemoTools.path(of: "tc") != nil else {
                print("SKIPPED: \(Test.current?.name ?? ""): it needs perl and tc")
                return true
            }
            return false
        }

        struct Victim: Sendable, CustomTestStringConvertible {
            let testDescription: String
            let path: Int
            let hop: Int
        }

        static let victims = [
            Victim(testDescription: "the guard of the first path", path: 0, hop: 0),
            Victim(testDescription: "the middle of the other path", path: 1, hop: 1),
        ]

        @Test(
            "Two paths through relays carry together, and a relay that is killed under load costs a moment",
            arguments: victims)
        func aRelayDies(_ victim: Victim) throws {
            if skip() { return }
            let perl = try #require(DemoTools.path(of: "perl"))
            try Stage.perform { stage in
                let quarter = try RelayQuarter(
                    stage, cables: Array(repeating: .plain(megabits: 20), count: 6), hops: 3, scheduler: "edpf")
                let (client, exit) = (quarter.client, quarter.exit)
                let paths = try quarter.paths()
                #expect(paths.map(\.count) == [2, 2] && Set(paths.joined()).count == 4, "\(paths)")
                // `pqvpn quilt` names each path by its relays, in the order of `pqvpn circuits`.
                let before = try quarter.quilt()
                #expect(before.paths.map(\.endpoint) == paths.map { $0.joined(separator: ", ") })
                let session = try #require(try quarter.circuit().session?.id)

                let (sent, received) = ("\(stage.scratch)/sent", "\(stage.scratch)/received")
                let made = try stage.run(
                    "file", on: client.host, ["/bin/sh", "-c", "head -c \(Self.fileSize) /dev/urandom > \(sent)"])
                try #require(made.status == 0, "\(made.errors)")
                let listener = try stage.start(
                    "receiver", on: exit.host, [perl, "-e", Self.receiver, "\(Self.port)", received])
                try DemoProcess.wait(20, for: "the receiver") { listener.output.contains("listening") }
                let speaker = try stage.start(
                    "sender", on: client.host,
                    [perl, "-e", Self.sender, RelayQuarter.target, "\(Self.port)", sent])
                func progress() -> Int {
                    ((try? FileManager.default.attributesOfItem(atPath: received))?[.size] as? Int) ?? 0
                }
                try DemoProcess.wait(60, for: "a third of the file") { progress() > Self.fileSize / 3 }
                let middle = QuiltReport(quilts: [try quarter.quilt()]).since(QuiltReport(quilts: [before]))
                for path in middle.quilts[0].paths { #expect(path.shareOut > 0.2, "\(middle.quilts[0].text)") }

                let dead = try quarter.node(paths[victim.path][victim.hop])
                #expect(try dead.end(SIGKILL) == 128 + SIGKILL)
                #expect(progress() < Self.fileSize * 9 / 10, "it died under load")
                try client.event("circuit.path_lost", within: 15)
                #expect(try quarter.circuit().session?.id == session, "\(client.log)")
                #expect(try speaker.finish(within: 120).status == 0)
                let output = try listener.finish(within: 60).output
                #expect(FileManager.default.contentsEqual(atPath: sent, andPath: received), "not what was sent")
                let ticks = output.split(separator: "\n").last?.split(separator: " ").last.flatMap { Double($0) }
                let pause = try #require(ticks) * Self.tick
                print(
                    "PAUSE: \(victim.testDescription) killed: \(pause) s, \(try quarter.quilt().sentAgain) sent again")
                #expect(pause <= 0.6, "\(pause) s; \(client.log)")
                #expect(client.events("circuit.ready").count == 1 && client.events("circuit.failed").isEmpty)

                // Another path comes by itself: a guard that failed is waited for before another one is taken.
                try DemoProcess.wait(120, for: "two paths without the relay that died") {
                    let paths = try quarter.paths()
                    return paths.count == 2 && !paths.joined().contains(dead.name) && (try? quarter.quilt().up) == 2
                }
                let after = try quarter.paths()
                #expect(Set(after.joined()).count == 4, "\(after)")
                #expect(client.events("circuit.failed").isEmpty)
                #expect(try stage.answers(RelayQuarter.target, from: client.host))
            }
        }

        @Test("Packets of one flow stay in order on paths of 5 and 15 ms, whichever threads they come by")
        func order() throws {
            if skip() { return }
            let perl = try #require(DemoTools.path(of: "perl"))
            // Which threads the links lie on is drawn with their indices: more than one draw. Where the machine had no time to carry
            // them all, the order says nothing.
            var total = [true: (came: 0, late: 0), false: (came: 0, late: 0)]
            var (judged, rounds) = ([true: 0, false: 0], 0)
            for round in 1...2 {
                try Stage.perform { stage in
                    let quarter = try RelayQuarter(
                        stage, cables: [.long(megabits: 25, delay: 5), .long(megabits: 25, delay: 15)], hops: 2,
                        scheduler: "edpf")
                    rounds += 1
                    let ends = [(quarter.client, RelayQuarter.target), (quarter.exit, "")]
                    for outward in [true, false] {
                        let before = try quarter.quilt()
                        // The exit waits for the client's word, whoever sends then.
                        let programs = try ends.reversed().enumerated().map { place, end in
                            let sends = outward == (end.0 === quarter.client)
                            let program = try stage.start(
                                "numbers", on: end.0.host,
                                [
                                    perl, "-e", Self.numbers, sends ? "send" : "count", end.1,
                                    "\(outward ? 7008 : 7009)", "3500", "10", "10500",
                                ])
                            try DemoProcess.wait(20, for: "the socket") { program.output.contains("open") }
                            return (program, sends)
                        }
                        for (program, _) in programs { #expect(try program.finish(within: 60).status == 0) }
                        let counter = try #require(programs.first { !$0.1 }).0
                        let words = counter.output.split(separator: "\n").last?.split(separator: " ") ?? []
                        try #require(words.count == 6, "\(counter.output)")
                        let (came, late) = (try #require(Int(words[1])), try #require(Int(words[3])))
                        let quilt = QuiltReport(quilts: [try quarter.quilt()]).since(QuiltReport(quilts: [before]))
                        let paths = quilt.quilts[0].paths
                        print(
                            "MEASURED: order \(round) \(outward ? "there" : "back"): \(words.joined(separator: " ")), shares",
                            paths.map { outward ? $0.shareOut : $0.shareIn })
                        guard came > 23_500 else { continue }
                        judged[outward]! += 1
                        total[outward]!.came += came
                        total[outward]!.late += late
                        for path in paths { #expect((outward ? path.shareOut : path.shareIn) > 0.15, "\(quilt.text)") }
                    }
                }
            }
            // Of all rounds together: a machine that stood still for a moment has a whole one in which some are late.
            for (outward, count) in total {
                #expect(Double(count.late) <= 0.001 * Double(count.came), "\(count), \(outward ? "there" : "back")")
            }
            #expect(rounds == 0 || judged.values.allSatisfy { $0 > 0 }, "the machine carried too little: \(judged)")
        }
    }
}
