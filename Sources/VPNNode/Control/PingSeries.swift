// SPDX-License-Identifier: Apache-2.0
// Several questions through the tunnel, summed up as people know it from ping(8).

public struct PingSeries: Report {
    public static let schema = "pqvpn.pings/1"

    public private(set) var peer = ""
    public private(set) var path = ""
    public private(set) var asked = 0
    public private(set) var answered = 0
    /// Seconds; nil where no answer came.
    public private(set) var minimum: Double?
    public private(set) var mean: Double?
    public private(set) var maximum: Double?
    private var sum = 0.0

    private enum CodingKeys: String, CodingKey {
        case peer, path, asked, answered
        case lossRatio = "loss_ratio"
        case minimum = "min_seconds"
        case mean = "mean_seconds"
        case maximum = "max_seconds"
    }

    public init() {}

    public var lossRatio: Double { asked == 0 ? 0 : Double(asked - answered) / Double(asked) }

    public mutating func add(_ report: PingReport) {
        peer = report.peer
        path = report.path
        asked += 1
        guard let seconds = report.roundTripSeconds else { return }
        answered += 1
        sum += seconds
        minimum = min(minimum ?? seconds, seconds)
        maximum = max(maximum ?? seconds, seconds)
        mean = sum / Double(answered)
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(peer, forKey: .peer)
        try container.encode(path, forKey: .path)
        try container.encode(asked, forKey: .asked)
        try container.encode(answered, forKey: .answered)
        try container.encode(lossRatio, forKey: .lossRatio)
        try container.encodeIfPresent(minimum, forKey: .minimum)
        try container.encodeIfPresent(mean, forKey: .mean)
        try container.encodeIfPresent(maximum, forKey: .maximum)
    }

    public var text: String {
        var line = "\(asked) asked, \(answered) answered, \(Int((lossRatio * 100).rounded())) % lost"
        if let minimum, let mean, let maximum {
            line += "; min \(Units.span(minimum)), mean \(Units.span(mean)), max \(Units.span(maximum))"
        }
        return line
    }
}
