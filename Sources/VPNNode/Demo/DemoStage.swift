// SPDX-License-Identifier: Apache-2.0
// The two hosts of one run, what happens on them in which order, and how all of it is taken down again.
internal import Foundation
internal import VPNCrypto

final class DemoStage {
    private let hosts: [DemoHost]
    private let tools: DemoTools
    private let scratch: String
    private let seconds: Int
    private let say: (String) -> Void

    private var built: [DemoHost] = []
    private var nodes: [DemoNode] = []
    private var captures: [DemoCapture] = []
    private var programs: [DemoProcess] = []

    /// iperf3's --repeating-payload sends these digits over and over.
    private static let iperfPattern = [UInt8]("0123456789012345678901234567890123456789".utf8)
    private static let pings = 5

    init(
        hosts: [DemoHost], tools: DemoTools, scratch: String, seconds: Int, say: @escaping (String) -> Void
    ) {
        self.hosts = hosts
        self.tools = tools
        self.scratch = scratch
        self.seconds = seconds
        self.say = say
    }

    private var a: DemoHost { hosts[0] }
    private var b: DemoHost { hosts[1] }

    // MARK: The play

    func perform() throws -> DemoReport {
        try build()
        var report = DemoReport()
        report.seconds = seconds

        let cable = try capture("cable", on: DemoHost.cable, limit: 20_000)
        report.handshake = try handshake()
        say(report.handshakeText)

        let tunnel = try capture("tunnel", on: DemoHost.interface, limit: 20_000)
        // As ping's pattern: 16 bytes that nobody else sends.
        let marker = (0..<16).map { _ in UInt8.random(in: .min ... .max) }
        report.ping4 = try ping(b.innerIPv4, "-4", pattern: marker)
        report.ping6 = try ping(b.innerIPv6, "-6", pattern: marker)
        let quiet = Sight(cable: try cable.finish(), tunnel: try tunnel.finish())

        let busyCable = try capture("cable-tcp", on: DemoHost.cable, limit: 2000)
        let busyTunnel = try capture("tunnel-tcp", on: DemoHost.interface, limit: 500)
        try transfer(into: &report)
        say(report.trafficText)
        let busy = Sight(cable: try busyCable.finish(), tunnel: try busyTunnel.finish())

        judge(&report, quiet: quiet, busy: busy, marker: marker)
        say(report.checksText)
        return report
    }

    private func build() throws {
        for host in hosts {
            try host.make()
            built.append(host)
            try DemoInterruption.check()
        }
        try DemoHost.connect(a, b)
        nodes = try hosts.map { try DemoNode(host: $0, in: scratch) }
        try nodes[0].meet(nodes[1])
        try nodes[1].meet(nodes[0])
        let lines = nodes.map { node in
            let host = node.host
            return "  host \(host.letter)  cable \(host.outerIPv4)  tunnel \(host.innerIPv4), \(host.innerIPv6)  "
                + "node \(node.peerID.short)  (\(host.namespace))"
        }
        say("Two hosts, one cable, one tunnel\n" + lines.joined(separator: "\n"))
    }

    /// The daemon that is called first, so that the caller's first packet finds it.
    private func handshake() throws -> DemoNode.Handshake {
        for node in nodes.reversed() { try node.start(pqvpn: tools.pqvpn) }
        let caller = nodes[0]
        var found: DemoNode.Handshake?
        do {
            try DemoProcess.wait(20, for: "a session between the two nodes") {
                for node in nodes { try node.checkAlive() }
                found = caller.handshake
                return found != nil
            }
        } catch let failure as NodeFailure where failure.status == .timeout {
            throw nodes.reduce(failure) { $1.withLog($0) }
        }
        return found ?? DemoNode.Handshake()
    }

    private func capture(_ name: String, on interface: String, limit: Int) throws -> DemoCapture {
        let capture = try DemoCapture(name, on: interface, of: a, tools: tools, limit: limit)
        captures.append(capture)
        return capture
    }

    private func ping(_ address: String, _ family: String, pattern: [UInt8]) throws -> PingResult? {
        let hex = pattern.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
        let arguments = [family, "-n", "-c", "\(Self.pings)", "-i", "0.2", "-W", "2", "-s", "200", "-p", hex, address]
        let program = try a.start("ping\(family)", tools.ping, arguments)
        programs.append(program)
        return try PingResult(program.finish(within: 20).output)
    }

