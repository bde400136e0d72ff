// SPDX-License-Identifier: Apache-2.0
// A worker on its way to the thread that will own it.

import VPNLock

/// Carries a worker to its thread, which takes it out and with it everything that it owns.
final class WorkerBox: Sendable {
    private let worker: Guarded<Worker?>

    init(_ worker: consuming sending Worker) { self.worker = Guarded(worker) }

    /// Runs the worker until it is told to stop; once.
    func run() {
        guard var worker = worker.withLock({ $0.take() }) else { return }
        worker.run()
    }

    /// Lets go of a worker that never ran.
    func discard() { _ = worker.withLock { $0.take() } }
}
