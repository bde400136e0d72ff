// SPDX-License-Identifier: Apache-2.0
// Asks for a sign of life what may never answer: an answer that is late is none.
internal import VPNCore
internal import VPNEngine

actor LifeSign {
    private let ask: @Sendable () async -> Bool
    private let patience: TimeSpan
    /// Everybody who asks meanwhile waits for the same answer.
    private var question: (since: Instant, answer: Task<Bool, Never>)?

    init(patience: TimeSpan = .seconds(2), _ ask: @escaping @Sendable () async -> Bool) {
        self.patience = patience
        self.ask = ask
    }

    var isAlive: Bool {
        get async {
            let now = MonotonicClock.now
            let asked: (since: Instant, answer: Task<Bool, Never>)
            if let question { asked = question } else { asked = begin(now) }
            let answer = asked.answer
            let waited = now.since(asked.since)
            // One that is late already is not waited for again, or callers would pile up behind it.
            guard waited < patience else { return false }
            let (first, teller) = AsyncStream.makeStream(of: Bool.self)
            let listener: Task<Void, Never> = Task {
                let word = await answer.value
                teller.yield(word)
            }
            let left = Int64(patience.nanoseconds) - Int64(waited.nanoseconds)
            let clock: Task<Void, Never> = Task {
                guard (try? await Task.sleep(for: .nanoseconds(left))) != nil else { return }
                teller.yield(false)
            }
            defer {
                listener.cancel()
                clock.cancel()
            }
            for await word in first { return word }
            return false
        }
    }

    private func begin(_ now: Instant) -> (since: Instant, answer: Task<Bool, Never>) {
        let answer = Task { [ask] in await ask() }
        question = (now, answer)
        Task {
            _ = await answer.value
            question = nil
        }
        return (now, answer)
    }
}
