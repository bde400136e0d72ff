// SPDX-License-Identifier: Apache-2.0
// `security.handshake_per_minute_per_ip` (H13): how many complete S1 messages one prefix may bring to public-key work.

/// A sliding minute for each prefix that was heard from lately.
struct HandshakeRate {
    private let limit: Int
    private var recent: [SourcePrefix: [Instant]] = [:]

    /// `limit`: a minute; 0 = none.
    init(limit: Int) { self.limit = limit }

    /// Counts one message, unless that would be more than the limit.
    mutating func admit(_ carrier: Carrier, now: Instant) -> Bool {
        guard limit > 0 else { return true }
        let prefix = SourcePrefix(carrier)
        if recent.count >= Limits.ratedPrefixes, recent[prefix] == nil { forgetStale(now: now) }
        var times = recent[prefix] ?? []
        times.removeAll { now.since($0) >= .seconds(60) }
        guard times.count < limit else {
            recent[prefix] = times
            return false
        }
        times.append(now)
        recent[prefix] = times
        return true
    }

    /// The table is bounded; where a minute's prefixes fill it, the one that was quiet longest goes.
    private mutating func forgetStale(now: Instant) {
        recent = recent.filter { now.since($0.value.last ?? .origin) < .seconds(60) }
        while recent.count >= Limits.ratedPrefixes {
            guard let oldest = recent.min(by: { ($0.value.last ?? .origin) < ($1.value.last ?? .origin) }) else {
                return
            }
            recent[oldest.key] = nil
        }
    }
}
