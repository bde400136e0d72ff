// SPDX-License-Identifier: Apache-2.0
// NEED_FULL (§6): a responder that could read S1 but has no keys for its sender asks for them, once.
internal import VPNCrypto

enum NeedFull {
    static let size = 128
    /// What is sealed: nothing but zeros, so that it is as long as S0 and RETRY and no byte of it can be foretold.
    private static let zeros = [UInt8](repeating: 0, count: size - OuterHeader.size - 16)

    /// header ‖ sealed zeros ‖ tag, the header being associated data. Repeats are the same bytes.
    static func encoded(receiverIndex: UInt32, key: borrowing Secret) -> [UInt8] {
        let header = OuterHeader.bytes(
            .needFull, bodyLength: size - OuterHeader.size, receiverIndex: receiverIndex, word: 0)
        return header
            + SealedPayload.seal(
                .aes256GCM, key: key, nonce: [UInt8](repeating: 0, count: 12), associatedData: header, plaintext: zeros)
    }

    static func isAuthentic(_ datagram: [UInt8], key: borrowing Secret) -> Bool {
        guard datagram.count == size, datagram.u64(at: 8) == 0 else { return false }
        return SealedPayload.open(
            .aes256GCM, key: key, nonce: [UInt8](repeating: 0, count: 12),
            associatedData: Array(datagram[0..<16]), ciphertext: Array(datagram[16...])) == zeros
    }
}
