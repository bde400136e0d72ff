// SPDX-License-Identifier: Apache-2.0
// Which lines are written: limits, levels that change, addresses that are not shown, and the ring of the last lines.
import Foundation
import Logging
import Synchronization
import Testing
import VPNCore

@testable import VPNNode

struct LogLineTests {
    private final class Written: Sendable {
        private let lines = Mutex<[String]>([])
        var all: [String] { lines.withLock { $0 } }
        func add(_ line: String) { lines.withLock { $0.append(line) } }
    }

    private final class Clock: Sendable {
        private let seconds = Mutex(1_000_000.0)
        var now: Double { seconds.withLock { $0 } }
        func advance(_ by: Double) { seconds.withLock { $0 += by } }
    }

    @Test func aFloodOfOneKindIsCutAndSummedUp() throws {
        let (written, clock) = (Written(), Clock())
        let output = LogOutput(format: .json, clock: { clock.now }, write: { written.add($0) })
        let logger = output.logger("node", level: .info)
        let burst = Int(LogRateLimit.burst)
        for _ in 0..<(burst + 300) { logger.warning("x", metadata: ["event": "identity.refused"]) }
        #expect(written.all.count == burst)
        logger.warning("other", metadata: ["event": "path.kept"])
        #expect(written.all.count == burst + 1, "another kind has its own limit")
        clock.advance(2)
        logger.info("later", metadata: ["event": "node.ready"])
        let last = written.all.suffix(2)
        #expect(last.first?.contains(#""msg":"300 similar lines left out","event":"log.limited""#) == true, "\(last)")
        #expect(last.first?.contains(#""of":"identity.refused""#) == true && last.last?.contains("later") == true)
        logger.warning("x", metadata: ["event": "identity.refused"])
        #expect(written.all.count == burst + 4)
    }

    @Test func whatTheOperatorWroteIsToldInFull() {
        let (written, clock) = (Written(), Clock())
        let logger = LogOutput(format: .json, clock: { clock.now }, write: { written.add($0) })
            .logger("node", level: .info)
        for _ in 0..<5000 { logger.warning("x", metadata: ["event": "config.warning"]) }
        #expect(written.all.count == 5000)
    }

    @Test func theLimitIsBoundedAndSumsAreExact() {
        var limit = LogRateLimit()
        var (admitted, told, now) = (0, 0, 0.0)
        for step in 0..<20_000 {
            now += 0.001
            told += limit.summaries(at: now).reduce(0) { $0 + $1.leftOut }
            if limit.admits("e\(step % 3)", at: now) { admitted += 1 }
        }
        now += 60
        told += limit.summaries(at: now).reduce(0) { $0 + $1.leftOut }
        #expect(admitted + told == 20_000 && told > 0)
        #expect(admitted <= 3 * (Int(LogRateLimit.burst) + 21 * Int(LogRateLimit.perSecond)))
        // Names that strangers invent share one bucket in the end, and a clock that jumps back gives nothing.
        for number in 0..<100_000 { _ = limit.admits("invented \(number)", at: now) }
        #expect(!limit.admits("another", at: now) && !limit.admits("another", at: now - 1000))
    }

    @Test func theLevelChangesUnderALogger() {
        let written = Written()
        let output = LogOutput(format: .json) { written.add($0) }
        let logger = output.logger("node", level: .warning)
        var own = logger
        own.logLevel = .error
        logger.debug("no")
        output.setLevel(.debug)
        logger.debug("yes")
        own.warning("no")
        #expect(written.all.count == 1 && output.level == .debug && logger.logLevel == .debug)
        output.setLevel(.critical)
        logger.error("no")
        own.error("yes")
        #expect(written.all.count == 2)
    }

    @Test func addressesAreScrubbedWhereTheOperatorWantsIt() throws {
        let endpoint = Endpoint(IPAddress("203.0.113.9")!, port: 4711)
        for scrubs in [false, true] {
            let written = Written()
            var output = LogOutput(format: .json) { written.add($0) }
            output.scrubsAddresses = scrubs
            let logger = output.logger("node", level: .trace)
            EventLog(logger: logger).record(
                .handshakeStarted(HandshakeID(7), slot: 1, peerName: "bob", endpoint, attempt: 1))
            EventLog(logger: logger).record(
                .pathMoved(slot: 1, peerName: "bob", from: .udp(endpoint), to: .udp(endpoint)))
            EventLog(logger: logger).record(
                .pathKept(slot: 1, peerName: "bob", .udp(endpoint), instead: .udp(endpoint)))
            logger.info("x", metadata: ["deep": .array([.dictionary(["a": .address(endpoint)])])])
            let text = written.all.joined(separator: "\n") + output.ring.lines().map(\.text).joined()
            #expect(written.all.count == 4 && text.contains("bob"))
            #expect(text.contains("203.0.113.9") == !scrubs && text.contains("4711") == !scrubs, "\(text)")
            #expect(text.contains(#""endpoint":"scrubbed""#) == scrubs)
        }
    }

    // MARK: The ring

    @Test func theRingKeepsTheLastLinesByNumber() {
        let ring = LogRing()
        #expect(ring.lines().isEmpty)
        for number in 1...2500 { ring.append("line \(number)", level: .info) }
        let all = ring.lines()
        #expect(all.count == LogRing.capacity && all.map(\.sequence) == Array(1501...2500))
        #expect(all.first?.text == "line 1501")
        #expect(ring.lines(after: 2498).map(\.text) == ["line 2499", "line 2500"])
        #expect(ring.lines(limit: 1).map(\.sequence) == [2500] && ring.lines(after: 9999).isEmpty)
        ring.append(String(repeating: "é", count: 1 << 20), level: .info)
        #expect(ring.lines(after: 2500).allSatisfy { $0.text.utf8.count <= LogRing.longestLine + 2 })
    }

    @Test func whoFollowsMissesNothingBetweenOldAndNew() async throws {
        let ring = LogRing()
        for number in 1...10 { ring.append("\(number)", level: .info) }
        let stream = try #require(ring.follow(after: 7))
        ring.append("11", level: .info)
        ring.append("12", level: .info)
        var seen: [UInt64] = []
        for await line in stream {
            seen.append(line.sequence)
            if seen.count == 5 { break }
        }
        #expect(seen == [8, 9, 10, 11, 12])
    }

    @Test func followersAreFewAndGoAway() async throws {
        let ring = LogRing()
        var streams = (0..<LogRing.mostFollowers).compactMap { _ in ring.follow() }
        #expect(streams.count == LogRing.mostFollowers)
        #expect(ring.follow() == nil)
        withExtendedLifetime(streams) {}
        streams.removeAll()
        #expect(ring.followers == 0, "a stream that nobody holds ends")
        let slow = try #require(ring.follow())
        for number in 1...5000 { ring.append("\(number)", level: .info) }
        var first: UInt64?
        for await line in slow {
            first = line.sequence
            break
        }
        #expect(first == 4001, "who does not keep up misses the oldest, and sees it")
    }
}
