// SPDX-License-Identifier: Apache-2.0
// A metric as it is told: its name, kind and help, and its samples. Pure values; the text is MetricText.swift.

enum MetricKind: String, Sendable {
    case counter, gauge, histogram
}

/// What a metric is, before anything was counted.
struct MetricDescription: Sendable {
    let name: String
    let kind: MetricKind
    let help: String
    /// The names of its labels, in the order in which they are told.
    var labels: [String] = []
    /// Of a histogram: the upper bounds, ascending, without infinity.
    var buckets: [Double] = []
    /// As many combinations of label values are told apart; what comes beyond is added up under "other".
    var maximumSeries = 64
}

/// One line: a suffix of the name, labels, a value.
struct MetricSample: Equatable, Sendable {
    var suffix = ""
    var labels: [(name: String, value: String)] = []
    var value: Double

    init(_ value: Double, _ labels: [(name: String, value: String)] = [], suffix: String = "") {
        self.suffix = suffix
        self.labels = labels
        self.value = value
    }

    static func == (a: MetricSample, b: MetricSample) -> Bool {
        a.suffix == b.suffix && a.value == b.value && a.labels.map(\.name) == b.labels.map(\.name)
            && a.labels.map(\.value) == b.labels.map(\.value)
    }
}

struct MetricFamily: Sendable {
    let description: MetricDescription
    var samples: [MetricSample]

    init(_ description: MetricDescription, _ samples: [MetricSample]) {
        self.description = description
        self.samples = samples
    }
}
