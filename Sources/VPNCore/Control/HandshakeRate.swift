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
    /// What links brought, by the peer at their other end.
    private var links: [PeerSlot: Link] = [:]
    private static let window = TimeSpan.seconds(60)

    /// What one link brought in the last minute, the oldest first: when, and on which of its circuits. Never more than its limit.
    private struct Link {
        var times: [Instant] = []
        var circuits: [UInt32] = []

        mutating func forget(before: (Instant) -> Bool) {
            let old = times.prefix(while: before).count
            times.removeFirst(old)
            circuits.removeFirst(old)
        }
    }

    /// `limit`: a minute; 0 = none.
    init(limit: Int) { self.limit = limit }

    /// How many prefixes and links are remembered.
    var count: Int { recent.count + links.count }

    /// Counts one message, unless that would be more than the limit.
    mutating func admit(_ carrier: Carrier, now: Instant) -> Bool {
        if let place = carrier.place { return admit(place, now: now) }
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

    /// Circuits share what their link may bring. Half of it is for those that said nothing in the last minute: who builds a
    /// circuit through an honest relay is heard, whatever another client says on his.
    private mutating func admit(_ place: CircuitPlace, now: Instant) -> Bool {
        // Taken out, so that it changes in place.
        var link = links.removeValue(forKey: place.outer) ?? Link()
        link.forget { now.since($0) >= Self.window }
        let own = link.circuits.count { $0 == place.id }
        let isAdmitted =
            link.times.count < (own == 0 ? linkLimit : linkLimit / 2) && own < Limits.handshakesPerCircuit
        if isAdmitted {
            link.times.append(now)
            link.circuits.append(place.id)
        }
        if links.count >= Limits.ratedPrefixes {
            links = links.filter { now.since($0.value.times.last ?? .origin) < Self.window }
        }
        links[place.outer] = link
        return isAdmitted
    }

    /// Takes back one that had to give way before any work: its repeat is the same call.
    mutating func refund(_ carrier: Carrier) {
        if let place = carrier.place {
            guard let last = links[place.outer]?.circuits.lastIndex(of: place.id) else { return }
            links[place.outer]?.times.remove(at: last)
            links[place.outer]?.circuits.remove(at: last)
            return
        }
        for prefix in [SourcePrefix(carrier), SourcePrefix.site(carrier)].compactMap({ $0 })
        where recent[prefix]?.isEmpty == false {
            recent[prefix]?.removeLast()
            if recent[prefix]?.isEmpty == true { recent[prefix] = nil }
        }
    }

    /// Messages of the last minute from this prefix, and from the /48 around it; on this circuit, and by its link.
    func load(of carrier: Carrier, now: Instant) -> Int {
        if let place = carrier.place {
            guard let link = links[place.outer] else { return 0 }
            let recent = link.times.indices.filter { now.since(link.times[$0]) < Self.window }
            return recent.count + recent.count { link.circuits[$0] == place.id }
        }
        return current(SourcePrefix(carrier), now: now).count
            + (SourcePrefix.site(carrier).map { current($0, now: now).count } ?? 0)
    }

    private func current(_ prefix: SourcePrefix, now: Instant) -> [Instant] {
        recent[prefix]?.filter { now.since($0) < Self.window } ?? []
    }

    /// At most what tells the heavy from the light is kept of one prefix without a limit.
    private mutating func record(_ times: [Instant], for prefix: SourcePrefix, now: Instant) {
        if recent.count >= Limits.ratedPrefixes, recent[prefix] == nil { makeRoom(now: now) }
        recent[prefix] = Array(times.suffix(max(limit, Limits.ratedMessages)))
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
