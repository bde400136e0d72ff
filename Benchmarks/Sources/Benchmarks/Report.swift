// SPDX-License-Identifier: Apache-2.0
// Results as a Markdown text, as JSON lines of the schema pqvpn.bench/1, and in their place in docs/benchmarks.md.
import Foundation

struct Report {
    let results: Results
    /// What it ran on and when, one line for people.
    let origin: String

    // MARK: Markdown

    var markdown: String {
        let chapters = Chapter.allCases.compactMap { chapter -> String? in
            let series = results.series.filter { $0.group == chapter }
            if series.isEmpty { return nil }
            let lines = series.map { series in
                let range = "\(Self.text(series.lowest)) – \(Self.text(series.highest))"
                return
                    "| \(series.name) | \(Self.text(series.median)) | \(range) | \(series.unit) | \(series.values.count) |"
            }
            return "### \(chapter.title)\n\n| | median | lowest – highest | | rounds |\n|---|---:|---:|---|---:|\n"
                + lines.joined(separator: "\n")
        }
        return ([origin] + chapters).joined(separator: "\n\n") + "\n"
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
            return try results.series.map { series in
                String(decoding: try encoder.encode(Line(series)), as: UTF8.self) + "\n"
            }.joined()
        }
    }

    private struct Line: Encodable {
        let schema = "pqvpn.bench/1"
        let group: Chapter
        let name: String
        let unit: String
        let median: Double
        let lowest: Double
        let highest: Double
        let rounds: Int

        init(_ series: Series) {
            (group, name, unit, rounds) = (series.group, series.name, series.unit, series.values.count)
            (median, lowest, highest) = (series.median, series.lowest, series.highest)
        }
    }

    // MARK: Documentation

    private static let begin = "<!-- measured: begin -->"
    private static let end = "<!-- measured: end -->"

    /// Puts the Markdown between the two marks of a file and leaves the rest of it alone.
    func write(into path: String) throws {
        let url = URL(filePath: path)
        let text = String(decoding: try Data(contentsOf: url), as: UTF8.self)
        guard let begin = text.range(of: Self.begin), let end = text.range(of: Self.end),
            begin.upperBound <= end.lowerBound
        else { throw Failure("\(path) has no lines \(Self.begin) and \(Self.end)") }
        let new = text[..<begin.upperBound] + "\n" + markdown + text[end.lowerBound...]
        try Data(new.utf8).write(to: url, options: .atomic)
    }
}

/// Something that a person must mend.
struct Failure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
