// SPDX-License-Identifier: Apache-2.0
// How many lines of one kind are written: whoever can make a node write lines could fill its disk otherwise. A pure value; its
// clock comes from outside.

/// A token bucket for each event name.
struct LogRateLimit {
    /// Lines at once, and lines a second after that.
    static let burst = 200.0
    static let perSecond = 20.0
    /// More names than there are events; those beyond share one bucket.
    static let mostNames = 256

    struct Summary: Equatable {
        let name: String
        let leftOut: Int
    }

    private struct Bucket {
        var tokens = LogRateLimit.burst
        /// Seconds, of the clock that the caller uses.
        var filled: Double
        var leftOut = 0
    }

    private var buckets: [String: Bucket] = [:]
    /// Names with lines left out, so that the usual case looks at nothing.
    private var silenced: Set<String> = []

    /// Whether a line of this name may be written now.
    mutating func admits(_ name: String, at now: Double) -> Bool {
        let name = buckets[name] != nil || buckets.count < Self.mostNames ? name : "other"
        var bucket = buckets[name] ?? Bucket(filled: now)
        defer { buckets[name] = bucket }
        refill(&bucket, at: now)
        guard bucket.tokens >= 1 else {
            bucket.leftOut += 1
            silenced.insert(name)
            return false
        }
        bucket.tokens -= 1
        return true
    }

    /// What was left out and can be told now: once there is room again, one line for each name.
    mutating func summaries(at now: Double) -> [Summary] {
        guard !silenced.isEmpty else { return [] }
        var told: [Summary] = []
        for name in silenced.sorted() {
            guard var bucket = buckets[name] else { continue }
            refill(&bucket, at: now)
            // A second's worth: a flood that goes on gets a summary a second at most.
            if bucket.tokens >= Self.perSecond {
                told.append(Summary(name: name, leftOut: bucket.leftOut))
                bucket.leftOut = 0
                silenced.remove(name)
            }
            buckets[name] = bucket
        }
        return told
    }

    private func refill(_ bucket: inout Bucket, at now: Double) {
        let passed = max(0, now - bucket.filled)
        bucket.filled = now
        bucket.tokens = min(Self.burst, bucket.tokens + passed * Self.perSecond)
    }
}
