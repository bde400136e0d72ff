// SPDX-License-Identifier: Apache-2.0
// What the circuit's demonstration has shown, for people and as the object `pqvpn.demo.circuit/1`.
internal import Foundation

/// What a demonstration ends with.
public protocol DemoResult: Sendable {
    /// Everything that had to be so was so.
    var ok: Bool { get }
    /// One line.
    var json: String { get }
}

extension DemoReport: DemoResult {}

struct CircuitDemoReport: DemoResult {
    /// What one relay could see: with whom it spoke, and whether it saw the client, the server, and what they said.
    struct Relay: Encodable {
        let name: String
        let before: String
        let behind: String
        let seesClient: Bool
        let seesServer: Bool
        let seesPage: Bool

        private enum CodingKeys: String, CodingKey {
            case name, before, behind
            case seesClient = "sees_client"
            case seesServer = "sees_server"
            case seesPage = "sees_page"
        }
    }

    var hops = 0
    /// From the start of the client's daemon to the circuit, and then to its inner addresses.
    var milliseconds: Double?
    /// Of inner packets.
    var mtu: Int?
    var addresses: [String] = []
    var ping4: PingResult?
    var ping6: PingResult?
    var relays: [Relay] = []
    private(set) var checks: [DemoReport.Check] = []

    var ok: Bool { !checks.isEmpty && checks.allSatisfy(\.ok) }

    mutating func check(_ name: String, _ ok: Bool, _ detail: String) {
        checks.append(DemoReport.Check(name: name, ok: ok, detail: detail))
    }

    // MARK: Text

    var circuitText: String {
        """
        Circuit
          hops            \(hops), each with a whole handshake: ML-KEM-1024, brainpoolP512r1, Ed25519, ML-DSA-87
          packets         \(mtu.map { "\($0) bytes" } ?? "unknown")
          inner addresses \(addresses.joined(separator: ", "))
          time            \(DemoReport.rounded(milliseconds, 0)) ms from the start of the client
        """
    }

    var relaysText: String {
        var rows = [["", "before it", "behind it", "client's address", "server's address", "the page"]]
        for relay in relays {
            rows.append(
                [relay.name, relay.before, relay.behind]
                    + [relay.seesClient, relay.seesServer, relay.seesPage].map { $0 ? "seen" : "-" })
        }
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        let lines = rows.map { row in
            "  "
                + zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }.joined(separator: "  ")
        }
        return (["What each relay could see, by the cables on both of its sides"] + lines).joined(separator: "\n")
    }

    var checksText: String {
        let width = checks.map(\.name.count).max() ?? 0
        let lines = checks.map { check in
            let padding = String(repeating: " ", count: width - check.name.count)
            return "  \(check.ok ? "ok  " : "FAIL")  \(check.name)\(padding)  \(check.detail)"
        }
        return (["Checks"] + lines).joined(separator: "\n")
    }

    // MARK: JSON

    var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let object = Object(
            ok: ok, hops: hops, circuitMilliseconds: milliseconds.map { ($0 * 1000).rounded() / 1000 }, mtu: mtu,
            addresses: addresses, ping4: ping4?.milliseconds, ping6: ping6?.milliseconds, relays: relays, checks: checks
        )
        guard let data = try? encoder.encode(object) else { return "{\"schema\":\"\(Object.name)\",\"ok\":false}" }
        return String(decoding: data, as: UTF8.self)
    }

    private struct Object: Encodable {
        static let name = "pqvpn.demo.circuit/1"
        let schema = name
        let ok: Bool
        let hops: Int
        let circuitMilliseconds: Double?
        let mtu: Int?
        let addresses: [String]
        let ping4: Double?
        let ping6: Double?
        let relays: [Relay]
        let checks: [DemoReport.Check]

        private enum CodingKeys: String, CodingKey {
            case schema, ok, hops, mtu, addresses, relays, checks
            case circuitMilliseconds = "circuit_ms"
            case ping4 = "ping4_ms"
            case ping6 = "ping6_ms"
        }
    }
}
