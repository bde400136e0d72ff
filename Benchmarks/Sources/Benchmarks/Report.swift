// SPDX-License-Identifier: Apache-2.0
// Results as a Markdown text, as JSON lines of the schema pqvpn.bench/2, and in their place in docs/benchmarks.md.
import Foundation

struct Report {
    static let schema = "pqvpn.bench/2"

    let results: Results
    /// What it ran on and when, one line for people.
    let origin: String

    // MARK: Markdown

    var markdown: String { Self.text([origin] + chapters + Comparison(results).markdown) }

    private static func text(_ paragraphs: [String]) -> String { paragraphs.joined(separator: "\n\n") + "\n" }

    /// What was measured of the library; nothing if nothing was.
    private var chapters: [String] {
        Chapter.allCases.filter { $0 != .peers }.compactMap { chapter -> String? in
            let series = results.series.filter { $0.group == chapter }
            if series.isEmpty { return nil }
            let lines = series.map { series in
                let spread = series.spread
                let range = "\(Self.text(spread.lowest)) – \(Self.text(spread.highest))"
                return "| \(series.name) | \(Self.text(spread.median)) | \(range) | \(series.unit) | \(spread.count) |"
            }
            return "### \(chapter.title)\n\n| | median | lowest – highest | | rounds |\n|---|---:|---:|---|---:|\n"
                + lines.joined(separator: "\n")
        }
    }

    /// Three significant digits, and all digits of what is before the point.
    static func text(_ value: Double) -> String {
        guard value.isFinite, value != 0 else { return value == 0 ? "0" : "–" }
        let digits = max(0, 2 - Int(log10(abs(value)).rounded(.down)))
        return String(format: "%.\(min(digits, 4))f", value)
    }

    // MARK: JSON lines

    var jsonLines: String {
        get throws {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            let lines = try results.series.map { String(decoding: try encoder.encode(Line($0)), as: UTF8.self) }
            return (lines + (try Comparison(results).jsonLines(encoder))).map { $0 + "\n" }.joined()
        }
    }

    private struct Line: Encodable {
        let schema = Report.schema
        let group: Chapter
        let peer: String?
        let name: String
        let unit: String
        let median: Double
        let lowest: Double
        let highest: Double
        let rounds: Int
        /// By round.
        let values: [Int: Double]

        init(_ series: Series) {
            (group, peer, name, unit, values) = (series.group, series.peer, series.name, series.unit, series.values)
            let spread = series.spread
            (median, lowest, highest, rounds) = (spread.median, spread.lowest, spread.highest, spread.count)
        }
    }

    // MARK: Documentation

    /// Puts the Markdown between the marks of a file and leaves the rest of it alone. The library and the comparison have
    /// marks of their own, so that to measure one of them leaves the other's last results.
    func write(into path: String) throws {
        let url = URL(filePath: path)
        var text = String(decoding: try Data(contentsOf: url), as: UTF8.self)
        for (mark, paragraphs) in [("measured", chapters), ("compared", Comparison(results).markdown)]
        where !paragraphs.isEmpty {
            let (begin, end) = ("<!-- \(mark): begin -->", "<!-- \(mark): end -->")
            guard let first = text.range(of: begin), let last = text.range(of: end), first.upperBound <= last.lowerBound
            else { throw Failure("\(path) has no lines \(begin) and \(end)") }
            text.replaceSubrange(
                first.upperBound..<last.lowerBound, with: "\n" + Self.text([origin] + paragraphs))
        }
        try Data(text.utf8).write(to: url, options: .atomic)
    }
}

/// Something that a person must mend.
struct Failure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
