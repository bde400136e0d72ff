// SPDX-License-Identifier: Apache-2.0
// `pqvpn relay publish`, `import`, `remove` and `pqvpn relays`: relays as people see them.
internal import Foundation
internal import VPNCore
internal import VPNCrypto

/// One relay of the directory.
struct RelayEntry: Encodable, Sendable, Equatable {
    let name: String
    let peerID: String
    let operatorName: String
    let family: String
    let addresses: [String]
    let isExit: Bool
    let bitsPerSecond: UInt64?
    let serial: UInt64
    let expires: String
    let isExpired: Bool
    /// "import", or the peer_id of who brought it.
    let source: String
    let isGuard: Bool

    private enum CodingKeys: String, CodingKey {
        case name
        case peerID = "peer_id"
        case operatorName = "operator"
        case family, addresses
        case isExit = "exit"
        case bitsPerSecond = "capacity_bits_per_second"
        case serial, expires
        case isExpired = "expired"
        case source
        case isGuard = "guard"
    }

    init(_ descriptor: Descriptor, source: String, isGuard: Bool, now: UInt64) {
        name = descriptor.nickname
        peerID = descriptor.keys.peerID.hex
        operatorName = descriptor.operatorName
        family = descriptor.family
        addresses = descriptor.addresses
        isExit = DescriptorRoles(rawValue: descriptor.roles).contains(.exit)
        bitsPerSecond = descriptor.capacity == 0 ? nil : RelayCapacity.bitsPerSecond(descriptor.capacity)
        serial = descriptor.serial
        let seconds = min(descriptor.notAfter, 253_402_300_799)
        expires = Date(timeIntervalSince1970: Double(seconds)).formatted(.iso8601)
        isExpired = descriptor.notAfter <= now
        self.source = source
        self.isGuard = isGuard
    }

    /// As a table has it.
    fileprivate var cells: [String] {
        let marks = [isGuard ? "guard" : nil, isExit ? "exit" : nil, isExpired ? "EXPIRED" : nil].compactMap { $0 }
        return [
            name.isEmpty ? "-" : name, String(peerID.prefix(16)) + "…", operatorName.isEmpty ? "-" : operatorName,
            family.isEmpty ? "-" : family, addresses.first ?? "-", bitsPerSecond.map(RelayEntry.rate) ?? "-",
            String(expires.prefix(10)), source == "import" ? source : "by " + source.prefix(8),
            marks.joined(separator: ","),
        ]
    }

    static func rate(_ bits: UInt64) -> String {
        bits >= 1_000_000_000
            ? String(format: "%.1f Gbit/s", Double(bits) / 1e9) : String(format: "%.0f Mbit/s", Double(bits) / 1e6)
    }
}

/// `pqvpn relays`.
public struct RelaysReport: Report {
    public static let schema = "pqvpn.relays/1"
    let file: String
    let relays: [RelayEntry]

    public var text: String {
        if relays.isEmpty { return "no relays are known in \(file): import descriptors with `pqvpn relay import FILE`" }
        let head = ["NAME", "PEER_ID", "OPERATOR", "FAMILY", "ADDRESS", "CAPACITY", "EXPIRES", "SOURCE", ""]
        let rows = [head] + relays.map(\.cells)
        let widths = head.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in
            var line = zip(row, widths).map { $0.padding(toLength: $1, withPad: " ", startingAt: 0) }
                .joined(separator: "  ")
            while line.last == " " { line.removeLast() }
            return line
        }.joined(separator: "\n")
    }
}

/// `pqvpn relay publish`.
public struct RelayPublishReport: Report {
    public static let schema = "pqvpn.relay-publish/1"
    let relay: RelayEntry
    let file: String
    let descriptor: String

    public var text: String {
        "\(descriptor)# written to \(file): hand this text to whoever is to use this relay; serial \(relay.serial), good until "
            + "\(relay.expires)"
    }
}

/// `pqvpn relay import` and `remove`.
public struct RelayChangeReport: Report {
    public static let schema = "pqvpn.relay/1"
    let file: String
    /// "added", "newer", "known", "removed".
    let action: String
    let relay: RelayEntry

    public var text: String {
        let name = "'\(relay.name)' (\(relay.peerID))"
        return switch action {
        case "known": "\(name) is in \(file) already"
        case "newer": "\(name) has a newer descriptor in \(file) now"
        case "removed": "removed \(name): running nodes build no more paths by it"
        default: "added \(name) to \(file): running nodes take it within seconds"
        }
    }
}
