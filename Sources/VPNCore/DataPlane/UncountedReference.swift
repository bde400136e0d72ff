// SPDX-License-Identifier: Apache-2.0
// A reference that packets may follow without counting references, which would cost two atomic operations a packet and a
// cache line that all workers fight for. Whoever keeps one keeps the object alive by other means.

/// An unretained reference to an object that its holder owns elsewhere.
@safe
struct UncountedReference<Object: AnyObject>: Equatable {
    private let object: Unmanaged<Object>

    /// Whether it is the same object.
    @inline(__always)
    static func == (a: Self, b: Self) -> Bool { unsafe a.object.toOpaque() == b.object.toOpaque() }

    /// - Parameter object: the holder keeps it alive for as long as it keeps this value.
    init(_ object: Object) {
        // SAFETY: see above; whoever uses this type has an owning reference beside it, and lets go of this one first.
        unsafe self.object = Unmanaged.passUnretained(object)
    }

    /// Calls `body` with the object, which must not let go of the holder's owning reference.
    @inline(__always)
    func withObject<R>(_ body: (Object) -> R) -> R {
        // SAFETY: the holder, a table of one data plane, is changed by commands and between packets only.
        unsafe object._withUnsafeGuaranteedRef(body)
    }

    /// The object, retained: for whoever keeps it longer than one packet.
    var retained: Object { withObject { $0 } }
}

typealias SessionReference = UncountedReference<Session>
typealias SendingKeyReference = UncountedReference<SendingKey>
