// SPDX-License-Identifier: Apache-2.0
// `security.handshake_per_minute_per_ip` (H13): how many complete S1 messages one prefix may bring to public-key work, and
// who asked most lately, for those who must wait.

/// A sliding minute for each prefix that was heard from lately.
struct HandshakeRate {
    /// A minute; 0 = none. What was counted stays counted when it changes.
    var limit: Int
    /// A minute, of one link: its circuits come for free, so that only all of them together can be limited. Never off.
    var linkLimit = Limits.circuitHandshakesPerMinute
    private var recent: [SourcePrefix: [Instant]] = [:]
    private static let window = TimeSpan.seconds(60)

    /// `limit`: a minute; 0 = none.
    init(limit: Int) { self.limit = limit }

    /// How many prefixes are remembered.
    var count: Int { recent.count }

    /// Counts one message, unless that would be more than the limit.
    mutating func admit(_ carrier: Carrier, now: Instant) -> Bool {
        if carrier.place != nil, let link = SourcePrefix.site(carrier) {
            let times = current(link, now: now)
            guard times.count < linkLimit else { return false }
            record(times + [now], for: link, keeping: linkLimit, now: now)
            return true
        }
        let prefix = SourcePrefix(carrier)
        var times = current(prefix, now: now)
        guard limit == 0 || times.count < limit else {
            recent[prefix] = times
            return false
        }
        times.append(now)
        record(times, for: prefix, now: now)
        if let site = SourcePrefix.site(carrier) {
            // Never a limit, only a rank: a /48 has 65,536 prefixes to come from.
            record(current(site, now: now) + [now], for: site, now: now)
        }
        return true
    }

    /// Takes back one that had to give way before any work: its repeat is the same call.
    mutating func refund(_ carrier: Carrier) {
        for prefix in [SourcePrefix(carrier), SourcePrefix.site(carrier)].compactMap({ $0 })
        where recent[prefix]?.isEmpty == false {
            recent[prefix]?.removeLast()
            if recent[prefix]?.isEmpty == true { recent[prefix] = nil }
        }
    }

    /// Messages of the last minute from this prefix, and from the /48 around it.
    func load(of carrier: Carrier, now: Instant) -> Int {
        current(SourcePrefix(carrier), now: now).count
            + (SourcePrefix.site(carrier).map { current($0, now: now).count } ?? 0)
    }

    private func current(_ prefix: SourcePrefix, now: Instant) -> [Instant] {
        recent[prefix]?.filter { now.since($0) < Self.window } ?? []
    }

    /// At most what tells the heavy from the light is kept of one prefix without a limit.
    private mutating func record(
        _ times: [Instant], for prefix: SourcePrefix, keeping kept: Int = Limits.ratedMessages, now: Instant
    ) {
        if recent.count >= Limits.ratedPrefixes, recent[prefix] == nil { makeRoom(now: now) }
        recent[prefix] = Array(times.suffix(max(limit, kept)))
    }

    /// The table is bounded; where a minute's prefixes fill it, the quarter that was quiet longest goes at once, so that
    /// the work is paid for by as many newcomers.
    private mutating func makeRoom(now: Instant) {
        recent = recent.filter { now.since($0.value.last ?? .origin) < Self.window }
        guard recent.count >= Limits.ratedPrefixes else { return }
        let byAge = recent.map { (prefix: $0.key, last: $0.value.last ?? .origin) }.sorted { $0.last < $1.last }
        for (prefix, _) in byAge.prefix(Limits.ratedPrefixes / 4) { recent[prefix] = nil }
    }
}
