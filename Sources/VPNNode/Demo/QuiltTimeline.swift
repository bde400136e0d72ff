// SPDX-License-Identifier: Apache-2.0
// Counts of bytes as they were seen at times, and the rates between. Time is in seconds since whatever began.

/// A count that grows.
struct QuiltCount: Sendable {
    private(set) var looks: [(time: Double, bytes: Double)] = []

    /// A look that is no later than the one before says nothing.
    mutating func add(_ bytes: Double, at time: Double) {
        if let last = looks.last, time <= last.time { return }
        looks.append((time, bytes))
    }

    /// On the line between the looks before and after; beyond the ends, what was there.
    func bytes(at time: Double) -> Double {
        guard let first = looks.first, let last = looks.last else { return 0 }
        if time <= first.time { return first.bytes }
        if time >= last.time { return last.bytes }
        var (low, high) = (0, looks.count - 1)
        while high - low > 1 {
            let middle = (low + high) / 2
            if looks[middle].time <= time { low = middle } else { high = middle }
        }
        let (a, b) = (looks[low], looks[high])
        return a.bytes + (b.bytes - a.bytes) * (time - a.time) / (b.time - a.time)
    }

    /// Mbit/s on average of a time.
    func rate(_ from: Double, _ to: Double) -> Double {
        guard to > from else { return 0 }
        return max(0, bytes(at: to) - bytes(at: from)) * 8 / (to - from) / 1e6
    }
}

/// What came by each path, and what of the stream arrived.
struct QuiltTimeline: Sendable {
    var paths: [QuiltCount]
    var stream = QuiltCount()
    /// When a path was cut, and when it was there again.
    var cut: Double?
    var mended: Double?

    init(paths: Int) { self.paths = Array(repeating: QuiltCount(), count: paths) }

    /// Until when both are known.
    var end: Double { min(stream.looks.last?.time ?? 0, paths.compactMap { $0.looks.last?.time }.min() ?? 0) }

    /// Mbit/s in steps, for a picture: the middle of each, by path, and of the stream.
    func steps(of width: Double) -> [(time: Double, paths: [Double], stream: Double)] {
        guard width > 0, end > 0 else { return [] }
        return (0..<Int(end / width)).map { number in
            let (from, to) = (Double(number) * width, Double(number + 1) * width)
            return ((from + to) / 2, paths.map { $0.rate(from, to) }, stream.rate(from, to))
        }
    }
}
