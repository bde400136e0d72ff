// SPDX-License-Identifier: Apache-2.0
// Metrics as Prometheus reads them: its text format 0.0.4, and OpenMetrics 1.0 for those who ask for it.
// https://prometheus.io/docs/instrumenting/exposition_formats/

/// One of the two text formats.
public enum MetricFormat: Sendable, Hashable, CaseIterable {
    case prometheus
    case openMetrics

    public var contentType: String {
        switch self {
        case .prometheus: "text/plain; version=0.0.4; charset=utf-8"
        case .openMetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8"
        }
    }

    /// The format that an Accept header prefers; the older one where it says nothing of ours.
    public init(accept: String?) {
        self = .prometheus
        var best = 0.0
        for entry in (accept ?? "").split(separator: ",").prefix(16) {
            let parts = entry.split(separator: ";").map { $0.filter { $0 != " " && $0 != "\t" }.lowercased() }
            let quality = parts.dropFirst().first { $0.hasPrefix("q=") }.flatMap { Double($0.dropFirst(2)) } ?? 1
            let format: MetricFormat? =
                switch parts.first {
                case "application/openmetrics-text": .openMetrics
                case "text/plain", "text/*", "*/*": .prometheus
                default: nil
                }
            if let format, quality > best { (self, best) = (format, quality) }
        }
    }
}

enum MetricText {
    static func text(_ families: [MetricFamily], _ format: MetricFormat) -> String {
        var text = ""
        for family in families {
            let description = family.description
            var name = description.name
            // OpenMetrics names the family of a counter without the suffix of its samples.
            if format == .openMetrics, description.kind == .counter, name.hasSuffix("_total") { name.removeLast(6) }
            text += "# HELP \(name) \(escaped(description.help, quotes: format == .openMetrics))\n"
            text += "# TYPE \(name) \(description.kind.rawValue)\n"
            for sample in family.samples {
                text += description.name + sample.suffix
                if !sample.labels.isEmpty {
                    let labels = sample.labels.map { "\($0.name)=\"\(escaped($0.value, quotes: true))\"" }
                    text += "{\(labels.joined(separator: ","))}"
                }
                text += " \(number(sample.value))\n"
            }
        }
        return format == .openMetrics ? text + "# EOF\n" : text
    }

    /// Whole numbers as such, all others in the shortest form that reads back the same.
    static func number(_ value: Double) -> String {
        if value.isNaN { return "NaN" }
        if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
        if value == value.rounded(), value.magnitude < 1e15 { return String(Int64(value)) }
        return "\(value)"
    }

    private static func escaped(_ text: String, quotes: Bool) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\"" where quotes: result += "\\\""
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
