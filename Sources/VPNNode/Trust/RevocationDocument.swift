// SPDX-License-Identifier: Apache-2.0
// The revocation list as text: YAML that pqvpn writes, or an operator without a checksum. A statement in it must hold, or the
// whole file is refused: a list that is believed in part would let somebody in.
internal import Foundation
internal import VPNCore
internal import VPNCrypto
internal import Yams

/// One identity that nobody is to believe any more.
struct RevokedIdentity: Equatable, Sendable {
    let peerID: PeerID
    /// The owner's own word; nil for the operator's.
    let statement: RevocationStatement?
}

enum RevocationDocument {
    static func text(of entries: [RevokedIdentity]) -> String {
        var lines = [
            "# Revoked identities. Written by pqvpn; change it with `pqvpn peers revoke`.",
            "version: \(ChecksummedText.version)", entries.isEmpty ? "revoked: []" : "revoked:",
        ]
        for entry in entries.sorted(by: { $0.peerID < $1.peerID }) {
            lines.append("  - peer_id: \"\(entry.peerID.hex)\"")
            lines.append("    statement: \"\(entry.statement.map { Data($0.encoded).base64EncodedString() } ?? "")\"")
        }
        return ChecksummedText.finish(lines)
    }

    /// `path` is for messages.
    static func decode(_ text: String, path: String) throws -> [RevokedIdentity] {
        func refuse(_ reason: String, at node: YAMLNode? = nil) -> NodeFailure {
            let place = node?.mark.map { ":\($0.line)" } ?? ""
            return NodeFailure(.usage, "revocation list \(path)\(place): \(reason); nothing was changed")
        }
        if let complaint = ChecksummedText.truncation(of: text) { throw refuse(complaint) }
        let root: YAMLNode?
        do {
            root = try Parser(yaml: text, encoding: .utf8).singleRoot()
        } catch { throw refuse("the file is not valid YAML") }
        guard case .mapping(let mapping)? = root else { throw refuse("the file is not a map") }
        let version = mapping["version"]?.scalar?.string
        guard version == "1" || version == ChecksummedText.version else {
            throw refuse("version is neither 1 nor \(ChecksummedText.version)", at: mapping["version"])
        }
        if version != "1", let complaint = ChecksummedText.damage(in: text) { throw refuse(complaint) }
        let known = ["version", "revoked"] + (version == "1" ? [] : [ChecksummedText.key])
        for key in mapping.keys where !known.contains(key.string ?? "") {
            throw refuse("unknown key '\(key.string ?? "?")'", at: key)
        }
        guard case .sequence(let nodes)? = mapping["revoked"] else { throw refuse("there is no list 'revoked'") }
        var entries: [RevokedIdentity] = []
        var ids: Set<PeerID> = []
        for node in nodes {
            let entry = try entry(node, refuse: refuse)
            guard ids.insert(entry.peerID).inserted else {
                throw refuse("peer_id \(entry.peerID.hex) stands more than once", at: node)
            }
            entries.append(entry)
        }
        return entries
    }

    /// A map, or for short a peer_id alone.
    private static func entry(_ node: YAMLNode, refuse: (String, YAMLNode?) -> NodeFailure) throws -> RevokedIdentity {
        if let hex = node.scalar?.string {
            guard let id = PeerID(hex: hex) else { throw refuse("'\(hex)' is not 64 hexadecimal digits", node) }
            return RevokedIdentity(peerID: id, statement: nil)
        }
        guard case .mapping(let mapping) = node else { throw refuse("an entry is neither a peer_id nor a map", node) }
        for key in mapping.keys where key.string != "peer_id" && key.string != "statement" {
            throw refuse("unknown key '\(key.string ?? "?")'", key)
        }
        guard let id = mapping["peer_id"]?.scalar.flatMap({ PeerID(hex: $0.string) }) else {
            throw refuse("peer_id is not 64 hexadecimal digits", node)
        }
        guard let base64 = mapping["statement"]?.scalar?.string, !base64.isEmpty else {
            return RevokedIdentity(peerID: id, statement: nil)
        }
        guard let data = Data(base64Encoded: base64) else {
            throw refuse("the statement of \(id.short) is not base64", mapping["statement"])
        }
        let statement: RevocationStatement
        do {
            statement = try RevocationStatement(decoding: [UInt8](data), using: SystemCryptography())
        } catch {
            throw refuse(NodeFailure(refusing: "the statement of \(id.short)", error).message, mapping["statement"])
        }
        guard statement.peerID == id else { throw refuse("the statement of \(id.short) is about somebody else", node) }
        return RevokedIdentity(peerID: id, statement: statement)
    }
}
