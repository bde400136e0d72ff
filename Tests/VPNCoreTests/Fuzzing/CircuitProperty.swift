// SPDX-License-Identifier: Apache-2.0
// What nodes say about circuits (§8): a decoder accepts exactly what the encoder makes, and says what stands there.

import VPNTesting

@testable import VPNCore

enum CircuitProperty {
    static func check(_ input: inout FuzzInput) throws {
        let kind = input.byte()
        var bytes = input.rest(upTo: 120)
        // A fuzzer does not guess lengths.
        if kind & 8 != 0 {
            let size = kind % 3 == 0 ? 36 : 8
            bytes = Array((bytes + [UInt8](repeating: 0, count: size)).prefix(size))
        }
        let id = bytes.count >= 4 ? bytes.u32(at: 0) & 0x7FFF_FFFF : 0
        switch kind % 3 {
        case 0:
            let message = ExtendMessage(bytes)
            try FuzzFinding.unless((message != nil) == (bytes.count == 36 && id != 0), "EXTEND \(bytes)")
            if let message { try FuzzFinding.unless(message.encoded == bytes, "EXTEND \(bytes), encoded") }
        case 1:
            let message = ExtendedMessage(bytes)
            let isGood =
                bytes.count == 8 && id != 0 && bytes[5] == 0
                && (bytes[4] == 0 || (bytes[4] <= 3 && bytes[6] == 0 && bytes[7] == 0))
            try FuzzFinding.unless((message != nil) == isGood, "EXTENDED \(bytes)")
            if let message { try FuzzFinding.unless(message.encoded == bytes, "EXTENDED \(bytes), encoded") }
        default:
            let message = EndMessage(bytes)
            let isGood = bytes.count == 8 && id != 0 && bytes[4] <= 3 && bytes[5...].allSatisfy { $0 == 0 }
            try FuzzFinding.unless((message != nil) == isGood, "END \(bytes)")
            if let message { try FuzzFinding.unless(message.encoded == bytes, "END \(bytes), encoded") }
        }
    }
}
