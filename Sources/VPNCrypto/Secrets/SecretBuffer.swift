// SPDX-License-Identifier: Apache-2.0
// Building one secret out of several and of public bytes, without a copy that stays behind. Not a general byte buffer.

/// A secret under construction, of a capacity known beforehand. ``finish()`` gives the secret.
///
/// ```swift
/// var input = SecretBuffer(capacity: 4 + 32 + 64)
/// input.append(lengthPrefixed: sharedSecret)
/// input.append(transcript)
/// let material = input.finish()
/// ```
public struct SecretBuffer: ~Copyable {
    private var parts: Secret
    private var used = 0
    private let capacity: Int

    /// In bytes.
    public init(capacity: Int) {
        self.capacity = capacity
        parts = Secret(count: capacity, initializing: { _ in })
    }

    /// Public bytes, such as a transcript hash. Traps beyond the capacity.
    public mutating func append(_ bytes: [UInt8]) {
        // SAFETY: the array lends its bytes for the call; `write` checks the room.
        unsafe bytes.withUnsafeBytes { unsafe write($0) }
    }

    /// Traps beyond the capacity.
    public mutating func append(_ secret: borrowing Secret) {
        // SAFETY: the secret lends its bytes for the call; `write` checks the room.
        secret.withBytes { unsafe write($0) }
    }

    /// lv(x) of the protocol: u32 length, then the bytes.
    public mutating func append(lengthPrefixed secret: borrowing Secret) {
        append(bigEndianBytes(UInt32(secret.count)))
        append(secret)
    }

    /// What was appended. Traps if the capacity was not used up, since that is a length computed wrongly.
    public consuming func finish() -> Secret {
        precondition(used == capacity, "a secret of \(capacity) bytes got \(used)")
        return parts
    }

    private mutating func write(_ bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count <= capacity - used, "more bytes than the secret has room for")
        // SAFETY: the line above keeps the bytes within the secret.
        unsafe parts.overwrite(at: used, with: bytes)
        used += bytes.count
    }
}

/// Big-endian bytes of an integer.
func bigEndianBytes<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    stride(from: Number.bitWidth - 8, through: 0, by: -8).map { UInt8(truncatingIfNeeded: number >> Number($0)) }
}
