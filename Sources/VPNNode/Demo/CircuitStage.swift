// SPDX-License-Identifier: Apache-2.0
// The row of hosts of one run of the circuit's demonstration, and what happens on them in which order.
//
//     client ==cable 0== relay 1 ==cable 1== relay 2 ==cable 2== relay 3, the exit ==cable 3== web server
internal import Foundation
internal import VPNCore
internal import VPNCrypto

final class CircuitStage {
    private let hops: Int
    private let hosts: [DemoHost]
    private let cables: [DemoCable]
    private let tools: CircuitTools
    private let scratch: String
    private let say: (String) -> Void

    private var built: [DemoHost] = []
    private var nodes: [CircuitDemoNode] = []
    private var captures: [DemoCapture] = []
    private var programs: [DemoProcess] = []

    /// The client's inner interface takes its addresses from a lease, which comes after the circuit.
    private static let patience = 30.0

    init(hops: Int, suffix: String, tools: CircuitTools, scratch: String, say: @escaping (String) -> Void) {
        self.hops = hops
        self.tools = tools
        self.scratch = scratch
        self.say = say
        let names = ["client"] + (1...hops).map { "relay\($0)" } + ["web"]
        let hosts = names.enumerated().map { number, name in
            DemoHost(letter: name, number: number, suffix: suffix, tools: tools.common, directory: scratch)
        }
        self.hosts = hosts
        cables = (0...hops).map { DemoCable(number: $0, near: hosts[$0], far: hosts[$0 + 1]) }
    }

    private var client: CircuitDemoNode { nodes[0] }
    private var last: DemoCable { cables[hops] }
    private var web: DemoHost { hosts[hops + 1] }

    // MARK: The play

    func perform() throws -> CircuitDemoReport {
        try build()
        var report = CircuitDemoReport()
        report.hops = hops
        // The beginning of what is said with each request, and what the page is made of: 32 bytes that nobody else sends.
        let request = Self.marker()
        let page = Self.marker()
        try serve(page)
        try connect(&report)
        say(report.circuitText)

        let captured = try cables.map { cable in
            let capture = try DemoCapture(
                "cable\(cable.number)", on: DemoCable.nearEnd, of: cable.near, tools: tools.common, limit: 20_000)
            captures.append(capture)
            return capture
        }
        report.ping4 = try ping(last.farIPv4, "-4")
        report.ping6 = try ping(last.farIPv6, "-6")
        let pages = try [last.farIPv4, "[\(last.farIPv6)]"].map { try fetch($0, request) }
        let sights = try captured.map { CableSight(capture: try $0.finish()) }

        judge(&report, sights, request: request, page: page, pages: pages)
        say(report.relaysText)
        say(report.checksText)
        return report
    }

    private static func marker() -> String {
        (0..<32).map { _ in String(Int.random(in: 0..<16), radix: 16) }.joined()
    }

