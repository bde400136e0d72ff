// SPDX-License-Identifier: Apache-2.0
// A value behind a lock, as Synchronization.Mutex has it, in an order that ThreadSanitizer can see: the lock itself lives in a
// library that no sanitizer looks into, so that everything it protects would be reported as a race. Not a lock of its own.

public import Synchronization

/// A value that one thread at a time may touch.
///
/// Each critical section reads, and at its end writes, an atomic of its own. That costs two plain moves on this kind of
/// processor and gives the instrumented code the order that the mutex has given already.
public struct Guarded<Value: ~Copyable>: ~Copyable, Sendable {
    @usableFromInline
    let mutex: Mutex<Value>
    @usableFromInline
    let order = Atomic<Bool>(false)

    @inlinable
    public init(_ value: consuming sending Value) { mutex = Mutex(value) }

    /// Waits for the lock and runs `body` with the value.
    @inlinable
    public borrowing func withLock<Result: ~Copyable, Failure: Error>(
        _ body: (inout sending Value) throws(Failure) -> sending Result
    ) throws(Failure) -> sending Result {
        try mutex.withLock { value throws(Failure) in
            _ = order.load(ordering: .acquiring)
            defer { order.store(true, ordering: .releasing) }
            return try body(&value)
        }
    }
}
