// SPDX-License-Identifier: Apache-2.0
// What the demonstration has shown, for people and as the object `pqvpn.demo/1`.
internal import Foundation

/// The result of one run.
public struct DemoReport: Sendable, Equatable {
    /// One thing that had to be so.
    public struct Check: Sendable, Equatable, Codable {
        public var name: String
        public var ok: Bool
        public var detail: String
    }

    var handshake = DemoNode.Handshake()
    var ping4: PingResult?
    var ping6: PingResult?
    var throughput: ThroughputResult?
    var seconds = 0
    /// Processor time of both daemons during the TCP run.
    var processorSeconds: Double?
    /// Captured on the cable.
    var outerPackets = 0
    public internal(set) var checks: [Check] = []
    /// Why the run did not come to its end.
    public internal(set) var failure: String?

    public var ok: Bool { failure == nil && !checks.isEmpty && checks.allSatisfy(\.ok) }

    mutating func check(_ name: String, _ ok: Bool, _ detail: String) {
        checks.append(Check(name: name, ok: ok, detail: detail))
    }

    /// A report of a run that broke before it could show anything.
    public static func failed(_ reason: String) -> DemoReport {
        var report = DemoReport()
        report.failure = reason
        return report
    }

    /// Both daemons' processor seconds per 10⁹ bytes of TCP payload.
    var processorSecondsPerGigabyte: Double? {
        guard let processorSeconds, let bytes = throughput?.bytes, bytes > 0 else { return nil }
        return processorSeconds / (bytes / 1e9)
    }

    // MARK: Text

    /// The part about the handshake, known before the rest.
    var handshakeText: String {
        func bytes(_ count: Int?) -> String { count.map { "\($0) bytes" } ?? "unknown" }
        return """
            Handshake
              key agreement   \(handshake.keyAgreement ?? "unknown")
              signatures      \(handshake.signatures ?? "unknown")
              packets         \(handshake.cipher ?? "unknown")
              on the wire     S1 \(bytes(handshake.s1Bytes)) there, S2 \(bytes(handshake.s2Bytes)) back
              time            \(Self.rounded(handshake.milliseconds)) ms
            """
    }

    var trafficText: String {
        func ping(_ result: PingResult?) -> String {
            guard let result else { return "no result" }
            return "\(Self.rounded(result.milliseconds, 3)) ms  (\(result.received) of \(result.sent) answered)"
        }
        var lines = ["Through the tunnel", "  ping IPv4       \(ping(ping4))", "  ping IPv6       \(ping(ping6))"]
        var tcp = "\(Self.rounded(throughput?.megabitsPerSecond, 0)) Mbit/s  (iperf3, \(seconds) s"
        if let cost = processorSecondsPerGigabyte {
            tcp += "; \(Self.rounded(cost)) s of processor time per GB, both daemons"
        }
        lines.append("  TCP             \(tcp))")
        return lines.joined(separator: "\n")
    }

    var checksText: String {
        let width = checks.map(\.name.count).max() ?? 0
        let lines = checks.map { check in
            let padding = String(repeating: " ", count: width - check.name.count)
            return "  \(check.ok ? "ok  " : "FAIL")  \(check.name)\(padding)  \(check.detail)"
        }
        return (["What an eavesdropper on the cable saw (\(outerPackets) packets captured)"] + lines)
            .joined(separator: "\n")
    }

    /// A decimal number with a point, in every locale.
    static func rounded(_ value: Double?, _ places: Int = 1) -> String {
        guard let value, value.isFinite else { return "?" }
        return String(format: "%.\(places)f", value)
    }

    // MARK: JSON

    /// One line. Every key is always there; what was not measured is null.
    public var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let data = try? encoder.encode(Object(self)) else { return "{\"schema\":\"pqvpn.demo/1\",\"ok\":false}" }
        return String(decoding: data, as: UTF8.self)
    }

    private struct Object: Encodable {
        let report: DemoReport

        init(_ report: DemoReport) { self.report = report }

        private enum CodingKeys: String, CodingKey {
            case schema, ok, error, checks, kem, signatures, aead
            case handshakeMilliseconds = "handshake_ms"
            case s1Bytes = "s1_bytes"
            case s2Bytes = "s2_bytes"
            case ping4 = "ping4_ms"
            case ping6 = "ping6_ms"
            case tcp = "tcp_mbps"
            case processorSecondsPerGigabyte = "cpu_s_per_gb"
            case outerPackets = "outer_packets"
        }

        /// No more digits than were measured.
        private static func thousandths(_ value: Double?) -> Double? { value.map { ($0 * 1000).rounded() / 1000 } }

        func encode(to encoder: any Encoder) throws {
            var object = encoder.container(keyedBy: CodingKeys.self)
            try object.encode("pqvpn.demo/1", forKey: .schema)
            try object.encode(report.ok, forKey: .ok)
            try object.encode(report.failure, forKey: .error)
            try object.encode(report.checks, forKey: .checks)
            try object.encode(report.handshake.keyAgreement, forKey: .kem)
            try object.encode(report.handshake.signatures, forKey: .signatures)
            try object.encode(report.handshake.cipher, forKey: .aead)
            try object.encode(Self.thousandths(report.handshake.milliseconds), forKey: .handshakeMilliseconds)
            try object.encode(report.handshake.s1Bytes, forKey: .s1Bytes)
            try object.encode(report.handshake.s2Bytes, forKey: .s2Bytes)
            try object.encode(report.ping4?.milliseconds, forKey: .ping4)
            try object.encode(report.ping6?.milliseconds, forKey: .ping6)
            try object.encode(Self.thousandths(report.throughput?.megabitsPerSecond), forKey: .tcp)
            try object.encode(
                Self.thousandths(report.processorSecondsPerGigabyte), forKey: .processorSecondsPerGigabyte)
            try object.encode(report.outerPackets, forKey: .outerPackets)
        }
    }
}
