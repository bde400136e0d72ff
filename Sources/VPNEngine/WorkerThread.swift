// SPDX-License-Identifier: Apache-2.0
// An operating-system thread that is joined. Threads of the engine block in system calls for their whole life, which is
// what Swift's cooperative pool must not be used for.

import CLinux
import Glibc
import VPNLock

/// A running thread. `join` or `leave` must be called once before the last reference goes.
final class WorkerThread: Sendable {
    private final class Start: Sendable {
        let name: String
        let body: @Sendable () -> Void

        init(name: String, body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }

    private let thread: Guarded<pthread_t?>

    /// Starts a thread, with all signals blocked: they belong to the main thread.
    /// - Parameter name: at most 15 bytes are shown.
    init(name: String, _ body: @escaping @Sendable () -> Void) throws(EngineError) {
        let start = unsafe Unmanaged.passRetained(Start(name: name, body: body))
        var all = sigset_t()
        var before = sigset_t()
        var id = pthread_t()
        // SAFETY: the pointers are to locals that outlive the calls; `start` is released exactly once, by the thread
        // that takes it over, or here if there is none.
        unsafe sigfillset(&all)
        // By it a thread is told to give up its privileges (ProcessPrivileges).
        unsafe sigdelset(&all, SIGSYS)
        unsafe pthread_sigmask(SIG_BLOCK, &all, &before)
        let result = unsafe pthread_create(
            &id, nil,
            { argument in
                let start = unsafe Unmanaged<Start>.fromOpaque(argument!).takeRetainedValue()
                unsafe start.name.withCString { unsafe clinux_name_thread($0) }
                start.body()
                return nil
            }, start.toOpaque())
        unsafe pthread_sigmask(SIG_SETMASK, &before, nil)
        guard result == 0 else {
            unsafe start.release()
            throw EngineError(.system, errno: result, "starting a thread")
        }
        thread = Guarded(id)
    }

    /// Waits for the thread to end; later calls return at once.
    func join() {
        let id = thread.withLock { id in
            let taken = id
            id = nil
            return taken
        }
        if let id { pthread_join(id, nil) }
    }

    /// Lets the thread go on by itself: nobody waits for its end any more.
    func leave() {
        let id = thread.withLock { id in
            let taken = id
            id = nil
            return taken
        }
        if let id { pthread_detach(id) }
    }
}
