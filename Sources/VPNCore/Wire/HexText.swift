// SPDX-License-Identifier: Apache-2.0
// Bytes as people and texts have them.
internal import VPNCrypto

extension [UInt8] {
    /// Lower-case hexadecimal digits.
    package var hex: String { Hex.encode(self) }
}
