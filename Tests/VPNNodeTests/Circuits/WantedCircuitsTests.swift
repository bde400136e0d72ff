// SPDX-License-Identifier: Apache-2.0
// Which circuits are wanted, and when the next attempt begins.
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

@Suite struct WantedCircuitsTests {
    private static let relay = Identities.alice.publicKeys.peerID
    private static let last = Identities.bob.publicKeys.peerID
    private let start = Instant(nanoseconds: 1_000_000_000)

    private func request(_ name: String, _ prefix: String = "10.99.0.0/24") throws -> CircuitRequest {
        CircuitRequest(name: name, hops: [Self.relay, Self.last], allowedIPs: [try IPPrefix(prefix)])
    }

    @Test func pausesGrowToAMinuteAndEndWithSuccess() throws {
        var wanted = WantedCircuits()
        _ = wanted.configure([try request("a")], now: start)
        var now = start
        var pauses: [UInt64] = []
        for number in 0..<9 {
            #expect(wanted.next(now: now).map(\.name) == ["a"])
            wanted.began("a", as: number, now: now)
            #expect(wanted.deadline == nil && wanted.next(now: now).isEmpty)
            wanted.failed("a", .failed(hop: 1, .noAnswer), jitter: 1, now: now)
            let due = try #require(wanted.deadline)
            pauses.append(due.since(now).nanoseconds / 1_000_000_000)
            now = due
        }
        #expect(pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60])
        wanted.began("a", as: 9, now: now)
        #expect(wanted.ready(9, now: now + .seconds(2)) == .seconds(2))
        #expect(wanted.counts == (1, 0) && wanted["a"]?.lastFailure == nil)
        let later = now + .seconds(12)
        wanted.failed("a", .failed(hop: 0, .lost), jitter: 0.75, now: later)
        #expect(wanted.deadline == later, "who had a circuit does not wait for the next")
        wanted.began("a", as: 10, now: later)
        wanted.failed("a", .failed(hop: 0, .lost), jitter: 0.75, now: later)
        #expect(wanted.deadline == later + .milliseconds(750))
        // One that breaks as soon as it is there is built with growing pauses all the same.
        for pause in [2, 4, 8] {
            wanted.began("a", as: pause, now: later)
            _ = wanted.ready(pause, now: later)
            wanted.failed("a", .failed(hop: 1, .ended(.closed)), jitter: 1, now: later + .seconds(1))
            #expect(wanted.deadline == later + .seconds(1 + pause))
        }
    }

    /// The death of a relay may come at any time; a circuit that dies again and again is another thing.
    @Test func theFirstThatBreaksIsBuiltAgainAtOnce() throws {
        var wanted = WantedCircuits()
        _ = wanted.configure([try request("a")], now: start)
        for (number, pause) in [0, 2, 4].enumerated() {
            wanted.began("a", as: number, now: start)
            _ = wanted.ready(number, now: start)
            wanted.failed("a", .failed(hop: 1, .silent), jitter: 1, now: start + .seconds(1))
            #expect(wanted.deadline == start + .seconds(1 + pause))
        }
    }

    /// Each of them lives longer than it takes to see who uses it, and no longer.
    @Test func thoseThatAreEndedAfterAWhileAreNotBuiltAtTheirEndersPace() throws {
        var wanted = WantedCircuits()
        _ = wanted.configure([try request("a")], now: start)
        var now = start
        var pauses: [UInt64] = []
        func live(_ seconds: Int) throws {
            wanted.began("a", as: pauses.count, now: now)
            _ = wanted.ready(pauses.count, now: now)
            now = now + .seconds(seconds)
            wanted.failed("a", .failed(hop: 1, .ended(.closed)), jitter: 1, now: now)
            let due = try #require(wanted.deadline)
            pauses.append(due.since(now).nanoseconds / 1_000_000_000)
            now = due
        }
        for _ in 0..<9 { try live(6) }
        #expect(pauses == [0, 1, 2, 4, 8, 16, 32, 60, 60])
        try live(61)
        try live(6)
        #expect(pauses.suffix(2) == [0, 0])
    }

