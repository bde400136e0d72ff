// SPDX-License-Identifier: Apache-2.0
// The relays that this node's paths begin with, on disk: who has the file knows where to wait for this node. Of mode 0600, replaced as
// a whole.
internal import VPNCore
internal import VPNCrypto
internal import Yams

/// guards.yaml.
struct GuardFile: Sendable {
    let path: String

    private static let maximumSize = 64 << 10

    static func text(of list: GuardList) -> String {
        var lines = [
            "# The relays that this node's paths begin with. Written by pqvpn. Without it others are chosen, which is worse.",
            "version: \(ChecksummedText.version)", list.guards.isEmpty ? "guards: []" : "guards:",
        ]
        for entry in list.guards {
            lines.append("  - peer_id: \"\(entry.id.hex)\"")
            lines.append("    added: \(entry.added)")
            lines.append("    expires: \(entry.expires)")
        }
        return ChecksummedText.finish(lines)
    }

    /// The guards of earlier runs; none where there is no file. A file that is damaged is refused, never taken for an empty one:
    /// that would choose new guards.
    func read() throws -> GuardList {
        guard ProtectedFile.exists(path) else { return GuardList() }
        let file = try ProtectedFile.open(path, noun: "guards", maximumSize: Self.maximumSize)
        let bytes = try file.read(limit: file.status().size)
        guard let text = String(validating: bytes, as: UTF8.self) else { throw refuse("not UTF-8 text") }
        return try decode(text)
    }

    func decode(_ text: String) throws -> GuardList {
        if let complaint = ChecksummedText.truncation(of: text) { throw refuse(complaint) }
        guard let root = try? Parser(yaml: text, encoding: .utf8).singleRoot(), case .mapping(let mapping) = root else {
            throw refuse("the file is not valid YAML")
        }
        guard mapping["version"]?.scalar?.string == ChecksummedText.version else {
            throw refuse("version is not \(ChecksummedText.version)")
        }
        if let complaint = ChecksummedText.damage(in: text) { throw refuse(complaint) }
        guard case .sequence(let nodes)? = mapping["guards"] else { throw refuse("there is no list 'guards'") }
        let guards = try nodes.map { node in
            guard let id = (node["peer_id"]?.scalar?.string).flatMap({ PeerID(hex: $0) }),
                let added = (node["added"]?.scalar?.string).flatMap({ UInt64($0) }),
                let expires = (node["expires"]?.scalar?.string).flatMap({ UInt64($0) })
            else { throw refuse("an entry has no peer_id, no time, or others than those") }
            return GuardList.Guard(id: id, added: added, expires: expires)
        }
        return GuardList(guards)
    }

    func write(_ list: GuardList) throws { try ProtectedFile.replace(path, with: [UInt8](Self.text(of: list).utf8)) }

    private func refuse(_ reason: String) -> NodeFailure {
        NodeFailure(
            .usage,
            "guards \(path): \(reason). Restore it from a backup; removing it makes this node choose other relays to begin with"
        )
    }
}
