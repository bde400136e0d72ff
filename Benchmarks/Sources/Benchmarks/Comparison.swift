// SPDX-License-Identifier: Apache-2.0
// What several programs measured side by side say of each other. Values of one round were measured within minutes, so
// a ratio is taken within a round, and only then the median of the ratios; a machine that changes its pace from round to
// round drops out of it.
import Foundation

struct Comparison {
    /// The one whose ratios to all others are of interest.
    static let subject = "pqvpn"
    /// The practical limit.
    static let limit = "forwarder"
    /// Whom else to divide by whom: the ways through relays, which `subject` does not go.
    static let pairs = [
        Pair(subject: "pqvpn-circuit", base: "wireguard-go-nested", title: "onion of three relays"),
        Pair(subject: "pqvpn-relay", base: "wireguard-go-relay", title: "one relay, hop by hop"),
        Pair(subject: "pqvpn-circuit", base: "tor", title: "circuit of three hops"),
    ]

    struct Pair {
        let subject: String
        let base: String
        let title: String
    }

    /// In the order in which they were first measured.
    let peers: [String]
    let descriptions: [Description]
    private let series: [String: [String: Series]]

    init(_ results: Results) {
        var peers: [String] = []
        var series: [String: [String: Series]] = [:]
        for one in results.series where one.group == .peers {
            guard let peer = one.peer else { continue }
            if !peers.contains(peer) { peers.append(peer) }
            series[peer, default: [:]][one.name] = one
        }
        (self.peers, self.series, descriptions) = (peers, series, results.descriptions)
    }

    func spread(_ name: String, of peer: String) -> Spread? { series[peer]?[name]?.spread }

    /// The ratio of two peers' values in each round that has both; nil where none has.
    func ratio(_ name: String, of peer: String = subject, to base: String) -> Spread? {
        guard let own = series[peer]?[name]?.values, let other = series[base]?[name]?.values else { return nil }
        let ratios = own.compactMap { round, value -> Double? in
            guard let divisor = other[round], divisor > 0 else { return nil }
            return value / divisor
        }
        return ratios.isEmpty ? nil : Spread(ratios)
    }
}

/// A quantity of the comparison, as scripts/bench-peers calls it and as people read it.
struct Quantity {
    let name: String
    let title: String
    /// What the measured value is divided by to be in the unit of the title.
    var divisor = 1.0