    private func build() throws {
        for host in hosts {
            try host.make()
            built.append(host)
            try DemoInterruption.check()
        }
        for cable in cables { try cable.lay() }
        // What an exit's operator does once: answers come in by an interface that is not the daemon's.
        let forwarding = try hosts[hops].start(
            "sysctl", tools.sysctl, ["-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])
        guard try forwarding.finish(within: 5).status == 0 else {
            throw NodeFailure(.failure, "forwarding cannot be turned on:\n\(forwarding.lastErrors())")
        }
        nodes = try hosts.dropLast().enumerated().map { place, host in
            try CircuitDemoNode(
                host: host, role: place == 0 ? .client : place == hops ? .exit : .relay, in: scratch)
        }
        for (place, node) in nodes.enumerated() {
            var neighbours: [CircuitDemoNode.Neighbour] = []
            if place > 0 { neighbours.append(.init(node: nodes[place - 1], endpoint: nil)) }
            if place < hops {
                neighbours.append(.init(node: nodes[place + 1], endpoint: cables[place].farIPv4))
            }
            try node.configure(neighbours: neighbours, hops: Array(nodes.dropFirst()), networks: last.networks)
        }
        let lines = nodes.map { node in
            "  \(node.name)  node \(node.peerID.short)  (\(node.host.namespace))"
        }
        say(
            "A client, \(hops) relays, of which the last is an exit, and a web server, in a row\n"
                + (lines + ["  web     \(last.farIPv4), \(last.farIPv6)  (\(web.namespace))"]).joined(separator: "\n"))
    }

    private func serve(_ page: String) throws {
        let directory = "\(scratch)/web"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
        // A hundred packets or so.
        try Data(String(repeating: page + "\n", count: 4000).utf8).write(to: URL(filePath: "\(directory)/index.html"))
        let server = try web.start(
            "web-server", tools.python, ["-u", "-m", "http.server", "80", "--bind", "::", "--directory", directory])
        programs.append(server)
        try DemoProcess.wait(10, for: "the web server") {
            guard server.isRunning else {
                throw NodeFailure(.failure, "the web server ended:\n\(server.lastErrors())")
            }
            return server.output.contains("Serving HTTP")
        }
    }

    /// The exit first: whoever is asked shall be there.
    private func connect(_ report: inout CircuitDemoReport) throws {
        for node in nodes.dropFirst().reversed() { try node.start(pqvpn: tools.common.pqvpn) }
        let began = Date()
        try client.start(pqvpn: tools.common.pqvpn)
        try client.wait("a circuit of \(hops) hops", seconds: Self.patience) { client.event("circuit.ready") != nil }
        report.milliseconds = Date().timeIntervalSince(began) * 1000
        report.mtu = (client.event("circuit.ready")?["mtu"] as? NSNumber)?.intValue
        try client.wait("inner addresses from the exit", seconds: Self.patience) {
            report.addresses = try innerAddresses()
            return report.addresses.count == 2
        }
    }

    /// Of the client, as the kernel has them.
    private func innerAddresses() throws -> [String] {
        let host = client.host
        let text = try host.ip(
            "-n", host.namespace, "-o", "address", "show", "dev", DemoHost.interface, "scope", "global")
        return text.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            guard let place = words.firstIndex(where: { $0 == "inet" || $0 == "inet6" }), place + 1 < words.count else {
                return nil
            }
            return words[place + 1].split(separator: "/").first.map(String.init)
        }
    }

    private func ping(_ address: String, _ family: String) throws -> PingResult? {
        let program = try client.host.start(
            "ping\(family)", tools.common.ping, [family, "-n", "-c", "5", "-i", "0.2", "-W", "2", address])
        programs.append(program)
        return try PingResult(program.finish(within: 20).output)
    }

    private func fetch(_ address: String, _ request: String) throws -> String {
        let program = try client.host.start(
            "curl-\(programs.count)", tools.curl,
            ["-sS", "--noproxy", "*", "--max-time", "15", "http://\(address)/?\(request)"])
        programs.append(program)
        return try program.finish(within: 20).output
    }

    // MARK: The judgement

    private func judge(
        _ report: inout CircuitDemoReport, _ sights: [CableSight], request: String, page: String, pages: [String]
    ) {
        func answered(_ result: PingResult?) -> Bool { result.map { $0.received == $0.sent && $0.sent > 0 } ?? false }
        report.check("ping", answered(report.ping4) && answered(report.ping6), "every echo answered, IPv4 and IPv6")
        let whole = pages.filter { $0.count == 4000 * 33 && $0.hasPrefix(page) }.count
        report.check("curl", whole == 2, "\(whole) of 2 pages came whole, by IPv4 and by IPv6")

        let texts = [request, page].map { [UInt8]($0.utf8) }
        func seesPage(_ sight: CableSight) -> Bool { texts.contains(where: sight.holds) }
        func sees(_ addresses: [String], _ sight: CableSight) -> Bool {
            !sight.addresses.isDisjoint(with: addresses)
                || addresses.compactMap { IPAddress($0)?.bytes }.contains(where: sight.holds)
        }
        let clients = [cables[0].nearIPv4, cables[0].nearIPv6] + report.addresses
        let servers = [last.farIPv4, last.farIPv6]
        for place in 1...hops {
            let sides = [sights[place - 1], sights[place]]
            report.relays.append(
                .init(
                    name: hosts[place].letter, before: "\(cables[place - 1].nearIPv4) (\(hosts[place - 1].letter))",
                    behind: "\(cables[place].farIPv4) (\(hosts[place + 1].letter))",
                    seesClient: sides.contains { sees(clients, $0) }, seesServer: sides.contains { sees(servers, $0) },
                    seesPage: sides.contains(where: seesPage)))
        }
        let both = report.relays.filter { $0.seesClient && $0.seesServer }.map(\.name)
        report.check(
            "no relay sees both ends", hops < 2 || both.isEmpty,
            both.isEmpty ? "the first sees the client, the last the server" : both.joined(separator: ", "))
        report.check(
            "the page", seesPage(sights[hops]) && !sights.dropLast().contains(where: seesPage),
            "on the cable behind the exit, on none before it")
        let strays = sights.dropLast().flatMap {
            OuterTraffic($0.capture, port: CircuitDemoNode.port).foreign.map { "\($0.value) of \($0.key)" }
        }
        report.check(
            "only the tunnel", strays.isEmpty,
            strays.isEmpty
                ? "UDP of port \(CircuitDemoNode.port) on all cables before the exit" : strays.joined(separator: ", "))
        let known = client.recognisableBytes
        let shown = sights.filter { sight in known.contains(where: sight.holds) }.count
        report.check("the client's identity", shown == 0, "on none of \(sights.count) cables")
        compare(&report, Array(sights.dropLast()))
    }

    /// Whoever listens on two cables shall find nothing to match them by.
    private func compare(_ report: inout CircuitDemoReport, _ sights: [CableSight]) {
        let strings = sights.map { $0.strings() }
        var common = 0
        for first in strings.indices {
            for second in strings.indices where second > first {
                common += strings[first].intersection(strings[second]).count
            }
        }
        let least = strings.map(\.count).min() ?? 0
        report.check(
            "nothing in common", common == 0 && least > 0,
            "no nine bytes in a row are the same on two cables (\(least) and more strings compared)")
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
        DemoPlace.keepText(
            hosts: hosts,
            processes: (nodes.compactMap(\.daemon) + programs.filter(\.isRunning)).map(\.identifier), scratch: scratch)
            + "\nTo ask a node: pqvpn circuits --socket \(scratch)/node-client/control.sock"
    }
}
