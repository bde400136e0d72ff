// SPDX-License-Identifier: Apache-2.0
// The invitations of a node and the guests who came by them, as text: YAML that pqvpn writes, with a checksum. Hostile until
// proven. No token is in it, only what both ends derive of one.
internal import VPNCore
internal import VPNCrypto
internal import Yams

/// One invitation as its inviter keeps it.
struct InvitationRecord: Equatable, Sendable {
    let id: UInt32
    /// What its guests are called.
    var name: String
    /// 32 bytes; whoever reads them can join as long as the invitation is open.
    var key: [UInt8]
    /// Unix seconds.
    var created: UInt64
    var expires: UInt64
    var uses: Int
    var isRevoked: Bool

    /// Two hosts' clocks may differ so far.
    private static let clockTolerance: UInt64 = 300

    /// Whether it is made in what is the future by this host's clock: that went back since, and with it the end of the invitation
    /// would move away.
    func isAhead(of now: UInt64) -> Bool { created > now && created - now > Self.clockTolerance }

    func isExpired(at now: UInt64) -> Bool { expires <= now || isAhead(of: now) }
}

/// Somebody who came by an invitation.
struct GuestRecord: Equatable, Sendable {
    let peerID: PeerID
    var name: String
    let invitation: UInt32
    /// Its inner addresses, with the length of their networks.
    var addresses: [InterfaceAddress]
    /// Unix seconds.
    var since: UInt64
    /// Its pin was written. One that is counted and was not pinned is let in again; one whose pin is gone is not.
    var isPinned = false

    /// Its addresses and no others.
    var allowedIPs: [IPPrefix] {
        addresses.map { IPPrefix(containing: $0.address, length: $0.address.family.bits) }
    }
}

struct InvitationDocument: Equatable, Sendable {
    var invitations: [InvitationRecord] = []
    var guests: [GuestRecord] = []

    func guests(of invitation: UInt32) -> [GuestRecord] { guests.filter { $0.invitation == invitation } }

    // MARK: Writing

    var text: String {
        var lines = [
            "# Invitations and guests. Written by pqvpn; change it with `pqvpn invite`.",
            "version: \(ChecksummedText.version)", invitations.isEmpty ? "invitations: []" : "invitations:",
        ]
        for record in invitations {
            lines += [
                "  - id: \"\(InvitationID(record.id))\"", "    name: \(ConfigurationValue.quoted(record.name))",
                "    key: \"\(record.key.hex)\"", "    created: \(record.created)", "    expires: \(record.expires)",
                "    uses: \(record.uses)", "    revoked: \(record.isRevoked)",
            ]
        }
        lines.append(guests.isEmpty ? "guests: []" : "guests:")
        for guest in guests {
            let addresses = guest.addresses.map { "\"\($0)\"" }.joined(separator: ", ")
            lines += [
                "  - peer_id: \"\(guest.peerID.hex)\"", "    name: \(ConfigurationValue.quoted(guest.name))",
                "    invitation: \"\(InvitationID(guest.invitation))\"", "    addresses: [\(addresses)]",
                "    since: \(guest.since)", "    pinned: \(guest.isPinned)",
            ]
        }
        return ChecksummedText.finish(lines)
    }

    // MARK: Reading

    init() {}

