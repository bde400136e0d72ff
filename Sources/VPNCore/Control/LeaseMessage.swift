// SPDX-License-Identifier: Apache-2.0
// The payloads of CONFIG_REQ and CONFIG (§7) of kind 0: the inner addresses that an inviter gives its guest.

/// `kind 1 │ count 1 │ count × (family 1 │ length 1 │ address 4 or 16)`.
struct LeaseMessage: Equatable, Sendable {
    static let kind: UInt8 = 0
    /// The payload of the question.
    static let request: [UInt8] = [kind]
    static let mostAddresses = 8

    var addresses: [InterfaceAddress]

    init(_ addresses: [InterfaceAddress]) {
        precondition(addresses.count <= LeaseMessage.mostAddresses, "more addresses than a lease has")
        self.addresses = addresses
    }

    /// Nil for anything that is not exactly such a message.
    init?(_ payload: [UInt8]) {
        guard payload.count >= 2, payload[0] == LeaseMessage.kind, payload[1] <= LeaseMessage.mostAddresses else {
            return nil
        }
        addresses = []
        var rest = payload[2...]
        for _ in 0..<payload[1] {
            guard rest.count >= 2, let family = IPAddress.Family(rawValue: rest[rest.startIndex]) else { return nil }
            let length = Int(rest[rest.startIndex + 1])
            rest = rest.dropFirst(2)
            let bytes = Array(rest.prefix(family.bits / 8))
            guard length <= family.bits, bytes.count == family.bits / 8, let address = IPAddress(bytes: bytes) else {
                return nil
            }
            addresses.append(InterfaceAddress(address, length: length))
            rest = rest.dropFirst(bytes.count)
        }
        guard rest.isEmpty else { return nil }
    }

    var encoded: [UInt8] {
        [LeaseMessage.kind, UInt8(addresses.count)]
            + addresses.flatMap { [$0.address.family.rawValue, UInt8($0.length)] + $0.address.bytes }
    }
}
