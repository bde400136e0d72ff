// SPDX-License-Identifier: Apache-2.0
// A backend of swift-metrics for one node: what its instruments counted, by name and labels. It is never made the backend of
// the process, so that two nodes in one process do not add up, and whoever embeds this library keeps the choice.
internal import CoreMetrics
internal import Synchronization

final class MetricRegistry: MetricsFactory {
    private struct Family {
        let description: MetricDescription
        var series: [[String]: any MetricSeries] = [:]
    }

    private struct State {
        var families: [String: Family]
        var refused = 0
    }

    private let order: [String]
    private let state: Mutex<State>

    /// - Parameter table: what may be counted. An instrument of another name, kind or with other labels counts into nothing.
    init(_ table: [MetricDescription]) {
        order = table.map(\.name)
        state = Mutex(
            State(families: Dictionary(uniqueKeysWithValues: table.map { ($0.name, Family(description: $0)) })))
    }

    /// What was counted, in the order of the table; histograms come with sums and counts.
    var families: [MetricFamily] {
        state.withLock { state in
            order.compactMap { state.families[$0] }.map { family in
                let names = family.description.labels
                let sorted = family.series.sorted { $0.key.lexicographicallyPrecedes($1.key) }
                return MetricFamily(
                    family.description,
                    sorted.flatMap { values, series in
                        series.samples.map { sample in
                            var sample = sample
                            sample.labels = zip(names, values).map { ($0, $1) } + sample.labels
                            return sample
                        }
                    })
            }
        }
    }

    /// Combinations of labels that were added up under "other", and instruments that the table does not know.
    var refused: Int { state.withLock(\.refused) }

    private func series<Series: MetricSeries>(
        _ label: String, _ dimensions: [(String, String)], _ kind: MetricKind, _ make: (MetricDescription) -> Series
    ) -> Series {
        state.withLock { state in
            guard let family = state.families[label], family.description.kind == kind,
                Set(dimensions.map(\.0)) == Set(family.description.labels),
                dimensions.count == family.description.labels.count
            else {
                state.refused += 1
                return make(MetricDescription(name: label, kind: kind, help: ""))
            }
            let description = family.description
            var values = description.labels.map { name in dimensions.first { $0.0 == name }!.1 }
            if family.series[values] == nil, family.series.count >= description.maximumSeries {
                state.refused += 1
                values = description.labels.map { _ in "other" }
            }
            if let known = family.series[values] as? Series { return known }
            let made = make(description)
            state.families[label]!.series[values] = made
            return made
        }
    }

    // MARK: MetricsFactory

    func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        series(label, dimensions, .counter) { _ in CounterSeries() }
    }

    func makeFloatingPointCounter(
        label: String, dimensions: [(String, String)]
    ) -> any FloatingPointCounterHandler {
        series(label, dimensions, .counter) { _ in CounterSeries() }
    }

    func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        series(label, dimensions, .gauge) { _ in GaugeSeries() }
    }

    func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
        if aggregate { return series(label, dimensions, .histogram) { HistogramSeries($0.buckets) } }
        return series(label, dimensions, .gauge) { _ in GaugeSeries() }
    }

    func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        series(label, dimensions, .histogram) { HistogramSeries($0.buckets) }
    }

    // A counter that vanishes and comes again would look like a restart; whatever was counted stays.
    func destroyCounter(_ handler: any CounterHandler) {}
    func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) {}
    func destroyMeter(_ handler: any MeterHandler) {}
    func destroyRecorder(_ handler: any RecorderHandler) {}
    func destroyTimer(_ handler: any TimerHandler) {}
}

/// What one combination of labels counted.
private protocol MetricSeries: AnyObject, Sendable {
    var samples: [MetricSample] { get }
}

private final class CounterSeries: MetricSeries, CounterHandler, FloatingPointCounterHandler {
    private let value = Mutex(0.0)

    var samples: [MetricSample] { [MetricSample(value.withLock { $0 })] }

    func increment(by amount: Int64) { increment(by: Double(amount)) }
    /// A counter never falls: what is negative or no number is left out.
    func increment(by amount: Double) {
        if amount > 0, amount.isFinite { value.withLock { $0 += amount } }
    }
    func reset() { value.withLock { $0 = 0 } }
}

private final class GaugeSeries: MetricSeries, MeterHandler, RecorderHandler {
    private let value = Mutex(0.0)

    var samples: [MetricSample] { [MetricSample(value.withLock { $0 })] }

    func set(_ new: Int64) { set(Double(new)) }
    func set(_ new: Double) { value.withLock { $0 = new } }
    func increment(by amount: Double) { value.withLock { $0 += amount } }
    func decrement(by amount: Double) { value.withLock { $0 -= amount } }
    func record(_ new: Int64) { set(new) }
    func record(_ new: Double) { set(new) }
}

private final class HistogramSeries: MetricSeries, RecorderHandler, TimerHandler {
    private struct State {
        /// One more than there are bounds: the last is beyond them all.
        var counts: [UInt64]
        var sum = 0.0
    }

    private let bounds: [Double]
    private let state: Mutex<State>

    init(_ bounds: [Double]) {
        self.bounds = bounds
        state = Mutex(State(counts: [UInt64](repeating: 0, count: bounds.count + 1)))
    }

    var samples: [MetricSample] {
        let (counts, sum) = state.withLock { ($0.counts, $0.sum) }
        var below: UInt64 = 0
        var samples: [MetricSample] = []
        for (bound, count) in zip(bounds + [.infinity], counts) {
            below += count
            // OpenMetrics wants bounds that look like floating point numbers; both formats read them.
            let text = bound.isFinite ? "\(bound)" : "+Inf"
            samples.append(MetricSample(Double(below), [("le", text)], suffix: "_bucket"))
        }
        return samples + [MetricSample(sum, suffix: "_sum"), MetricSample(Double(below), suffix: "_count")]
    }

    func record(_ value: Int64) { record(Double(value)) }
    func record(_ value: Double) {
        guard value.isFinite else { return }
        let bucket = bounds.firstIndex { value <= $0 } ?? bounds.count
        state.withLock {
            $0.counts[bucket] += 1
            $0.sum += value
        }
    }
    func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }
}
