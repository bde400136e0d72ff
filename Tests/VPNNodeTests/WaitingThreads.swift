// SPDX-License-Identifier: Apache-2.0
// Threads for tests that sleep and wait for other processes. Those that Swift has for tasks are as few as the processors: whoever
// blocks one keeps the tests that need a processor from running.
import Foundation
import Synchronization
import Testing

/// A few threads, each of which runs one test at a time.
final class WaitingThreads: TaskExecutor {
    /// Scenarios on hosts of their own, one for each of the two suites that these are in.
    static let stages = WaitingThreads(most: 2)
    /// Programs on this host.
    static let programs = WaitingThreads(most: 2)

    private struct Jobs {
        var waiting: [UnownedJob] = []
        var threads = 0
    }

    private let most: Int
    private let jobs = Mutex(Jobs())

    private init(most: Int) { self.most = most }

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let isThreadWanted = jobs.withLock { jobs in
            jobs.waiting.append(job)
            guard jobs.threads < most else { return false }
            jobs.threads += 1
            return true
        }
        if isThreadWanted { Thread { self.work() }.start() }
    }

    /// Runs what there is, and ends.
    private func work() {
        while let job = nextJob() {
            // SAFETY: this executor is never gone.
            unsafe job.runSynchronously(on: asUnownedTaskExecutor())
        }
    }

    private func nextJob() -> UnownedJob? {
        jobs.withLock { jobs in
            guard jobs.waiting.isEmpty else { return jobs.waiting.removeFirst() }
            jobs.threads -= 1
            return nil
        }
    }
}

/// The suite runs on such threads: its tests, and what begins one after the other.
struct ThreadsTrait: SuiteTrait, TestScoping {
    let threads: WaitingThreads

    @concurrent
    func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @concurrent @Sendable () async throws -> Void
    ) async throws {
        try await withTaskExecutorPreference(threads) { try await function() }
    }
}

extension Trait where Self == ThreadsTrait {
    /// The tests of this suite wait, and keep nobody else from running meanwhile.
    static func threads(_ threads: WaitingThreads) -> Self { Self(threads: threads) }
}
