// SPDX-License-Identifier: Apache-2.0
// Threads for public-key work, with a bounded queue (§6: never on a packet thread). What a job does with its result is
// the job's own business.

import CLinux
import Glibc
import VPNLock

/// A fixed number of threads that run jobs in the order of submission. Where processors are short they give way to the packet
/// threads: a handshake may wait for a moment, and a flood of them is the cheapest way to keep processors busy.
public final class JobPool: Sendable {
    public typealias Job = @Sendable () -> Void

    private struct State {
        var jobs: [Job] = []
        var isStopping = false
        var running = 0
    }

    /// What the threads share. It does not refer to the pool, so the pool can go while they run.
    private final class Queue: Sendable {
        let state = Guarded(State())
        let capacity: Int
        /// A tenth of the share of a packet thread: under load still some 50 handshakes a second and processor.
        static let niceness: Int32 = 10
        /// Counts jobs, and one more for each thread that is to end.
        let semaphore: FileDescriptor

        init(capacity: Int) throws(EngineError) {
            self.capacity = capacity
            semaphore = try FileDescriptor(clinux_eventfd_open(1), "eventfd")
        }

        func run() {
            clinux_yield_to_others(Self.niceness)
            while true {
                _ = clinux_eventfd_take(semaphore.raw)
                let job = state.withLock { state -> Job? in
                    guard !state.jobs.isEmpty else { return nil }
                    state.running += 1
                    return state.jobs.removeFirst()
                }
                guard let job else { return }
                job()
                state.withLock { $0.running -= 1 }
            }
        }
    }

    private let queue: Queue
    private let threads: [WorkerThread]

    /// - Parameters:
    ///   - threads: at least 1.
    ///   - capacity: jobs that may wait; further ones are refused.
    public init(threads count: Int, capacity: Int) throws(EngineError) {
        precondition(count > 0 && capacity > 0)
        let queue = try Queue(capacity: capacity)
        var threads: [WorkerThread] = []
        for number in 0..<count {
            do throws(EngineError) {
                threads.append(try WorkerThread(name: "pqvpn-job-\(number)") { queue.run() })
            } catch {
                if number > 0 { clinux_eventfd_signal(queue.semaphore.raw, UInt64(number)) }
                for thread in threads { thread.join() }
                throw error
            }
        }
        self.queue = queue
        self.threads = threads
    }

    /// Queues a job; false if the queue is full or the pool is stopping.
    public func submit(_ job: @escaping Job) -> Bool {
        let taken = queue.state.withLock { state in
            guard !state.isStopping, state.jobs.count < queue.capacity else { return false }
            state.jobs.append(job)
            return true
        }
        if taken { clinux_eventfd_signal(queue.semaphore.raw, 1) }
        return taken
    }

    /// Jobs that wait or run.
    public var load: Int { queue.state.withLock { $0.jobs.count + $0.running } }

    /// Drops the jobs that wait, lets those that run finish, and joins the threads. Never call it from a job.
    public func stop() {
        end()
        for thread in threads { thread.join() }
    }

    /// The same without waiting: for jobs that may block in somebody else's code, and hold nothing that others need. A job that runs goes
    /// on by itself.
    public func leave() {
        end()
        for thread in threads { thread.leave() }
    }

    private func end() {
        let first = queue.state.withLock { state in
            state.jobs.removeAll()
            defer { state.isStopping = true }
            return !state.isStopping
        }
        if first { clinux_eventfd_signal(queue.semaphore.raw, UInt64(threads.count)) }
    }

    deinit { stop() }
}
