// SPDX-License-Identifier: Apache-2.0
// What the control side knows of one session's patches (§9) beyond the quilt itself: those that this end wants, and those that the other
// end brings.

struct QuiltMaking {
    /// A patch that the other end announced.
    struct Guest {
        /// By which datagrams of it find this end, and the other one.
        var localIndex: UInt32
        var remoteIndex: UInt32
        /// What an answer on the patch has to bring back, from where, and how long it has to be.
        var pending: (nonce: UInt64, carrier: Carrier, size: Int)?
    }

    let quilt: Quilt
    /// At the end that wants them.
    var joins: [PatchJoin] = []
    /// Of them, those that nothing is sent by any more.
    var leaving: [PatchJoin] = []
    /// At the other one, by number.
    var guests: [Int: Guest] = [:]
    /// What was told of each patch last.
    var told: [Int: PatchState] = [:]
    /// When to look whether that changed.
    var nextLook: Instant

    /// Where the session is not the one that is sent on, what is there goes on and nothing new is begun.
    func deadline(isCurrent: Bool) -> Instant {
        isCurrent ? joins.map(\.deadline).min().map { min($0, nextLook) } ?? nextLook : nextLook
    }

    /// The indices that this end gave out.
    var indices: [UInt32] { (joins + leaving).map(\.localIndex) + guests.values.map(\.localIndex) }
}
