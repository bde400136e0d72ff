// SPDX-License-Identifier: Apache-2.0
// A reference to a session that packets may follow without counting references, which would cost two atomic operations
// a packet and a cache line that all workers fight for. Whoever keeps one keeps the session alive by other means.

/// An unretained reference to a session that its holder owns elsewhere.
@safe
struct SessionReference: Equatable {
    private let session: Unmanaged<Session>

    /// Whether it is the same session.
    @inline(__always)
    static func == (a: SessionReference, b: SessionReference) -> Bool {
        unsafe a.session.toOpaque() == b.session.toOpaque()
    }

    /// - Parameter session: the holder keeps it alive for as long as it keeps this value.
    init(_ session: Session) {
        // SAFETY: see above; whoever uses this type has an owning reference in a table, and lets go of this one first.
        unsafe self.session = Unmanaged.passUnretained(session)
    }

    /// Calls `body` with the session, which must not let go of the holder's owning reference.
    @inline(__always)
    func withSession<R>(_ body: (Session) -> R) -> R {
        // SAFETY: the holder, a table of one data plane, is changed by commands only, and none runs meanwhile.
        unsafe session._withUnsafeGuaranteedRef(body)
    }

    /// The session, retained: for whoever keeps it longer than one packet.
    var retained: Session { withSession { $0 } }
}
