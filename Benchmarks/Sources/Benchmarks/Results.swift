// SPDX-License-Identifier: Apache-2.0
// What was measured: one value per round and quantity, and what is made of the rounds.
import Foundation

/// A chapter of the report.
enum Chapter: String, Codable, CaseIterable {
    case primitives, handshake, packets, tables, run, peers

    var title: String {
        switch self {
        case .primitives: "Primitives"
        case .handshake: "One handshake, by the protocol's state machines in memory"
        case .packets: "One packet of 1,400 bytes, by the data plane in memory"
        case .tables: "Tables"
        case .run: "The runs of the above"
        case .peers: "Side by side: two daemons, two network namespaces, one cable"
        }
    }
}

/// One value of one round, as scripts/bench-peers writes it too.
struct Row: Codable {
    var group: Chapter
    /// Whose value it is, where several programs are measured side by side.
    var peer: String?
    /// Counted from 1. Values without one are of one round each, in their order.
    var round: Int?
    var name: String
    var unit: String
    var value: Double
}

/// What a peer is, in its own words: program, version, settings.
struct Description: Codable {
    let peer: String
    let description: String
}

/// All rounds of one quantity, in the order of its first round.
struct Series {
    let group: Chapter
    let peer: String?
    let name: String
    let unit: String
    /// By round; a round in which it was not measured is not there.
    private(set) var values: [Int: Double] = [:]

    init(_ row: Row) { (group, peer, name, unit) = (row.group, row.peer, row.name, row.unit) }

    mutating func append(_ row: Row) { values[row.round ?? values.count + 1] = row.value }

    var spread: Spread { Spread(Array(values.values)) }
}

/// What is said of several values.
struct Spread {
    let median: Double
    let lowest: Double
    let highest: Double
    let count: Int

    /// - Parameter values: one at least.
    init(_ values: [Double]) {
        let sorted = values.sorted()
        let middle = sorted.count / 2
        median = sorted.count.isMultiple(of: 2) ? (sorted[middle - 1] + sorted[middle]) / 2 : sorted[middle]
        (lowest, highest, count) = (sorted[0], sorted[sorted.count - 1], sorted.count)
    }
}

struct Results {
    private(set) var series: [Series] = []
    private(set) var descriptions: [Description] = []

    mutating func add(_ group: Chapter, _ name: String, _ unit: String, _ value: Double) {
        add(Row(group: group, name: name, unit: unit, value: value))
    }

    mutating func add(_ row: Row) {
        let place =
            series.firstIndex {
                $0.group == row.group && $0.peer == row.peer && $0.name == row.name && $0.unit == row.unit
            } ?? series.count
        if place == series.count { series.append(Series(row)) }
        series[place].append(row)
    }

    /// Adds rows and descriptions from a file, one JSON object a line.
    mutating func add(file: String) throws {
        let text = String(decoding: try Data(contentsOf: URL(filePath: file)), as: UTF8.self)
        for line in text.split(separator: "\n") {
            if let description = try? JSONDecoder().decode(Description.self, from: Data(line.utf8)) {
                // Each round has it.
                if !descriptions.contains(where: { $0.peer == description.peer }) { descriptions.append(description) }
            } else {
                add(try JSONDecoder().decode(Row.self, from: Data(line.utf8)))
            }
        }
    }
}
