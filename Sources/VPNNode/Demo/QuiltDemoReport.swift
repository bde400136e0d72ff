// SPDX-License-Identifier: Apache-2.0
// What the quilt's demonstration has shown, for people and as the object `pqvpn.demo.quilt/1`.
internal import Foundation

struct QuiltDemoReport: DemoResult {
    struct Path: Encodable, Equatable {
        let name: String
        /// Of the cable: Mbit/s each way, and the round trip in milliseconds.
        let megabits: Double
        let milliseconds: Double
        /// What one TCP stream had of it, through a tunnel by this path alone.
        var alone = 0.0
        /// What came by it while all carried, while one was cut, and at the end.
        var together = 0.0
        var whileCut = 0.0
        var atTheEnd = 0.0

        private enum CodingKeys: String, CodingKey {
            case name, alone = "alone_mbps", together = "together_mbps"
            case megabits = "line_mbps"
            case milliseconds = "line_rtt_ms"
            case whileCut = "while_cut_mbps"
            case atTheEnd = "at_the_end_mbps"
        }
    }

    /// A cut costs at most so much: silence is noticed within half a second, and a busy machine takes its part.
    static let longestPause = 0.8

    var paths: [Path] = []
    /// Mbit/s of the one stream, by all paths, without the first, and by all again.
    var together = 0.0
    var whileCut = 0.0
    var atTheEnd = 0.0
    /// Seconds without a byte at the receiver.
    var pause = 0.0
    var isWhole = false
    var bytes = 0.0
    var quilt: QuiltReport.Quilt?
    var plot: String?
    private(set) var checks: [DemoReport.Check] = []

    var ok: Bool { !checks.isEmpty && checks.allSatisfy(\.ok) }
    var best: Double { paths.map(\.alone).max() ?? 0 }
    var sum: Double { paths.map(\.alone).reduce(0, +) }

    mutating func check(_ name: String, _ ok: Bool, _ detail: String) {
        checks.append(DemoReport.Check(name: name, ok: ok, detail: detail))
    }

    /// What had to be so, by the figures; whoever made them adds what is not among them.
    mutating func judge() {
        func mega(_ value: Double) -> String { DemoReport.rounded(value, 1) }
        check(
            "each path alone", !paths.isEmpty && paths.allSatisfy { $0.alone > $0.megabits / 2 },
            paths.map { mega($0.alone) }.joined(separator: ", ") + " Mbit/s")
        check(
            "all together", together > best * 1.05,
            "\(mega(together)) Mbit/s: \(mega(100 * together / max(sum, 1))) % of the sum, "
                + "\(mega(together / max(best, 1))) times the best alone")
        check(
            "the cut", pause <= Self.longestPause,
            "the stream stood still for \(mega(pause * 1000)) ms at most")
        let others = paths.dropFirst().map(\.alone).reduce(0, +)
        check(
            "the others go on", whileCut > others / 2 && (paths.first?.whileCut ?? 0) < 0.5,
            "\(mega(whileCut)) Mbit/s without the first")
        check(
            "back again", (paths.first?.atTheEnd ?? 0) > (paths.first?.alone ?? 0) / 4 && atTheEnd > whileCut,
            "\(mega(atTheEnd)) Mbit/s, \(mega(paths.first?.atTheEnd ?? 0)) of them by the first")
        check(
            "every byte", isWhole && bytes > 0,
            isWhole
                ? "\(Int(bytes / 1e6)) MB in one TCP connection, the same SHA-256 at both ends"
                : "what came is not what was sent"
        )
    }

    // MARK: Text

    var aloneText: String {
        let rows = paths.map { path in
            [
                path.name, "\(DemoReport.rounded(path.megabits, 0)) Mbit/s",
                "\(DemoReport.rounded(path.milliseconds, 0)) ms", "\(DemoReport.rounded(path.alone, 1)) Mbit/s",
            ]
        }
        return "Each path alone\n" + Self.indented(Units.table(["", "CABLE", "ROUND TRIP", "ONE TCP STREAM"], rows))
    }

    var quiltText: String { "At the end `pqvpn quilt` says\n" + Self.indented(quilt?.text ?? "nothing") }

    var checksText: String {
        let width = checks.map(\.name.count).max() ?? 0
        let lines = checks.map { check in
            let padding = String(repeating: " ", count: width - check.name.count)
            return "  \(check.ok ? "ok  " : "FAIL")  \(check.name)\(padding)  \(check.detail)"
        }
        return (["Checks"] + lines).joined(separator: "\n")
    }

    private static func indented(_ text: String) -> String {
        text.split(separator: "\n").map { "  " + $0 }.joined(separator: "\n")
    }

    // MARK: JSON

    var json: String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let object = Object(
            ok: ok, paths: paths, best: best, sum: sum, together: together, whileCut: whileCut, atTheEnd: atTheEnd,
            pause: pause * 1000, bytes: Int(bytes), isWhole: isWhole, quilt: quilt, plot: plot, checks: checks)
        guard let data = try? encoder.encode(object) else { return "{\"schema\":\"\(Object.name)\",\"ok\":false}" }
        return String(decoding: data, as: UTF8.self)
    }

    private struct Object: Encodable {
        static let name = "pqvpn.demo.quilt/1"
        let schema = name
        let ok: Bool
        let paths: [Path]
        let best: Double
        let sum: Double
        let together: Double
        let whileCut: Double
        let atTheEnd: Double
        let pause: Double
        let bytes: Int
        let isWhole: Bool
        let quilt: QuiltReport.Quilt?
        let plot: String?
        let checks: [DemoReport.Check]

        private enum CodingKeys: String, CodingKey {
            case schema, ok, paths, bytes, quilt, plot, checks
            case best = "best_alone_mbps"
            case sum = "sum_alone_mbps"
            case together = "together_mbps"
            case whileCut = "while_cut_mbps"
            case atTheEnd = "at_the_end_mbps"
            case pause = "pause_ms"
            case isWhole = "whole"
        }
    }
}