    /// `path` is for messages.
    init(decoding text: String, path: String) throws {
        func refuse(_ reason: String, _ node: YAMLNode? = nil) -> NodeFailure {
            let place = node?.mark.map { ":\($0.line)" } ?? ""
            return NodeFailure(.usage, "invitations \(path)\(place): \(reason); nothing was changed")
        }
        if let complaint = ChecksummedText.truncation(of: text) { throw refuse(complaint) }
        let root: YAMLNode?
        do { root = try Parser(yaml: text, encoding: .utf8).singleRoot() } catch {
            throw refuse("the file is not valid YAML")
        }
        guard case .mapping(let mapping)? = root else { throw refuse("the file is not a map") }
        guard mapping["version"]?.scalar?.string == ChecksummedText.version else {
            throw refuse("version is not \(ChecksummedText.version)", mapping["version"])
        }
        if let complaint = ChecksummedText.damage(in: text) { throw refuse(complaint) }
        guard case .sequence(let records)? = mapping["invitations"], case .sequence(let people)? = mapping["guests"]
        else { throw refuse("there are no lists 'invitations' and 'guests'") }
        for node in records {
            let fields = Fields(node, refuse)
            let record = InvitationRecord(
                id: try fields.id("id"), name: try fields.name("name"), key: try fields.key("key"),
                created: try fields.number("created"), expires: try fields.number("expires"),
                uses: Int(clamping: try fields.number("uses")), isRevoked: try fields.boolean("revoked"))
            guard !invitations.contains(where: { $0.id == record.id }) else {
                throw refuse("an id stands more than once", node)
            }
            invitations.append(record)
        }
        for node in people {
            let fields = Fields(node, refuse)
            let guest = GuestRecord(
                peerID: try fields.peerID("peer_id"), name: try fields.name("name"),
                invitation: try fields.id("invitation"), addresses: try fields.addresses("addresses"),
                since: try fields.number("since"),
                // Files of earlier versions do not say.
                isPinned: fields.has("pinned") ? try fields.boolean("pinned") : true)
            guard !guests.contains(where: { $0.peerID == guest.peerID || $0.name == guest.name }) else {
                throw refuse("a guest stands more than once", node)
            }
            guests.append(guest)
        }
    }

    /// The fields of one entry.
    private struct Fields {
        let node: YAMLNode
        let refuse: (String, YAMLNode?) -> NodeFailure

        init(_ node: YAMLNode, _ refuse: @escaping (String, YAMLNode?) -> NodeFailure) {
            self.node = node
            self.refuse = refuse
        }

        func has(_ key: String) -> Bool { node.mapping?[key] != nil }

        private func text(_ key: String) throws -> String {
            guard case .mapping(let mapping) = node, let text = mapping[key]?.scalar?.string else {
                throw refuse("\(key) is missing", node)
            }
            return text
        }

        func id(_ key: String) throws -> UInt32 {
            guard let id = InvitationID(try text(key)) else { throw refuse("\(key) is none of eight digits", node) }
            return id.name
        }

        func name(_ key: String) throws -> String {
            let name = try text(key)
            if TextForm.printable(maximum: 63).complaint(about: name) != nil { throw refuse("\(key) is no name", node) }
            return name
        }

        func key(_ key: String) throws -> [UInt8] {
            guard let bytes = Hex.decode(try text(key)), bytes.count == PresharedKey.size else {
                throw refuse("\(key) is not \(PresharedKey.size) bytes in hexadecimal digits", node)
            }
            return bytes
        }

        func number(_ key: String) throws -> UInt64 {
            guard let number = UInt64(try text(key)) else { throw refuse("\(key) is no number", node) }
            return number
        }

        func boolean(_ key: String) throws -> Bool {
            guard let value = Bool(try text(key)) else { throw refuse("\(key) is neither true nor false", node) }
            return value
        }

        func peerID(_ key: String) throws -> PeerID {
            guard let id = PeerID(hex: try text(key)) else {
                throw refuse("\(key) is not 64 hexadecimal digits", node)
            }
            return id
        }

        func addresses(_ key: String) throws -> [InterfaceAddress] {
            guard case .mapping(let mapping) = node, case .sequence(let list)? = mapping[key], list.count <= 8 else {
                throw refuse("\(key) is no list of addresses", node)
            }
            return try list.map { entry in
                guard let text = entry.scalar?.string, let address = try? InterfaceAddress(text) else {
                    throw refuse("\(key) has what is no address", entry)
                }
                return address
            }
        }
    }
}
