// SPDX-License-Identifier: Apache-2.0
// What is printed can be read back, whatever is in it; and the choice between the two formats.
import Testing

@testable import VPNNode

/// A reader of the text format, written from its description and not from our printer.
struct ParsedMetrics: Equatable {
    struct Sample: Equatable {
        var name: String
        var labels: [String: String]
        /// As bits, so that NaN equals itself.
        var value: UInt64
    }

    var helps: [String: String] = [:]
    var kinds: [String: String] = [:]
    var samples: [Sample] = []

    /// Nil where a line is none of the format.
    init?(_ text: String) {
        guard text.unicodeScalars.last == "\n" else { return nil }
        for line in text.dropLast().unicodeScalars.split(separator: "\n", omittingEmptySubsequences: false) {
            var rest = Array(line)
            if rest.starts(with: "# ".unicodeScalars) {
                let words = String(String.UnicodeScalarView(rest)).split(
                    separator: " ", maxSplits: 3, omittingEmptySubsequences: false)
                guard words.count == 4 else { return nil }
                switch words[1] {
                case "HELP": helps[String(words[2])] = Self.unescaped(String(words[3]))
                case "TYPE": kinds[String(words[2])] = String(words[3])
                default: return nil
                }
                continue
            }
            let name = rest.prefix { $0 != "{" && $0 != " " }
            rest.removeFirst(name.count)
            var labels: [String: String] = [:]
            if rest.first == "{" {
                rest.removeFirst()
                while rest.first != "}" {
                    let label = rest.prefix { $0 != "=" }
                    rest.removeFirst(min(rest.count, label.count + 1))
                    guard rest.first == "\"" else { return nil }
                    rest.removeFirst()
                    var value: [Unicode.Scalar] = []
                    while let scalar = rest.first, scalar != "\"" {
                        value.append(scalar)
                        if scalar == "\\", rest.count > 1 { value.append(rest[1]) }
                        rest.removeFirst(scalar == "\\" ? 2 : 1)
                    }
                    guard rest.first == "\"" else { return nil }
                    rest.removeFirst()
                    if rest.first == "," { rest.removeFirst() }
                    labels[Self.string(Array(label))] = Self.unescaped(Self.string(value))
                    if rest.isEmpty { return nil }
                }
                rest.removeFirst()
            }
            guard rest.first == " ", let value = Self.number(Self.string(Array(rest.dropFirst()))) else { return nil }
            samples.append(Sample(name: Self.string(Array(name)), labels: labels, value: value.bitPattern))
        }
    }

    func value(_ name: String, _ labels: [String: String] = [:]) -> Double? {
        samples.first { $0.name == name && $0.labels == labels }.map { Double(bitPattern: $0.value) }
    }

    private static func string(_ scalars: [Unicode.Scalar]) -> String { String(String.UnicodeScalarView(scalars)) }

    private static func number(_ text: String) -> Double? {
        switch text {
        case "+Inf": .infinity
        case "-Inf": -.infinity
        case "NaN": .nan
        default: text.contains { !"0123456789.e+-".contains($0) } ? nil : Double(text)
        }
    }

    private static func unescaped(_ text: String) -> String {
        var result = String.UnicodeScalarView()
        var isEscaped = false
        for scalar in text.unicodeScalars {
            if isEscaped {
                result.append(scalar == "n" ? "\n" : scalar)
                isEscaped = false
            } else if scalar == "\\" {
                isEscaped = true
            } else {
                result.append(scalar)
            }
        }
        return String(result)
    }
}

struct MetricTextTests {
    /// Splitmix64: the same cases in each run.
    private struct Numbers: RandomNumberGenerator {
        var state: UInt64
        mutating func next() -> UInt64 {
            state &+= 0x9E37_79B9_7F4A_7C15
            var z = state
            z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
            z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
            return z ^ (z >> 31)
        }
    }

    private static let hostile = [
        "\"", "\\", "\n", "{", "}", ",", "=", " ", "#", "\u{0}", "\r", "é", "\u{202E}", "n", "🧵",
    ]

    @Test func whatIsPrintedReadsBackTheSame() throws {
        var numbers = Numbers(state: 7)
        for _ in 0..<500 {
            func text() -> String {
                (0..<Int.random(in: 0...8, using: &numbers)).map { _ in Self.hostile.randomElement(using: &numbers)! }
                    .joined()
            }
            func value() -> Double {
                switch Int.random(in: 0...4, using: &numbers) {
                case 0: Double(Int64.random(in: -1_000_000...1_000_000, using: &numbers))
                case 1: Double(bitPattern: UInt64.random(in: 0 ... .max, using: &numbers))
                case 2: [.infinity, -.infinity, .nan, 1e15, 1e-300, 0.1].randomElement(using: &numbers)!
                case 3: Double(UInt64.random(in: 0 ... .max, using: &numbers))
                default: Double.random(in: 0...1, using: &numbers)
                }
            }
            let help = text()
            let samples = (0..<3).map { _ in MetricSample(value(), [("a", text()), ("b", text())]) }
            let family = MetricFamily(
                MetricDescription(name: "m_total", kind: .counter, help: help, labels: ["a", "b"]), samples)
            let read = try #require(ParsedMetrics(MetricText.text([family], .prometheus)), "\(family)")
            #expect(read.helps == ["m_total": help] && read.kinds == ["m_total": "counter"])
            let expected = samples.map { sample in
                ParsedMetrics.Sample(
                    name: "m_total",
                    labels: Dictionary(uniqueKeysWithValues: sample.labels.map { ($0.name, $0.value) }),
                    value: sample.value.isNaN ? Double.nan.bitPattern : (sample.value + 0).bitPattern)
            }
            #expect(read.samples == expected)
        }
    }

    @Test func openMetricsDiffersWhereItMust() {
        let family = MetricFamily(
            MetricDescription(name: "pqvpn_x_total", kind: .counter, help: "Say \"x\"."), [MetricSample(3)])
        #expect(
            MetricText.text([family], .openMetrics)
                == "# HELP pqvpn_x Say \\\"x\\\".\n# TYPE pqvpn_x counter\npqvpn_x_total 3\n# EOF\n")
        #expect(
            MetricText.text([family], .prometheus)
                == "# HELP pqvpn_x_total Say \"x\".\n# TYPE pqvpn_x_total counter\npqvpn_x_total 3\n")
    }

    @Test(
        arguments: [
            (nil, MetricFormat.prometheus), ("", .prometheus), ("*/*", .prometheus), ("text/html", .prometheus),
            ("application/openmetrics-text", .openMetrics),
            ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3", .openMetrics),
            ("application/openmetrics-text; q=0.2, text/plain; q=0.9", .prometheus),
            ("application/openmetrics-text;q=0", .prometheus), ("Application/OpenMetrics-Text ; q=nan", .prometheus),
            (String(repeating: "x/y,", count: 10_000) + "application/openmetrics-text", .prometheus),
        ] as [(String?, MetricFormat)])
    func theAcceptHeaderDecides(_ accept: String?, _ format: MetricFormat) {
        #expect(MetricFormat(accept: accept) == format)
    }
}
