// SPDX-License-Identifier: Apache-2.0
// What the tunnel shall reach, and whether it does. The aims stand here and nowhere else; a number that was not measured
// is said to be so, and never met.
import Foundation

struct Aim {
    enum Verdict: String, Encodable {
        case met, floor, missed, unknown = "not measured"
    }

    let title: String
    /// In words: "≥ 0.9, floor 0.75".
    let wanted: String
    let measured: Spread?
    let verdict: Verdict

    private init(_ title: String, atLeast aim: Double, floor: Double? = nil, _ measured: Spread?) {
        self.init(title, "≥", aim, floor, measured) { $0 >= $1 }
    }

    private init(_ title: String, atMost aim: Double, floor: Double? = nil, _ measured: Spread?) {
        self.init(title, "≤", aim, floor, measured) { $0 <= $1 }
    }

    private init(
        _ title: String, _ sign: String, _ aim: Double, _ floor: Double?, _ measured: Spread?,
        reaches: (Double, Double) -> Bool
    ) {
        self.title = title
        wanted = "\(sign) \(Report.text(aim))" + (floor.map { ", floor \(Report.text($0))" } ?? "")
        self.measured = measured
        verdict =
            if let median = measured?.median {
                reaches(median, aim) ? .met : floor.map { reaches(median, $0) } == true ? .floor : .missed
            } else { .unknown }
    }

    static func all(_ comparison: Comparison) -> [Aim] {
        let (subject, limit) = (Comparison.subject, Comparison.limit)
        func own(_ name: String) -> Spread? { comparison.spread(name, of: subject) }
        func toLimit(_ name: String) -> Spread? { comparison.ratio(name, to: limit) }
        // The newer one is the stricter of the two.
        let wireguard = comparison.peers.contains("wireguard-go-new") ? "wireguard-go-new" : "wireguard-go"
        let tcp = [
            ("tcp1_up", "1 stream, up"), ("tcp1_down", "1 stream, down"), ("tcp4_up", "4 streams, up"),
            ("tcp4_down", "4 streams, down"),
        ]
        return tcp.map { Aim("TCP, \($1): / \(limit)", atLeast: 0.9, floor: 0.75, toLimit($0)) }
            + tcp.map { Aim("TCP, \($1): machine s/GB", atMost: 3.5, floor: 4.2, own($0 + "_machine")) }
            + [64, 1300].flatMap { size in
                [
                    Aim("UDP of \(size) B at ≤ 0.5 % loss: / \(limit)", atLeast: 0.8, toLimit("udp\(size)_best")),
                    Aim("UDP of \(size) B: overload / best", atLeast: 0.9, own("udp\(size)_overload_ratio")),
                ]
            } + [
                Aim("ping under 4 streams, p50: / \(limit)", atMost: 1.2, toLimit("ping_load_p50")),
                Aim(
                    "ping under 4 streams, p99: / \(wireguard)", atMost: 1,
                    comparison.ratio("ping_load_p99", to: wireguard)),
                Aim("ping, idle, p50: ms", atMost: 0.25, own("ping_p50")),
                Aim("memory of a daemon under 4 streams: MB", atMost: 30, own("rss_load")),
            ] + relayed(comparison)
    }

    /// Through relays; left out where nothing of it was measured, which is what happens without being asked for.
    private static func relayed(_ comparison: Comparison) -> [Aim] {
        let measured = zip(Comparison.pairs, [3.0, 1.5, 10]).flatMap { pair, aim in
            [("tcp1_up", "1 stream, up"), ("tcp1_down", "1 stream, down")].map { name, title in
                Aim(
                    "\(pair.title), TCP, \(title): / \(pair.base)", atLeast: aim,
                    comparison.ratio(name, of: pair.subject, to: pair.base))
            }
        }
        let circuit = Comparison.pairs[0].subject
        let cost = Aim(
            "a relay's processor time a packet, TCP, 1 stream, up: µs", atMost: 2,
            comparison.spread("tcp1_up_relay", of: circuit))
        return (measured + [cost]).filter { $0.measured != nil }
    }
}