    private func transfer(into report: inout DemoReport) throws {
        let server = try b.start("iperf3-server", tools.iperf3, ["--server", "--one-off", "--forceflush"])
        programs.append(server)
        try DemoProcess.wait(10, for: "the iperf3 server") {
            guard server.isRunning else {
                throw NodeFailure(.failure, "the iperf3 server ended:\n\(server.lastErrors())")
            }
            return server.output.contains("listening on")
        }
        let before = processorSeconds
        let client = try a.start(
            "iperf3-client", tools.iperf3,
            ["--client", b.innerIPv4, "--time", "\(seconds)", "--json", "--repeating-payload"])
        programs.append(client)
        _ = try client.finish(within: Double(seconds) + 15)
        report.throughput = ThroughputResult(client.outputBytes)
        if let before, let after = processorSeconds { report.processorSeconds = after - before }
    }

    /// Processor time of both daemons so far.
    private var processorSeconds: Double? {
        let times = nodes.compactMap { $0.daemon?.processorSeconds }
        return times.count == nodes.count ? times.reduce(0, +) : nil
    }

    // MARK: The judgement

    /// The same minutes, seen on the cable and inside the tunnel.
    private struct Sight {
        let cable: PacketCapture
        let tunnel: PacketCapture
    }

    private func judge(_ report: inout DemoReport, quiet: Sight, busy: Sight, marker: [UInt8]) {
        report.outerPackets = quiet.cable.packets.count + busy.cable.packets.count
        func answered(_ result: PingResult?) -> Bool { result.map { $0.received == $0.sent && $0.sent > 0 } ?? false }
        report.check("ping", answered(report.ping4) && answered(report.ping6), "every echo answered, IPv4 and IPv6")
        let rate = report.throughput?.megabitsPerSecond ?? 0
        report.check("tcp", rate > 0, "\(DemoReport.rounded(rate, 0)) Mbit/s arrived")

        var foreign: [String: Int] = [:]
        var (datagrams, neighbours) = (0, 0)
        for capture in [quiet.cable, busy.cable] {
            let traffic = OuterTraffic(capture, port: DemoNode.port)
            foreign.merge(traffic.foreign, uniquingKeysWith: +)
            datagrams += traffic.tunnelPackets
            neighbours += traffic.neighbourPackets
        }
        let others = foreign.sorted { $0.key < $1.key }.map { "\($0.value) of \($0.key)" }.joined(separator: ", ")
        report.check(
            "only the tunnel", foreign.isEmpty && datagrams > 0,
            "\(datagrams) datagrams of UDP port \(DemoNode.port), \(neighbours) of neighbour discovery, "
                + (others.isEmpty ? "nothing else" : others))

        compare("ping payload", marker, quiet, &report)
        compare("TCP payload", Self.iperfPattern, busy, &report)
        compare("inner IPv4 addresses", [10, 77, 0, 1, 10, 77, 0, 2], quiet, &report)
        compare("inner IPv6 addresses", Self.address(1) + Self.address(2), quiet, &report)

        let known = nodes.flatMap(\.recognisableBytes)
        let seen = known.reduce(0) { $0 + quiet.cable.count(containing: $1) }
        report.check("identities", seen == 0, "no name, id or long-term public key of either node on the cable")
    }

    /// The bytes must be in the tunnel, or the test proves nothing, and not on the cable.
    private func compare(_ name: String, _ bytes: [UInt8], _ sight: Sight, _ report: inout DemoReport) {
        let (inside, outside) = (sight.tunnel.count(containing: bytes), sight.cable.count(containing: bytes))
        report.check(
            name, inside > 0 && outside == 0, "in \(inside) packets inside the tunnel, in \(outside) on the cable")
    }

    /// fd77::`number`
    private static func address(_ number: UInt8) -> [UInt8] {
        [0xFD, 0x77] + [UInt8](repeating: 0, count: 13) + [number]
    }

    // MARK: The end

    /// Ends what was started and removes what was made, whatever state it is in.
    func clear() {
        for program in programs { program.stop() }
        for capture in captures { capture.stop() }
        for node in nodes { node.daemon?.stop() }
        for host in built { host.remove() }
        (programs, captures, built) = ([], [], [])
    }

    /// How to enter the hosts, and how to remove them.
    var keepText: String {
        DemoPlace.keepText(hosts: hosts, processes: nodes.compactMap { $0.daemon?.identifier }, scratch: scratch)
            + "\nTheir logs: \(scratch)/daemon-a.err and daemon-b.err"
    }
}
