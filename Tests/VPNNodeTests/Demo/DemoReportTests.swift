// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import VPNNode

@Suite struct DemoReportTests {
    private static let ping = """
        PING 10.77.0.2 (10.77.0.2) 200(228) bytes of data.
        208 bytes from 10.77.0.2: icmp_seq=1 ttl=64 time=0.402 ms

        --- 10.77.0.2 ping statistics ---
        5 packets transmitted, 4 received, 20% packet loss, time 804ms
        rtt min/avg/max/mdev = 0.304/0.351/0.402/0.031 ms
        """

    @Test func readsPing() {
        let result = PingResult(Self.ping)
        #expect(result?.sent == 5)
        #expect(result?.received == 4)
        #expect(result?.milliseconds == 0.351)
        let nothing = PingResult("3 packets transmitted, 0 received, +3 errors, 100% packet loss, time 2045ms\n")
        #expect(nothing?.received == 0)
        #expect(nothing?.milliseconds == nil)
        #expect(PingResult("ping: unknown host") == nil)
        #expect(PingResult("") == nil)
    }

    @Test func readsIperf() {
        let json = #"{"start":{},"end":{"sum_received":{"bits_per_second":1.5e9,"bytes":562500000,"seconds":3}}}"#
        let result = ThroughputResult([UInt8](json.utf8))
        #expect(result?.megabitsPerSecond == 1500)
        #expect(result?.bytes == 562_500_000)
        #expect(ThroughputResult([UInt8](#"{"start":{},"end":{},"error":"unable to connect"}"#.utf8)) == nil)
        #expect(ThroughputResult([]) == nil)
    }

    @Test func readsTheLogOfASession() {
        let line = """
            {"ts":"2026-11-23T12:04:05.123Z","level":"info","component":"handshake","msg":"session established",\
            "event":"session.established","role":"initiator","dur_s":0.0125,"s1_bytes":8610,"s2_bytes":"8330",\
            "kem":"ML-KEM-1024+brainpoolP512r1","signatures":"Ed25519+ML-DSA-87","aead":"AES-256-GCM"}
            """
        let handshake = DemoNode.handshake(of: line, role: "initiator")
        #expect(handshake?.milliseconds == 12.5)
        #expect(handshake?.s1Bytes == 8610)
        #expect(handshake?.s2Bytes == 8330)
        #expect(handshake?.keyAgreement == "ML-KEM-1024+brainpoolP512r1")
        #expect(handshake?.signatures == "Ed25519+ML-DSA-87")
        #expect(handshake?.cipher == "AES-256-GCM")
        #expect(DemoNode.handshake(of: line, role: "responder") == nil)
        // The words alone, in a line that is cut or of another event, are not the event.
        #expect(DemoNode.handshake(of: String(line.dropLast(2)), role: "initiator") == nil)
        let other = #"{"event":"peer.silent","msg":"session.established","role":"initiator"}"#
        #expect(DemoNode.handshake(of: other, role: "initiator") == nil)
    }

    @Test func okNeedsEveryCheck() {
        var report = DemoReport()
        #expect(!report.ok, "nothing was shown")
        report.check("one", true, "")
        #expect(report.ok)
        report.check("two", false, "")
        #expect(!report.ok)
        #expect(!DemoReport.failed("no").ok)
    }

    @Test func theObjectHasEveryKey() throws {
        var report = DemoReport()
        report.handshake = DemoNode.Handshake(milliseconds: 14.25, s1Bytes: 8610, s2Bytes: 8330)
        report.ping4 = PingResult(Self.ping)
        report.check("one", true, "a \"quoted\" word")
        for report in [report, .failed("two\nlines")] {
            #expect(!report.json.contains("\n"))
            let parsed = try JSONSerialization.jsonObject(with: Data(report.json.utf8))
            let object = try #require(parsed as? [String: Any])
            let keys = [
                "schema", "ok", "error", "checks", "kem", "signatures", "aead", "handshake_ms", "s1_bytes", "s2_bytes",
                "ping4_ms", "ping6_ms", "tcp_mbps", "cpu_s_per_gb", "outer_packets",
            ]
            #expect(Set(object.keys) == Set(keys))
            #expect(object["schema"] as? String == "pqvpn.demo/1")
            #expect(object["ok"] as? Bool == report.ok)
        }
    }

    @Test func everyMissingToolIsNamedWithItsPackage() throws {
        let failure = try #require(throws: NodeFailure.self) { try DemoTools(searching: []) }
        for word in ["ip", "ping", "iperf3", "tcpdump", "apt-get install", "iproute2", "iputils-ping", "util-linux"] {
            #expect(failure.message.contains(word), "\(word)")
        }
    }
}
