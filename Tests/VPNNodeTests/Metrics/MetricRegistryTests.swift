// SPDX-License-Identifier: Apache-2.0
// The registry behind the instruments: what it counts, and what nobody can make it count.
import CoreMetrics
import Testing

@testable import VPNNode

struct MetricRegistryTests {
    private static let table = [
        MetricDescription(name: "c_total", kind: .counter, help: "C.", labels: ["a"], maximumSeries: 3),
        MetricDescription(name: "g", kind: .gauge, help: "G."),
        MetricDescription(name: "h_seconds", kind: .histogram, help: "H.", buckets: [0.1, 1]),
    ]

    private let registry = MetricRegistry(table)

    private func samples(_ name: String) -> [MetricSample] {
        registry.families.first { $0.description.name == name }?.samples ?? []
    }

    private func count(_ value: String, by amount: Int = 1) {
        Counter(label: "c_total", dimensions: [("a", value)], factory: registry).increment(by: amount)
    }

    @Test func countersAddUpByLabelAndNeverFall() {
        count("x")
        count("x", by: 4)
        count("y")
        count("y", by: -3)
        FloatingPointCounter(label: "c_total", dimensions: [("a", "y")], factory: registry).increment(
            by: Double.infinity)
        #expect(samples("c_total") == [MetricSample(5, [("a", "x")]), MetricSample(1, [("a", "y")])])
    }

    @Test func beyondTheLimitNothingGrowsAndNothingIsLost() {
        for number in 0..<1000 { count("v\(number)") }
        let samples = samples("c_total")
        #expect(samples.count == 4 && registry.refused == 997)
        #expect(samples.map(\.value).reduce(0, +) == 1000)
        #expect(samples.first { $0.labels[0].value == "other" }?.value == 997)
        count("v0")
        #expect(self.samples("c_total").first { $0.labels[0].value == "v0" }?.value == 2)
    }

    @Test func whatTheTableDoesNotKnowIsNotTold() {
        Counter(label: "stranger_total", factory: registry).increment()
        Counter(label: "c_total", factory: registry).increment()
        Counter(label: "c_total", dimensions: [("b", "x")], factory: registry).increment()
        Counter(label: "c_total", dimensions: [("a", "x"), ("a", "y")], factory: registry).increment()
        Gauge(label: "c_total", dimensions: [("a", "x")], factory: registry).record(1)
        #expect(registry.families.allSatisfy { $0.samples.isEmpty } && registry.refused == 5)
    }

    @Test func histogramsCountUpToTheirBounds() {
        let timer = Timer(label: "h_seconds", factory: registry)
        for milliseconds in [50, 100, 101, 1000, 5000] { timer.recordMilliseconds(milliseconds) }
        Recorder(label: "h_seconds", factory: registry).record(Double.nan)
        let expected = [
            MetricSample(2, [("le", "0.1")], suffix: "_bucket"), MetricSample(4, [("le", "1.0")], suffix: "_bucket"),
            MetricSample(5, [("le", "+Inf")], suffix: "_bucket"),
        ]
        let samples = samples("h_seconds")
        #expect(Array(samples.prefix(3)) == expected)
        #expect((samples[3].value - 6.251).magnitude < 1e-9 && samples[4].value == 5)
    }

    @Test func gaugesTellTheirLastValue() {
        let gauge = Gauge(label: "g", factory: registry)
        gauge.record(7)
        gauge.record(2.5)
        #expect(samples("g") == [MetricSample(2.5)])
        Meter(label: "g", factory: registry).decrement(by: 1)
        #expect(samples("g") == [MetricSample(1.5)])
    }

    @Test func twoRegistriesDoNotAddUp() {
        count("x")
        let other = MetricRegistry(Self.table)
        #expect(other.families.allSatisfy { $0.samples.isEmpty })
    }

    @Test func namesOfTheTableFollowTheRules() {
        let all = MetricTable.counted
        #expect(Set(all.map(\.name)).count == all.count)
        for metric in all {
            #expect(metric.name.hasPrefix("pqvpn_") && metric.help.hasSuffix("."), "\(metric.name)")
            #expect((metric.kind == .counter) == metric.name.hasSuffix("_total"), "\(metric.name)")
            #expect((metric.kind == .histogram) == !metric.buckets.isEmpty, "\(metric.name)")
            #expect(metric.buckets == metric.buckets.sorted())
        }
    }
}

struct ProcessFactsTests {
    @Test func theNameOfAProgramMayBeHostile() throws {
        let fields = (1...50).map(String.init).joined(separator: " ")
        let facts = try #require(
            ProcessFacts(
                stat: "7 (a) R (b 1 2) S \(fields)\n", uptime: "100.50 3.0\n", now: 1000, openFiles: 3, ticks: 100,
                pageSize: 4096))
        // After the name and the state comes field 4 of proc(5): user time is 14, system time 15, start 22, pages 24.
        #expect(facts.cpuSeconds == 0.23 && facts.residentBytes == 21 * 4096 && facts.openFiles == 3)
        #expect((facts.startSeconds - (1000 - 100.5 + 0.19)).magnitude < 1e-9)
    }

    @Test(arguments: ["", "7", "7 (x", "7 (x) S 1 2 3", "7 (x) S " + String(repeating: "x ", count: 50)])
    func nonsenseIsNotAProcess(_ stat: String) {
        #expect(
            ProcessFacts(stat: stat, uptime: "1 1", now: 0, openFiles: 0, ticks: 100, pageSize: 4096) == nil)
    }

    @Test func thisProcessIsAlive() throws {
        let facts = try #require(ProcessFacts.current())
        #expect(facts.cpuSeconds > 0 && facts.residentBytes > 1 << 20 && facts.openFiles >= 3)
        #expect(facts.startSeconds > 1.6e9)
    }
}
