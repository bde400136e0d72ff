// SPDX-License-Identifier: Apache-2.0
// What status, top and their numbers say, from made-up reports.
import Testing

@testable import VPNNode

struct StatusTests {
    private func session(_ signatures: String = "Ed25519+ML-DSA-87", bytesIn: UInt64 = 0) -> StatusReport.Session {
        StatusReport.Session(
            id: String(repeating: "0", count: 32), role: "initiator", cipher: "AES-256-GCM", signatures: signatures,
            isChained: false, hasPresharedKey: false, ageSeconds: 10, renewsInSeconds: 1800, expiresInSeconds: 3600,
            keyPhase: 0, receivedSecondsAgo: nil, sentSecondsAgo: nil, datagramsIn: 0, bytesIn: bytesIn,
            datagramsOut: 0, bytesOut: 0)
    }

    private func peer(
        _ name: String, _ state: String, _ session: StatusReport.Session? = nil, isConfigured: Bool = true,
        failures: Int = 0, roundTrip: Double? = nil
    ) -> StatusReport.Peer {
        StatusReport.Peer(
            name: name, peerID: nil, state: state, isConfigured: isConfigured, endpoint: "192.0.2.1:9000",
            allowedIPs: [], roundTripSeconds: roundTrip, pathMTU: nil, failures: failures, retryInSeconds: nil,
            session: session)
    }

    private func report(
        _ peers: [StatusReport.Peer], drops: [String: UInt64] = [:], facts: HealthFacts = HealthFacts(),
        bytesIn: UInt64 = 0
    ) -> StatusReport {
        StatusReport(
            verdict: StatusReport.verdict(peers), version: "0", pid: 1, nickname: "n",
            peerID: String(repeating: "a", count: 64), isTemporary: false, configuration: "c.yaml", uptimeSeconds: 1,
            listening: "[::]:9000", tunnel: nil,
            traffic: StatusReport.Traffic(
                packetsOut: 0, bytesOut: 0, packetsIn: 0, bytesIn: bytesIn, wireBytesOut: 0, wireBytesIn: 0),
            peers: peers, drops: drops, health: HealthCheck.findings(facts, peers: peers, drops: drops))
    }

    @Test func theVerdictNeverSaysMoreThanIsTrue() {
        let good = peer("a", "connected", session())
        let cases: [([StatusReport.Peer], StatusReport.Verdict)] = [
            ([], .idle), ([good], .protected), ([good, peer("b", "connected", session())], .protected),
            ([good, peer("b", "connecting")], .partial), ([good, peer("b", "silent", session())], .partial),
            ([good, peer("b", "unconfirmed", session())], .partial), ([peer("b", "idle")], .disconnected),
            ([peer("b", "silent", session())], .disconnected),
            ([peer("b", "connected", session("ML-DSA-87"))], .degraded),
            ([good, peer("b", "connected", session("ML-DSA-87"))], .degraded),
            // Strangers protect nobody's traffic, and their absence is no fault.
            ([peer("s", "connected", session(), isConfigured: false)], .idle),
            ([good, peer("s", "silent", session(), isConfigured: false)], .protected),
            ([peer("a", "idle"), peer("s", "connected", session(), isConfigured: false)], .disconnected),
        ]
        for (peers, verdict) in cases {
            #expect(StatusReport.verdict(peers) == verdict, "\(peers.map { ($0.name, $0.state) })")
            let words = report(peers).text
            #expect(words.hasPrefix("PROTECTED") == (verdict == .protected), "\(words)")
        }
        // Sessions without an interface.
        #expect(StatusReport.verdict([good], isTunnelGone: true) == .disconnected)
        #expect(StatusReport.verdict([], isTunnelGone: true) == .idle)
    }

    @Test func aMissingInterfaceSaysWhereItsPacketsGo() {
        func words(isLockedDown: Bool, isLockdownMissing: Bool = false) -> String {
            var facts = HealthFacts()
            facts.isTunnelGone = true
            (facts.isLockedDown, facts.isLockdownMissing) = (isLockedDown, isLockdownMissing)
            return HealthCheck.findings(facts, peers: [], drops: [:]).first { $0.code == "TUNNEL_GONE" }?.text ?? ""
        }
        #expect(words(isLockedDown: false).hasSuffix("in clear"))
        #expect(words(isLockedDown: true).hasSuffix("stays on this host"))
        #expect(words(isLockedDown: true, isLockdownMissing: true).hasSuffix("in clear"))
    }

