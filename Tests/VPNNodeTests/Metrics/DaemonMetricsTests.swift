// SPDX-License-Identifier: Apache-2.0
// The metrics of real daemons over real HTTP: what a scraper gets, what promtool says of it, and what strangers cannot do.
import Foundation
import Testing

@testable import VPNNode

@Suite(.serialized, .threads(.programs))
struct DaemonMetricsTests {
    private static let quiet = "network: { listen_port: 0, bind_host: 127.0.0.1 }\ntunnel: { enabled: false }\n"
    private static let served = quiet + "metrics: { prometheus: true, bind_port: 0, per_peer: true }\n"

    private func port(_ daemon: RunningDaemon) throws -> UInt16 {
        let address = try #require(daemon.event("metrics.listening")?["address"] as? String, "\(daemon.text)")
        return try #require(address.split(separator: ":").last.flatMap { UInt16($0) })
    }

    private func started(_ text: String = served) throws -> (Scratch, RunningDaemon, UInt16) {
        let scratch = try Scratch()
        try scratch.write(text, to: "c.yaml")
        let daemon = try RunningDaemon(["--config", "c.yaml"], in: scratch)
        let port = try port(daemon)
        #expect(daemon.event("node.ready") != nil)
        return (scratch, daemon, port)
    }

    private func scrape(_ port: UInt16) throws -> ParsedMetrics {
        let answer = try #require(LoopbackHTTP.ask(port, "/metrics"))
        #expect(answer.status == 200 && answer.head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"))
        return try #require(ParsedMetrics(answer.body), "\(answer.body)")
    }

    @Test func aPairOfNodesIsSeen() throws {
        let scratch = try Scratch()
        for name in ["alice", "bob"] {
            try FileManager.default.createDirectory(
                atPath: scratch.file(name), withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        }
        let common = Self.served + "security: { tofu: true }\n"
        try scratch.write(common, to: "bob/c.yaml")
        let bob = try RunningDaemon(["--config", "bob/c.yaml"], in: scratch, log: "bob.log")
        let address = try #require(bob.event("node.listening")?["address"] as? String)
        let name = "b\\\\o\\\"b"
        try scratch.write(
            common + "peers: [{ name: \"\(name)\", endpoint: \"\(address)\" }]\n", to: "alice/c.yaml")
        let alice = try RunningDaemon(["--config", "alice/c.yaml"], in: scratch, log: "alice.log")
        #expect(alice.event("session.established") != nil, "\(alice.text)")
        #expect(bob.event("session.established") != nil, "\(bob.text)")
        let (alices, bobs) = (try scrape(try port(alice)), try scrape(try port(bob)))

        #expect(alices.value("pqvpn_handshakes_total", ["role": "initiator", "result": "ok"]) == 1)
        #expect(bobs.value("pqvpn_handshakes_total", ["role": "responder", "result": "ok"]) == 1)
        #expect(alices.value("pqvpn_handshake_duration_seconds_count", ["role": "initiator"]) == 1)
        #expect(alices.value("pqvpn_handshakes_total", ["role": "initiator", "result": "timeout"]) == 0)
        #expect(alices.value("pqvpn_sessions", ["state": "current"]) == 1)
        #expect(alices.value("pqvpn_build_info", ["version": "0.1.0", "protocol": "1"]) == 1)
        #expect(alices.value("pqvpn_ready") == 1 && alices.value("pqvpn_insecure_settings") == 1)
        #expect(alices.value("pqvpn_session_rekeys_total") == 0)
        let sent = try #require(alices.value("pqvpn_sent_bytes_total"))
        #expect(sent > 8000, "an S1 and its cookie's answer")
        #expect(alices.value("pqvpn_dropped_packets_total", ["reason": "authentication"]) == 0)
        // The operator's name for a peer, as it is.
        let handshake = try #require(
            alices.value("pqvpn_peer_latest_handshake_timestamp_seconds", ["peer": "b\\o\"b"]),
            "\(alices.samples)")
        #expect((Date().timeIntervalSince1970 - handshake).magnitude < 120)
        let memory = try #require(alices.value("process_resident_memory_bytes"))
        #expect(memory > 1_000_000)
        #expect(alice.end(with: SIGTERM) == 0 && bob.end(with: SIGTERM) == 0)
    }

