// SPDX-License-Identifier: Apache-2.0
// A comparison as Markdown tables, as JSON lines, and as the numbers of a plot.
import Foundation

extension Comparison {
    // MARK: Markdown

    /// Nothing if no peer was measured.
    var markdown: [String] {
        if peers.isEmpty { return [] }
        let list = descriptions.map { "- `\($0.peer)`: \($0.description)" }.joined(separator: "\n")
        let head = ["### \(Chapter.peers.title)"] + (list.isEmpty ? [] : [list])
        let chapters = head + Quantity.tables.compactMap(table) + [ratioTable, pairTable].compactMap { $0 }
        // A long load alone is no occasion for a verdict.
        return chapters + (Aim.all(self).allSatisfy { $0.measured == nil } ? [] : [verdictTable])
    }

    private func table(_ title: String, _ columns: [Quantity]) -> String? {
        let columns = columns.filter { column in peers.contains { spread(column.name, of: $0) != nil } }
        if columns.isEmpty { return nil }
        let lines = peers.compactMap { peer -> [String]? in
            let cells = columns.map { Self.cell(spread($0.name, of: peer), divisor: $0.divisor) }
            return cells.allSatisfy { $0 == "–" } ? nil : [peer] + cells
        }
        return "#### \(title)\n\n" + Self.table(head: [""] + columns.map(\.title), lines)
    }

    private var ratioTable: String? {
        let bases = peers.filter { $0 != Self.subject }
        let lines = Quantity.ratios.compactMap { quantity -> [String]? in
            let cells = bases.map { Self.cell(ratio(quantity.name, to: $0)) }
            return cells.allSatisfy { $0 == "–" } ? nil : [quantity.title] + cells
        }
        if lines.isEmpty { return nil }
        return "#### Ratios: \(Self.subject) / the other, within a round\n\n"
            + Self.table(head: [""] + bases.map { "/ \($0)" }, lines)
    }

    private var pairTable: String? {
        let pairs = Self.pairs.filter { peers.contains($0.subject) && peers.contains($0.base) }
        let lines = Quantity.ratios.compactMap { quantity -> [String]? in
            let cells = pairs.map { Self.cell(ratio(quantity.name, of: $0.subject, to: $0.base)) }
            return cells.allSatisfy { $0 == "–" } ? nil : [quantity.title] + cells
        }
        if lines.isEmpty { return nil }
        return "#### Through relays, within a round\n\n"
            + Self.table(head: [""] + pairs.map { "\($0.title): `\($0.subject)` / `\($0.base)`" }, lines)
    }

    private var verdictTable: String {
        let lines = Aim.all(self).map { [$0.title, $0.wanted, Self.cell($0.measured), $0.verdict.rawValue] }
        return "#### Aims\n\n" + Self.table(head: ["", "aim", "measured", "verdict"], lines)
    }

    private static func table(head: [String], _ lines: [[String]]) -> String {
        let rule = "|---|" + String(repeating: "---:|", count: head.count - 1)
        return
            (["| " + head.joined(separator: " | ") + " |", rule]
            + lines.map { "| " + $0.joined(separator: " | ") + " |" }).joined(separator: "\n")
    }

    /// Median, and in brackets lowest and highest if there was more than one round.
    private static func cell(_ spread: Spread?, divisor: Double = 1) -> String {
        guard let spread else { return "–" }
        let median = Report.text(spread.median / divisor)
        if spread.count == 1 { return median }
        return "\(median) (\(Report.text(spread.lowest / divisor))–\(Report.text(spread.highest / divisor)))"
    }

    // MARK: JSON lines

    /// Descriptions, ratios and verdicts; the values themselves are lines of the report.
    func jsonLines(_ encoder: JSONEncoder) throws -> [String] {
        func line(_ value: some Encodable) throws -> String {
            String(decoding: try encoder.encode(value), as: UTF8.self)
        }
        let pairs =
            peers.filter { $0 != Self.subject }.map { (Self.subject, $0) }
            + Self.pairs.map { ($0.subject, $0.base) }
        let ratios = try pairs.flatMap { subject, base in
            try Quantity.ratios.compactMap { quantity in
                try ratio(quantity.name, of: subject, to: base).map {
                    try line(RatioLine(quantity.name, subject, base, $0))
                }
            }
        }
        let aims = Aim.all(self).filter { $0.measured != nil }
        return try descriptions.map { try line(DescriptionLine(peer: $0.peer, description: $0.description)) }
            + ratios + (try aims.map { try line(AimLine($0)) })
    }

    private struct DescriptionLine: Encodable {
        let schema = Report.schema
        let group = "descriptions"
        let peer: String
        let description: String
    }

    private struct RatioLine: Encodable {
        let schema = Report.schema
        let group = "ratios"
        let peer: String
        let base: String
        let name: String
        let median: Double
        let lowest: Double
        let highest: Double
        let rounds: Int

        init(_ name: String, _ peer: String, _ base: String, _ spread: Spread) {
            (self.name, self.peer, self.base, rounds) = (name, peer, base, spread.count)
            (median, lowest, highest) = (spread.median, spread.lowest, spread.highest)
        }
    }

    private struct AimLine: Encodable {
        let schema = Report.schema
        let group = "aims"
        let name: String
        let aim: String
        let measured: Double?
        let verdict: Aim.Verdict

        init(_ aim: Aim) {
            (name, self.aim, measured, verdict) = (aim.title, aim.wanted, aim.measured?.median, aim.verdict)
        }
    }

    // MARK: Plot

    /// A line for each peer: its name, and median, lowest and highest of each bar; "NaN" for what was not measured.
    var plot: String {
        peers.map { peer in
            let columns = Quantity.plotted.flatMap { quantity -> [String] in
                guard let spread = spread(quantity.name, of: peer) else { return ["NaN", "NaN", "NaN"] }
                return [spread.median, spread.lowest, spread.highest].map { String($0 / quantity.divisor) }
            }
            return ([peer] + columns).joined(separator: " ") + "\n"
        }.joined()
    }
}
