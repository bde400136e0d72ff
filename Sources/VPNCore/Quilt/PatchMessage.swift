// SPDX-License-Identifier: Apache-2.0
// What PATH_CHALLENGE and PATH_RESPONSE say of patches (§9): one is announced, shows that it carries, or is taken away.

/// `nonce 8 │ patch 1 │ op 1`, and what the op needs.
struct PatchMessage: Hashable {
    enum Purpose: Hashable {
        /// By a way that carries: there shall be such a patch, and datagrams of it find this end by the index. In the answer 0
        /// where there shall not.
        case add(index: UInt32)
        /// By the patch itself: this is where it goes. `echo` is the challenger's nonce in an answer, and in the answer to that
        /// the one that it brought; zero bytes fill it up to the longest packet that the patch is for.
        case join(echo: UInt64, size: Int)
        /// By a way that carries: the patch is no more.
        case remove
    }

    private static let addOp: UInt8 = 1
    private static let joinOp: UInt8 = 3
    private static let removeOp: UInt8 = 4
    static let head = 10
    static let addSize = head + 4
    static let joinSize = head + 8

    var nonce: UInt64
    var patch: Int
    var purpose: Purpose

    init(nonce: UInt64, patch: Int, _ purpose: Purpose) {
        self.nonce = nonce
        self.patch = patch
        self.purpose = purpose
    }

    /// Nil for what is no such message: another op, length or patch. The first patch is none that is added.
    init?(_ payload: [UInt8]) {
        guard payload.count >= Self.head, (1..<UInt8(Limits.patches)).contains(payload[8]) else { return nil }
        switch (payload[9], payload.count) {
        case (Self.addOp, Self.addSize): purpose = .add(index: payload.u32(at: Self.head))
        case (Self.joinOp, Self.joinSize...):
            guard payload[Self.joinSize...].allSatisfy({ $0 == 0 }) else { return nil }
            purpose = .join(echo: payload.u64(at: Self.head), size: payload.count)
        case (Self.removeOp, Self.head): purpose = .remove
        default: return nil
        }
        nonce = payload.u64(at: 0)
        patch = Int(payload[8])
    }

    var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.append(bigEndian: nonce)
        bytes.append(UInt8(patch))
        switch purpose {
        case .add(let index):
            bytes.append(Self.addOp)
            bytes.append(bigEndian: index)
        case .join(let echo, let size):
            bytes.append(Self.joinOp)
            bytes.append(bigEndian: echo)
            bytes += Array(repeating: 0, count: max(0, size - bytes.count))
        case .remove: bytes.append(Self.removeOp)
        }
        return bytes
    }
}
