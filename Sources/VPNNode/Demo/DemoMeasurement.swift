// SPDX-License-Identifier: Apache-2.0
// What ping and iperf3 say, as numbers.
internal import Foundation

/// The result of one ping run.
struct PingResult: Sendable, Equatable {
    var sent: Int
    var received: Int
    /// Average round trip; nil if nothing came back.
    var milliseconds: Double?

    /// Reads the summary that iputils' ping prints. Nil if there is none.
    init?(_ output: String) {
        let lines = output.split(separator: "\n")
        // "5 packets transmitted, 5 received, 0% packet loss, time 804ms"
        guard let summary = lines.first(where: { $0.contains("packets transmitted") }) else { return nil }
        let counts = summary.split(separator: ",").compactMap { Int($0.split(separator: " ").first ?? "") }
        guard counts.count >= 2 else { return nil }
        (sent, received) = (counts[0], counts[1])
        // "rtt min/avg/max/mdev = 0.304/0.351/0.402/0.031 ms"
        let times = lines.first { $0.hasPrefix("rtt ") }?.split(separator: "=").last?.split(separator: "/")
        milliseconds = times.flatMap { $0.count > 1 ? Double($0[1]) : nil }
    }
}

/// The result of one iperf3 run over TCP.
struct ThroughputResult: Sendable, Equatable {
    /// Received payload, 10⁶ bits per second.
    var megabitsPerSecond: Double
    /// Received payload.
    var bytes: Double

    /// Reads the object that `iperf3 --json` prints. Nil if it holds an error or no sum.
    init?(_ json: [UInt8]) {
        guard let object = try? JSONDecoder().decode(Output.self, from: Data(json)), let sum = object.end?.sum_received
        else { return nil }
        (megabitsPerSecond, bytes) = (sum.bits_per_second / 1e6, sum.bytes)
    }

    /// The part of iperf3's own format that is read here, in its spelling.
    private struct Output: Decodable {
        struct Sum: Decodable {
            let bits_per_second: Double
            let bytes: Double
        }
        struct End: Decodable { let sum_received: Sum? }
        let end: End?
    }
}