    @Test func otherWaysAreTriedAtOnceAndEachInItsTurn() throws {
        var wanted = WantedCircuits()
        let ways = [[Self.last], [Self.relay, Self.last]]
        wanted.add(try request("a"), alternatives: ways, .command, now: start)
        var now = start
        var tried: [Int] = []
        var pauses: [UInt64] = []
        for number in 0..<6 {
            tried.append(try #require(wanted.next(now: now).first).hops.count + (wanted["a"]?.way == 0 ? 0 : 10))
            wanted.began("a", as: number, now: now)
            wanted.failed("a", .failed(hop: 0, .noAnswer), jitter: 1, now: now)
            let due = try #require(wanted.deadline)
            pauses.append(due.since(now).nanoseconds / 1_000_000_000)
            now = due
        }
        #expect(tried == [2, 11, 12, 2, 11, 12])
        #expect(pauses == [0, 0, 1, 0, 0, 2])
    }

    @Test func aSessionWithTheFirstHopEndsTheWaitForIt() throws {
        var wanted = WantedCircuits()
        _ = wanted.configure([try request("a")], now: start)
        for _ in 0..<6 { wanted.failed("a", .failed(hop: 0, .noEntry), jitter: 1, now: start) }
        wanted.met(Self.last, now: start)
        #expect(wanted.next(now: start).isEmpty)
        wanted.met(Self.relay, now: start)
        #expect(wanted.next(now: start).count == 1)
        // What failed further on is not mended by it.
        wanted.failed("a", .failed(hop: 1, .refused(.refused)), jitter: 1, now: start)
        wanted.met(Self.relay, now: start)
        #expect(wanted.next(now: start).isEmpty)
    }

    @Test func reconfigurationTouchesOnlyWhatIsAnother() throws {
        var wanted = WantedCircuits()
        #expect(wanted.configure([try request("a"), try request("b", "10.98.0.0/24")], now: start).isEmpty)
        wanted.began("a", as: 1, now: start)
        wanted.began("b", as: 2, now: start)
        wanted.add(try request("c", "10.97.0.0/24"), .command, now: start)
        wanted.began("c", as: 3, now: start)
        #expect(wanted.configure([try request("a"), try request("b", "10.96.0.0/24")], now: start) == [2])
        #expect(wanted["a"]?.number == 1 && wanted["b"]?.number == nil && wanted["c"]?.number == 3)
        #expect(wanted.next(now: start).map(\.name) == ["b"])
        // A person's circuit gives way to the file, by name or by network.
        #expect(wanted.configure([try request("a")], directPrefixes: [try IPPrefix("10.97.0.0/24")], now: start) == [3])
        #expect(wanted.entries.map(\.request.name) == ["a"])
        #expect(wanted.remove("a") == 1 && wanted.remove("a") == nil)
    }

    /// Each failure has words of its own, and those of a relay name it.
    @Test func adviceNamesWhoSaidIt() {
        let hops = ["r1", "r2", "exit"]
        let failures: [CircuitFailure] =
            [.noEntry, .noAnswer, .handshake, .lost, .silent, .tooNarrow, .local]
            + ExtendRefusal.allCases.map { .refused($0) }
            + CircuitEnd.allCases.map { .ended($0) }
        var seen: Set<String> = []
        for failure in failures {
            let advice = CircuitAdvice(.failed(hop: 2, failure), hops: hops)
            #expect(seen.insert(advice.text).inserted && !advice.fix.isEmpty, "\(failure)")
        }
        for refusal in CircuitRefusal.allCases {
            let advice = CircuitAdvice(.refused(refusal), hops: hops)
            #expect(seen.insert(advice.text).inserted && advice.node == nil && !advice.fix.isEmpty, "\(refusal)")
        }
        let refused = CircuitAdvice(.failed(hop: 1, .refused(.refused)), hops: hops)
        #expect(refused.node == "r1" && refused.text.contains("'r2'") && refused.fix.contains("at 'r1'"))
        #expect(CircuitAdvice(.failed(hop: 7, .lost), hops: hops).text.contains("hop 8"), "no hop is beyond words")
    }
}