    @Test(arguments: MetricFormat.allCases)
    func promtoolFindsNothing(_ format: MetricFormat) throws {
        let (scratch, daemon, port) = try started()
        defer { withExtendedLifetime(daemon) {} }
        let accept = format == .openMetrics ? "Accept: application/openmetrics-text\r\n" : ""
        let answer = try #require(LoopbackHTTP.ask(port, "/metrics", headers: accept))
        #expect(answer.head.contains("content-type: \(format.contentType)"))
        #expect(answer.body.hasSuffix("# EOF\n") == (format == .openMetrics))
        // This promtool reads the older format only.
        guard format == .prometheus else { return }
        guard Promtool.isThere else { return Promtool.skipped(#function) }
        try scratch.write(answer.body, to: "page.txt")
        let told = try Program.launch(["/bin/sh", "-c", "promtool check metrics < page.txt"], in: scratch)
        #expect(told.status == 0 && told.output.isEmpty && told.errors.isEmpty, "\(told.output)\(told.errors)")
        // And it does find what is wrong.
        try scratch.write("# TYPE pqvpn_x_ms counter\npqvpn_x_ms 1\n", to: "bad.txt")
        #expect(try Program.launch(["/bin/sh", "-c", "promtool check metrics < bad.txt"], in: scratch).status != 0)
    }

    @Test func theRulesAndTheBoardSpeakOfMetricsThatThereAre() throws {
        let packaging = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent().appendingPathComponent("packaging")
        let rules = packaging.appendingPathComponent("prometheus/alerts.yml").path
        let board = packaging.appendingPathComponent("grafana/pqvpn.json").path
        let (scratch, daemon, port) = try started()
        defer { withExtendedLifetime(daemon) {} }
        let page = try scrape(port)
        var known = Set(page.kinds.keys)
        for (name, kind) in page.kinds where kind == "histogram" {
            known.formUnion(["_bucket", "_sum", "_count"].map { name + $0 })
        }
        for path in [rules, board] {
            let text = try String(contentsOfFile: path, encoding: .utf8)
            let used = Set(text.matches(of: /\b(?:pqvpn|process)_[a-z_]+/).map { String($0.output) })
            #expect(used.count > 5 && used.subtracting(known).isEmpty, "\(path): \(used.subtracting(known))")
        }
        _ = try JSONSerialization.jsonObject(with: Data(contentsOf: URL(fileURLWithPath: board)))
        guard Promtool.isThere else { return Promtool.skipped(#function) }
        let told = try Program.launch(["/usr/bin/env", "promtool", "check", "rules", rules], in: scratch)
        #expect(told.status == 0, "\(told.output)\(told.errors)")
    }

    @Test func onlyThreePagesAreThereAndNothingCanBeDone() throws {
        let (_, daemon, port) = try started()
        #expect(LoopbackHTTP.ask(port, "/livez")?.body == "ok\n")
        #expect(LoopbackHTTP.ask(port, "/readyz")?.status == 200)
        #expect(LoopbackHTTP.ask(port, "/metrics?x=%00&y=..%2f")?.status == 200)
        for path in [
            "/", "/metrics/", "/METRICS", "//metrics", "/v1/status", "/../etc/passwd", "/%2e%2e/x", "/favicon.ico",
        ] {
            #expect(LoopbackHTTP.ask(port, path)?.status == 404, "\(path)")
        }
        for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"] {
            let answer = LoopbackHTTP.ask(
                port, "/metrics", method: method, headers: "Content-Length: 5\r\n", body: "hello")
            #expect(answer?.status == 405 && answer?.head.contains("allow: get, head") == true, "\(method)")
        }
        let head = try #require(LoopbackHTTP.ask(port, "/metrics", method: "HEAD"))
        #expect(head.status == 200 && head.body.isEmpty && head.head.contains("content-length: "))
        #expect(daemon.end(with: SIGTERM) == 0)
    }

    @Test func brokenRequestsEndTheirConnectionAndNothingElse() throws {
        let (_, daemon, port) = try started()
        let long = String(repeating: "a", count: 1 << 20)
        let broken = [
            "GET /\(long) HTTP/1.1\r\nHost: x\r\n\r\n", "GET /metrics HTTP/1.1\r\nX: \(long)\r\n\r\n",
            "GET /metrics HTTP/1.1\r\n" + (0..<1000).map { "H\($0): v\r\n" }.joined() + "\r\n",
            "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}", "GET\r\n\r\n", "GET /metrics HTTP/9.9\r\n\r\n",
            "GET /metrics HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            "POST /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        ]
        for request in broken {
            let connection = try #require(LoopbackConnection(port: port))
            connection.send(request)
            // Closed within the limits of an idle connection, with a refusal or without a word.
            let status = LoopbackHTTP.answer(connection.receive())?.status
            #expect(status.map { $0 >= 400 } ?? true, "\(request.prefix(60))")
        }
        #expect(LoopbackHTTP.ask(port, "/metrics")?.status == 200)
        #expect(daemon.process.isRunning && !daemon.text.contains("aaaaaaaa"))
        #expect(daemon.end(with: SIGTERM) == 0)
    }

    @Test func manyConnectionsHoldNeitherTheServerNorTheEnd() throws {
        let (_, daemon, port) = try started()
        var connections = (0..<50).compactMap { _ in LoopbackConnection(port: port) }
        for connection in connections.prefix(20) { connection.send("GET /metrics HTTP/1.1\r\nHost:") }
        let files = try FileManager.default.contentsOfDirectory(
            atPath: "/proc/\(daemon.process.processIdentifier)/fd")
        #expect(files.count < 100, "\(files.count) descriptors")
        // Who waits gets an answer once the silent ones are closed.
        #expect(LoopbackHTTP.ask(port, "/livez")?.status == 200)
        connections += (0..<40).compactMap { _ in LoopbackConnection(port: port) }
        #expect(daemon.end(with: SIGTERM) == 0, "\(daemon.text)")
        #expect(connections.count >= 50)
    }

    /// Connections that are accepted and not served yet are dropped by a server that is cancelled, for which the library's own
    /// values trap: in about one of four of these rounds without CarefulChannel.
    @Test func anEndInTheMiddleOfABurstIsAnOrderlyOne() throws {
        for round in 0..<16 {
            let (_, daemon, port) = try started()
            let connections = (0..<32).compactMap { _ in LoopbackConnection(port: port) }
            #expect(daemon.end(with: SIGTERM) == 0, "round \(round): \(daemon.text)")
            #expect(!connections.isEmpty)
        }
    }

    @Test func aPortThatIsTakenStopsTheStart() throws {
        let (scratch, daemon, port) = try started()
        defer { withExtendedLifetime(daemon) {} }
        try scratch.write(
            Self.quiet + "metrics: { prometheus: true, bind_port: \(port) }\n", to: "d.yaml")
        let second = try Program.run(["run", "--config", "d.yaml"], in: scratch)
        #expect(second.status == 1 && second.errors.contains("choose another metrics.bind_port"), "\(second.errors)")
        try scratch.write(
            Self.quiet + "metrics: { prometheus: true, bind_host: 192.0.2.1, bind_port: 0 }\n", to: "e.yaml")
        let third = try Program.run(["run", "--config", "e.yaml"], in: scratch)
        #expect(third.status == 1 && third.errors.contains("metrics.bind_host"), "\(third.errors)")
        #expect(!third.errors.contains("node.ready"))
    }

    @Test func nothingListensUnlessItIsAskedFor() throws {
        let scratch = try Scratch()
        try scratch.write(Self.quiet, to: "c.yaml")
        let daemon = try RunningDaemon(["--config", "c.yaml"], in: scratch)
        #expect(daemon.event("node.ready") != nil)
        #expect(!daemon.text.contains("metrics.listening"))
        #expect(daemon.end(with: SIGTERM) == 0)
    }
}

enum Promtool {
    static var isThere: Bool {
        (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").contains {
            FileManager.default.isExecutableFile(atPath: "\($0)/promtool")
        }
    }

    static func skipped(_ test: String) {
        print("SKIPPED: the part of \(test) that needs promtool (Debian package prometheus)")
    }
}
