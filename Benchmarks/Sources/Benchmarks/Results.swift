// SPDX-License-Identifier: Apache-2.0
// What was measured: one value per round and quantity, and what is made of the rounds.
import Foundation

/// A chapter of the report.
enum Chapter: String, Codable, CaseIterable {
    case primitives, handshake, packets, tables, tunnel, run

    var title: String {
        switch self {
        case .primitives: "Primitives"
        case .handshake: "One handshake, by the protocol's state machines in memory"
        case .packets: "One packet of 1,400 bytes, by the data plane in memory"
        case .tables: "Tables"
        case .tunnel: "Two daemons, two network namespaces, one cable"
        case .run: "The runs"
        }
    }
}

/// One value of one round, as scripts/bench-tunnel writes it too.
struct Row: Codable {
    var group: Chapter
    var name: String
    var unit: String
    var value: Double
}

/// All rounds of one quantity, in the order of its first round.
struct Series {
    let group: Chapter
    let name: String
    let unit: String
    private(set) var values: [Double] = []

    init(_ row: Row) { (group, name, unit) = (row.group, row.name, row.unit) }

    mutating func append(_ value: Double) { values.append(value) }

    var median: Double {
        let sorted = values.sorted()
        let middle = sorted.count / 2
        return sorted.count.isMultiple(of: 2) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle]
    }

    var lowest: Double { values.min() ?? 0 }
    var highest: Double { values.max() ?? 0 }
}

struct Results {
    private(set) var series: [Series] = []

    mutating func add(_ group: Chapter, _ name: String, _ unit: String, _ value: Double) {
        add(Row(group: group, name: name, unit: unit, value: value))
    }

    mutating func add(_ row: Row) {
        let place =
            series.firstIndex { $0.group == row.group && $0.name == row.name && $0.unit == row.unit } ?? series.count
        if place == series.count { series.append(Series(row)) }
        series[place].append(row.value)
    }

    /// Adds rows from a file, one JSON object a line.
    mutating func add(file: String) throws {
        let text = String(decoding: try Data(contentsOf: URL(filePath: file)), as: UTF8.self)
        for line in text.split(separator: "\n") { add(try JSONDecoder().decode(Row.self, from: Data(line.utf8))) }
    }
}
