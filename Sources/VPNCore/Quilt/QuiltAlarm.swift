// SPDX-License-Identifier: Apache-2.0
// Which quilts want to be looked at before the time that their worker knows of: without it a worker would have to ask each of a
// thousand quilts whenever it wakes up. Threads share it.

internal import Synchronization
internal import VPNLock

final class QuiltAlarm: Sendable {
    private let isRinging = Atomic<Bool>(false)
    /// By the local index of their session.
    private let quilts = Guarded<[UInt32]>([])
    /// Wakes the worker that keeps the time: it may sleep until what was due first.
    private let bell = Guarded<(@Sendable () -> Void)?>(nil)

    func wakeBy(_ new: @escaping @Sendable () -> Void) { bell.withLock { $0 = new } }

    /// Something of this quilt is due earlier than it was.
    func ring(_ index: UInt32) {
        quilts.withLock { $0.append(index) }
        if !isRinging.exchange(true, ordering: .acquiringAndReleasing) { bell.withLock { $0 }?() }
    }

    /// Those that rang since the last time.
    func answer() -> [UInt32] {
        guard isRinging.load(ordering: .relaxed), isRinging.exchange(false, ordering: .acquiringAndReleasing) else {
            return []
        }
        return quilts.withLock { indices in
            defer { indices = [] }
            return indices
        }
    }
}