    static let tables: [(title: String, columns: [Quantity])] = [
        (
            "TCP: Mbit/s of goodput at the receiver",
            [
                Quantity(name: "tcp1_up", title: "1 stream, up"), Quantity(name: "tcp1_down", title: "1 stream, down"),
                Quantity(name: "tcp4_up", title: "4 streams, up"),
                Quantity(name: "tcp4_down", title: "4 streams, down"),
                Quantity(name: "tcp1_up_retransmits", title: "retransmits, 1 up"),
                Quantity(name: "tcp4_up_retransmits", title: "retransmits, 4 up"),
            ]
        ),
        (
            "Processor time: seconds for 10⁹ bytes of TCP",
            [
                Quantity(name: "tcp1_up_daemons", title: "both daemons, 1 up"),
                Quantity(name: "tcp4_up_daemons", title: "both daemons, 4 up"),
                Quantity(name: "tcp1_up_machine", title: "machine, 1 up"),
                Quantity(name: "tcp1_down_machine", title: "machine, 1 down"),
                Quantity(name: "tcp4_up_machine", title: "machine, 4 up"),
                Quantity(name: "tcp4_down_machine", title: "machine, 4 down"),
            ]
        ),
        (
            "The middle one of three relays: microseconds of its processor time a packet, all of its program's work included",
            [
                Quantity(name: "tcp1_up_relay", title: "1 up"), Quantity(name: "tcp1_down_relay", title: "1 down"),
                Quantity(name: "tcp4_up_relay", title: "4 up"), Quantity(name: "tcp4_down_relay", title: "4 down"),
            ]
        ),
        (
            "UDP: thousands of packets a second",
            [
                Quantity(name: "udp64_best", title: "64 B, ≤ 0.5 % lost", divisor: 1000),
                Quantity(name: "udp64_overload", title: "64 B, overload", divisor: 1000),
                Quantity(name: "udp64_overload_ratio", title: "overload / best"),
                Quantity(name: "udp1300_best", title: "1300 B, ≤ 0.5 % lost", divisor: 1000),
                Quantity(name: "udp1300_overload", title: "1300 B, overload", divisor: 1000),
                Quantity(name: "udp1300_overload_ratio", title: "overload / best"),
            ]
        ),
        (
            "A flood of handshakes from 65,536 addresses with hoarded cookies, ratio to the same datagrams beside the peer's port",
            [
                Quantity(name: "flood_quiet", title: "1 TCP stream beside it, Mbit/s"),
                Quantity(name: "flood_goodput", title: "flooded"),
                Quantity(name: "flood_goodput_ratio", title: "ratio"),
                Quantity(name: "flood_messages", title: "messages a second, thousands", divisor: 1000),
                Quantity(name: "flood_newcomers", title: "newcomers let in within 5 s"),
                Quantity(name: "flood_newcomer_p50", title: "their handshake, ms, p50"),
            ]
        ),
        (
            "Time: milliseconds",
            [
                Quantity(name: "connect", title: "connect"), Quantity(name: "handshake", title: "handshake, own log"),
                Quantity(name: "ping_p50", title: "ping, p50"), Quantity(name: "ping_p99", title: "p99"),
                Quantity(name: "ping_load_p50", title: "under 4 streams, p50"),
                Quantity(name: "ping_load_p99", title: "p99"),
            ]
        ),
        (
            "Memory: MB resident of the larger daemon; and the passes",
            [
                Quantity(name: "rss_idle", title: "idle"), Quantity(name: "rss_load", title: "under 4 streams"),
                Quantity(name: "rss_peak", title: "peak"), Quantity(name: "udp64_reordered", title: "reordered, 64 B"),
                Quantity(name: "udp1300_reordered", title: "reordered, 1300 B"),
                Quantity(name: "foreign", title: "others' work, cores"),
                Quantity(name: "stolen", title: "stolen, cores"),
            ]
        ),
        (
            "Memory under long load: MB resident, and MB in 10 minutes by least squares",
            ["client", "server"].flatMap { who in
                [
                    Quantity(name: "soak_\(who)_begin", title: "\(who), after a tenth"),
                    Quantity(name: "soak_\(who)_end", title: "\(who), at the end"),
                    Quantity(name: "soak_\(who)_slope", title: "\(who), slope"),
                ]
            }
        ),
    ]

    /// Those whose ratios are shown.
    static let ratios = [
        Quantity(name: "tcp1_up", title: "TCP, 1 stream, up"),
        Quantity(name: "tcp1_down", title: "TCP, 1 stream, down"),
        Quantity(name: "tcp4_up", title: "TCP, 4 streams, up"),
        Quantity(name: "tcp4_down", title: "TCP, 4 streams, down"),
        Quantity(name: "tcp1_up_machine", title: "processor time of the machine, 1 up"),
        Quantity(name: "tcp4_up_machine", title: "processor time of the machine, 4 up"),
        Quantity(name: "udp64_best", title: "UDP of 64 B, ≤ 0.5 % lost"),
        Quantity(name: "udp64_overload", title: "UDP of 64 B, overload"),
        Quantity(name: "udp1300_best", title: "UDP of 1300 B, ≤ 0.5 % lost"),
        Quantity(name: "udp1300_overload", title: "UDP of 1300 B, overload"),
        Quantity(name: "connect", title: "connect"), Quantity(name: "ping_p50", title: "ping, p50"),
        Quantity(name: "ping_load_p50", title: "ping under 4 streams, p50"),
        Quantity(name: "ping_load_p99", title: "ping under 4 streams, p99"),
        Quantity(name: "rss_load", title: "memory under 4 streams"),
    ]

    /// The bars of docs/benchmarks.svg, as Benchmarks/plot.gnuplot expects them.
    static let plotted = [
        Quantity(name: "tcp1_up", title: "tcp1", divisor: 1000),
        Quantity(name: "tcp4_up", title: "tcp4", divisor: 1000),
        Quantity(name: "tcp1_up_daemons", title: "daemons"), Quantity(name: "tcp1_up_machine", title: "machine"),
        Quantity(name: "udp64_best", title: "udp64", divisor: 1000),
        Quantity(name: "udp1300_best", title: "udp1300", divisor: 1000),
        Quantity(name: "ping_load_p50", title: "p50"), Quantity(name: "ping_load_p99", title: "p99"),
    ]
}
