// SPDX-License-Identifier: Apache-2.0
// The last lines of a run in memory, numbered, for those who want to look at a node or follow it without its log file.
internal import Logging
internal import Synchronization

public final class LogRing: Sendable {
    public struct Line: Sendable, Equatable {
        /// From 1, without gaps: who sees one missed what was in between.
        public let sequence: UInt64
        /// JSON, without the line's end; at most `LogRing.longestLine` bytes.
        public let text: String
        let level: Logger.Level

        public static func == (one: Line, other: Line) -> Bool {
            one.sequence == other.sequence && one.text == other.text
        }
    }

    private struct State {
        /// The oldest first from `start` on, once it is full.
        var lines: [Line] = []
        var start = 0
        var next: UInt64 = 1
        var followers: [UInt64: AsyncStream<Line>.Continuation] = [:]
        var nextFollower: UInt64 = 0
    }

    /// Lines.
    public static let capacity = 1000
    /// Bytes. What is longer is cut off and no JSON any more.
    public static let longestLine = 4096
    /// As many may follow at once.
    public static let mostFollowers = 16

    private let state = Mutex(State())

    init() {}

    func append(_ text: String, level: Logger.Level) {
        let text =
            text.utf8.count > Self.longestLine
            ? String(decoding: text.utf8.prefix(Self.longestLine), as: UTF8.self) : text
        state.withLock { state in
            let line = Line(sequence: state.next, text: text, level: level)
            state.next += 1
            if state.lines.count < Self.capacity {
                state.lines.append(line)
            } else {
                state.lines[state.start] = line
                state.start = (state.start + 1) % Self.capacity
            }
            for follower in state.followers.values { follower.yield(line) }
        }
    }

    /// The lines after a number that are still there, the oldest first; at most so many of the newest.
    public func lines(after sequence: UInt64 = 0, limit: Int = LogRing.capacity) -> [Line] {
        state.withLock { Self.lines($0, after: sequence).suffix(max(0, limit)) }
    }

    /// What a look at the ring found.
    struct Look: Sendable {
        var lines: [Line] = []
        /// Lines after the number that was asked for which are not in memory any more.
        var lost: UInt64 = 0
        /// Ask for what comes after this one next.
        var next: UInt64
    }

    /// Bytes of the lines of one look, so that nobody waits long for an answer.
    static let longestLook = 1 << 20

    /// Without a number the newest lines of that level, else the oldest ones after it.
    func look(after sequence: UInt64?, limit: Int, level: Logger.Level) -> Look {
        let (kept, last) = state.withLock { (Self.lines($0, after: 0), $0.next - 1) }
        let limit = min(max(0, limit), Self.capacity)
        var room = Self.longestLook
        func fits(_ line: Line) -> Bool {
            room -= line.text.utf8.count
            return room >= 0
        }
        guard let sequence else {
            let newest = kept.reversed().lazy.filter { $0.level >= level }.prefix(limit).prefix(while: fits)
            return Look(lines: newest.reversed(), next: last)
        }
        // A number that is not given out yet is of another run: all of this one is new.
        let start = sequence > last ? 0 : sequence
        var look = Look(next: start)
        let oldest = kept.first?.sequence ?? last + 1
        if oldest > start + 1 { look.lost = oldest - start - 1 }
        for line in kept where line.sequence > start {
            if line.level >= level {
                guard look.lines.count < limit, fits(line) else { return look }
                look.lines.append(line)
            }
            look.next = line.sequence
        }
        look.next = max(look.next, last)
        return look
    }

    private static func lines(_ state: borrowing State, after sequence: UInt64) -> [Line] {
        let ordered = state.lines[state.start...] + state.lines[..<state.start]
        return ordered.filter { $0.sequence > sequence }
    }

    /// The lines after a number and then each new one. A follower who does not keep up misses the oldest, which the numbers
    /// show. Nil where enough follow already.
    public func follow(after sequence: UInt64 = 0) -> AsyncStream<Line>? {
        let (stream, continuation) = AsyncStream<Line>.makeStream(bufferingPolicy: .bufferingNewest(Self.capacity))
        let number = state.withLock { state -> UInt64? in
            guard state.followers.count < Self.mostFollowers else { return nil }
            // In one step with the start, so that no line falls in between.
            for line in Self.lines(state, after: sequence) { continuation.yield(line) }
            state.nextFollower += 1
            state.followers[state.nextFollower] = continuation
            return state.nextFollower
        }
        guard let number else { return nil }
        continuation.onTermination = { [weak self] _ in
            _ = self?.state.withLock { $0.followers.removeValue(forKey: number) }
        }
        return stream
    }

    /// How many follow now.
    var followers: Int { state.withLock(\.followers.count) }
}
