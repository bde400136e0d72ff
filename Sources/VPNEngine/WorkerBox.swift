// SPDX-License-Identifier: Apache-2.0
// A thread's work on its way to the thread that will own it.

import VPNLock

/// What a thread of the engine does until it is told to stop.
protocol ThreadWork: ~Copyable {
    mutating func run()
}

/// Carries work to its thread, which takes it out and with it everything that it owns.
final class WorkerBox<Work: ThreadWork & ~Copyable>: Sendable {
    private let work: Guarded<Work?>

    init(_ work: consuming sending Work) { self.work = Guarded(work) }

    /// Runs it to its end; once.
    func run() {
        guard var work = work.withLock({ $0.take() }) else { return }
        work.run()
    }

    /// Lets go of work that never ran.
    func discard() { _ = work.withLock { $0.take() } }
}
