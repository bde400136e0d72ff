// SPDX-License-Identifier: Apache-2.0
// The page of metrics of one node, made when somebody asks. Who asks, and over what, is not known here.
internal import VPNCore
internal import VPNEngine

/// Looks at a node for those who watch it. However many ask at once, the node is looked at five times a second at most.
public actor MetricPage {
    private let node: Node
    private let output: LogOutput
    private var latest: (taken: Instant, families: [MetricFamily])?

    /// How old a page may be that is given out again. Less than any scrape interval.
    private static let lifetime = TimeSpan.milliseconds(200)

    public init(_ node: Node, output: LogOutput) {
        self.node = node
        self.output = output
    }

    /// The whole page in one of the formats.
    public func text(_ format: MetricFormat) async -> String {
        let now = MonotonicClock.now
        if let latest, now.since(latest.taken) < Self.lifetime { return MetricText.text(latest.families, format) }
        let lost = MetricFamily(MetricTable.linesLost, [MetricSample(Double(output.linesLost))])
        let families = await node.metricFamilies() + [lost] + (ProcessFacts.current()?.families ?? [])
        latest = (now, families)
        return MetricText.text(families, format)
    }

    /// Whether packets can flow.
    public var isReady: Bool { get async { await node.isReady } }
}
