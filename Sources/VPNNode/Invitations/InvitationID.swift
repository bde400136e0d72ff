// SPDX-License-Identifier: Apache-2.0
// How people name an invitation: the eight digits of the name that an S1 carries. No secret.
internal import VPNCore

struct InvitationID: Hashable, CustomStringConvertible {
    let name: UInt32

    init(_ name: UInt32) { self.name = name }

    /// Eight hexadecimal digits.
    init?(_ text: String) {
        guard text.utf8.count == 8, text.allSatisfy({ $0.isASCII && $0.isHexDigit }),
            let name = UInt32(text, radix: 16),
            Invitation.isName(name)
        else { return nil }
        self.name = name
    }

    var description: String {
        let digits = String(name, radix: 16)
        return String(repeating: "0", count: 8 - digits.count) + digits
    }
}
