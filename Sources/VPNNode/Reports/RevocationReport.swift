// SPDX-License-Identifier: Apache-2.0
// `pqvpn peers revoke`, `restore` and `revoked`: the revocation list as people see and change it.
internal import VPNCore
internal import VPNCrypto

public struct RevocationReport: Report {
    public static let schema = "pqvpn.revoked/1"

    public struct Entry: Encodable, Sendable, Equatable {
        public let peerID: String
        /// "operator" or "owner".
        public let revokedBy: String

        private enum CodingKeys: String, CodingKey {
            case peerID = "peer_id"
            case revokedBy = "revoked_by"
        }
    }

    public let file: String
    /// What was done: "list", "revoked", "known", "restored".
    public let action: String
    /// The identity that it was done to.
    public let peerID: String?
    /// The whole list, as it is now.
    public let revoked: [Entry]

    private enum CodingKeys: String, CodingKey {
        case file, action
        case peerID = "peer_id"
        case revoked
    }

    init(_ list: RevocationList, _ action: String, _ id: PeerID?) {
        file = list.path
        self.action = action
        peerID = id?.hex
        revoked = list.entries.sorted { $0.peerID < $1.peerID }.map {
            Entry(peerID: $0.peerID.hex, revokedBy: $0.statement == nil ? "operator" : "owner")
        }
    }

    public var text: String {
        switch action {
        case "list":
            if revoked.isEmpty { return "nobody is revoked in \(file)" }
            return revoked.map { "\($0.peerID)  by its \($0.revokedBy)" }.joined(separator: "\n")
                .replacing("by its operator", with: "by the operator")
        case "known": return "\(peerID ?? "") is revoked already"
        case "restored": return "\(peerID ?? "") is no longer revoked"
        default: return "\(peerID ?? "") is revoked: running nodes end its sessions within seconds"
        }
    }
}