    @Test func eachFindingSaysWhatMendsIt() {
        var facts = HealthFacts()
        #expect(HealthCheck.findings(facts, peers: [], drops: [:]).isEmpty)
        facts = HealthFacts(
            insecureSettings: InsecureSetting.all, isTemporaryIdentity: true,
            configurationFile: "c.yaml", isMemoryLocked: false, unkeptPins: 2, knownPeersFile: "known_peers.yaml",
            isTunnelGone: true, unresolved: ["vpn.example:9000"])
        let peers = [
            peer("quiet", "silent", session()), peer("far", "waiting", failures: 3), peer("new", "connecting"),
            peer("half", "connected", session("ML-DSA-87")), peer("s", "silent", isConfigured: false),
        ]
        let found = HealthCheck.findings(facts, peers: peers, drops: ["jobs_full": 7, "replay": 1])
        #expect(
            found.map(\.code) == [
                "TUNNEL_GONE", "PEER_SILENT", "PEER_UNREACHABLE", "SESSION_DEGRADED", "PINS_NOT_KEPT",
                "ENDPOINT_UNRESOLVED", "ONE_SIGNATURE_ALLOWED", "STRANGERS_ARE_PINNED", "HANDSHAKES_UNLIMITED",
                "METRICS_EXPOSED", "TEMPORARY_IDENTITY",
                "MEMORY_NOT_LOCKED", "HANDSHAKES_DROPPED",
            ])
        #expect(found.allSatisfy { !$0.text.isEmpty && !$0.fix.isEmpty })
        let words = report(peers, facts: facts).text
        #expect(words.contains("E PEER_SILENT  'quiet' does not answer any more at 192.0.2.1:9000"), "\(words)")
        #expect(words.contains("mend: pqvpn ping quiet"))
    }

    @Test func numbersAreForPeople() {
        let spans: [(Double, String)] = [
            (0, "0 µs"), (0.000_25, "250 µs"), (0.00124, "1.24 ms"), (0.25, "250 ms"), (3.04, "3.0 s"), (59, "59 s"),
            (60, "1 m 0 s"), (3599, "59 m 59 s"), (8040, "2 h 14 m"), (273_600, "3 d 4 h"), (-1, "-"), (.nan, "-"),
        ]
        for (seconds, text) in spans { #expect(Units.span(seconds) == text) }
        let sizes: [(UInt64, String)] = [
            (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1_258_291, "1.2 MiB"), (.max, "16.0 EiB"),
            (200 << 20, "200 MiB"),
        ]
        for (count, text) in sizes { #expect(Units.bytes(count) == text) }
        #expect(Units.rate(bytesPerSecond: 1_200_000) == "9.6 Mbit/s" && Units.rate(bytesPerSecond: 10) == "80 bit/s")
        #expect(Units.sparkline([0, 1, nil, 2]) == "▁▅ █" && Units.sparkline([]) == "")
    }

    @Test func topShowsRatesAndFitsItsTerminal() {
        var view = TopView()
        #expect(view.lines(of: (80, 24)).isEmpty)
        view.add(report([peer("bob", "connected", session(bytesIn: 1000), roundTrip: 0.01)], bytesIn: 1000), after: 1)
        view.add(
            report(
                [peer("bob", "connected", session(bytesIn: 126_000), roundTrip: 0.02)], drops: ["replay": 3],
                bytesIn: 251_000),
            after: 2)
        let lines = view.lines(of: (100, 24))
        #expect(lines[0].hasPrefix("PROTECTED"))
        #expect(lines.contains { $0.hasPrefix("in   1.0 Mbit/s") }, "\(lines)")
        #expect(lines.contains { $0.hasPrefix("bob   connected  500.0 kbit/s") && $0.hasSuffix("▅█") }, "\(lines)")
        #expect(lines.contains { $0.hasPrefix("dropped 3 (+3)  replay 3") } && lines.last == "q quits")
        // A new session counts from nothing: no rate rather than a wrong one.
        view.add(report([peer("bob", "connected", session(bytesIn: 10))], bytesIn: 251_000), after: 1)
        #expect(view.lines(of: (100, 24)).contains { $0.hasPrefix("bob   connected  -") })
        for size in [(10, 3), (1, 1), (40, 5)] {
            let small = view.lines(of: size)
            #expect(small.count <= max(2, size.1) && small.allSatisfy { $0.count <= size.0 })
        }
    }

    @Test func controlCharactersOfAPeerNeverReachATerminal() throws {
        // Names come from the configuration and from descriptors, which refuse them; file names of sockets from nicknames.
        #expect(ControlPlace.fileName("a/../b c\u{1B}[2J") == "a____b_c__2J.sock")
        #expect(ControlPlace.fileName("") == "node.sock")
        #expect(ControlPlace.fileName(String(repeating: "x", count: 100)).utf8.count == 45)
        #expect(ControlPlace.directory(["RUNTIME_DIRECTORY": "/run/a:/run/b", "XDG_RUNTIME_DIR": "/x"]) == "/run/a")
        #expect(ControlPlace.directory(["XDG_RUNTIME_DIR": "relative"]) == "/run/pqvpn")
    }
}
