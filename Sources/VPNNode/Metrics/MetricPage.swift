// SPDX-License-Identifier: Apache-2.0
// The page of metrics of one node, made when somebody asks. Who asks, and over what, is not known here.
internal import VPNCore
internal import VPNEngine

/// Looks at a node for those who watch it. However many ask at once, the node is looked at five times a second at most.
public actor MetricPage {
    private let look: @Sendable () async -> [MetricFamily]
    private let readiness: @Sendable () async -> Bool
    private let life: LifeSign
    private var latest: (taken: Instant, families: [MetricFamily])?
    /// Whoever asks while the node is looked at gets what that look finds.
    private var looking: Task<[MetricFamily], Never>?

    /// How old a page may be that is given out again. Less than any scrape interval.
    private static let lifetime = TimeSpan.milliseconds(200)

    public init(_ node: Node, output: LogOutput) {
        self.init(
            look: {
                let lost = MetricFamily(MetricTable.linesLost, [MetricSample(Double(output.linesLost))])
                return await node.metricFamilies() + [lost] + (ProcessFacts.current()?.families ?? [])
            }, isReady: { await node.isReady }, isAlive: { await node.isAlive() })
    }

    init(
        look: @escaping @Sendable () async -> [MetricFamily], isReady: @escaping @Sendable () async -> Bool,
        isAlive: @escaping @Sendable () async -> Bool
    ) {
        self.look = look
        readiness = isReady
        life = LifeSign(isAlive)
    }

    /// The whole page in one of the formats.
    public func text(_ format: MetricFormat) async -> String { MetricText.text(await families(), format) }

    private func families() async -> [MetricFamily] {
        let now = MonotonicClock.now
        if let latest, now.since(latest.taken) < Self.lifetime { return latest.families }
        if let looking { return await looking.value }
        let task = Task { [look] in await look() }
        looking = task
        let families = await task.value
        latest = (now, families)
        looking = nil
        return families
    }

    /// Whether packets can flow.
    public var isReady: Bool { get async { await readiness() } }

    /// Whether the node and its workers answer, within two seconds.
    public var isAlive: Bool { get async { await life.isAlive } }
}
