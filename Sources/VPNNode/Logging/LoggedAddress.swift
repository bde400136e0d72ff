// SPDX-License-Identifier: Apache-2.0
// Somebody's address in a log line, as a type of its own: whether it is shown is decided where lines are made, not by whoever
// tells of an event.
internal import Logging
internal import VPNCore

struct LoggedAddress: CustomStringConvertible, Sendable {
    let description: String

    /// What stands in its place with logging.scrub_addresses.
    static let scrubbed = "scrubbed"
}

extension Logger.MetadataValue {
    /// An address of another node.
    static func address(_ endpoint: Endpoint) -> Self { .stringConvertible(LoggedAddress(description: endpoint.text)) }
    static func address(_ carrier: Carrier) -> Self { .stringConvertible(LoggedAddress(description: carrier.text)) }

    /// Without addresses, however deep they are.
    var scrubbed: Self {
        switch self {
        case .stringConvertible(let value) where value is LoggedAddress: .string(LoggedAddress.scrubbed)
        case .array(let values): .array(values.map(\.scrubbed))
        case .dictionary(let values): .dictionary(values.mapValues(\.scrubbed))
        default: self
        }
    }
}
