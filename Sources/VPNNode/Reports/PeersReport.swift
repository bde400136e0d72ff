// SPDX-License-Identifier: Apache-2.0
// `pqvpn peers …`: pins as people see and change them.
internal import VPNCore
internal import VPNCrypto

/// `pqvpn peers list`, and what the other verbs of `peers` changed.
public struct PeersReport: Report {
    public static let schema = "pqvpn.peers/1"

    public struct Entry: Encodable, Sendable, Equatable {
        public let peerID: String
        public let name: String
        /// "operator" or "tofu".
        public let addedBy: String
        public let endpoint: String
        public let allowsPartial: Bool

        private enum CodingKeys: String, CodingKey {
            case peerID = "peer_id"
            case name
            case addedBy = "added_by"
            case endpoint
            case allowsPartial = "allow_partial"
        }

        init(_ pin: PinnedPeer) {
            peerID = pin.peerID.hex
            name = pin.name
            addedBy = pin.origin.rawValue
            endpoint = pin.endpoint
            allowsPartial = pin.allowsPartial
        }
    }

    public let file: String
    /// What was done: "list", "added", "known", "trusted", "set", "removed", "encrypted", "decrypted", "rotated".
    public let action: String
    public let peers: [Entry]
    /// The id that was pinned before, where another one took its place.
    public let replaced: String?

    public var text: String {
        switch action {
        case "list":
            if peers.isEmpty { return "no peers are pinned in \(file)" }
            let width = max(4, peers.map(\.name.count).max() ?? 0)
            return peers.map { entry in
                let name = entry.name.isEmpty ? "-" : entry.name
                let padding = String(repeating: " ", count: width - name.count)
                return "\(name)\(padding)  \(entry.peerID)  \(entry.addedBy)"
                    + (entry.endpoint.isEmpty ? "" : "  \(entry.endpoint)")
                    + (entry.allowsPartial ? "  allow_partial" : "")
            }.joined(separator: "\n")
        case "known": return "'\(peers[0].name)' (\(peers[0].peerID)) is pinned already"
        case "trusted": return "'\(peers[0].name)' is \(peers[0].peerID) now, was \(replaced ?? "")"
        case "rotated":
            return "'\(peers[0].name)' goes on as \(peers[0].peerID), was \(replaced ?? "")"
        case "encrypted": return "\(file) is under a passphrase now"
        case "decrypted": return "\(file) is in the clear now"
        case "set":
            return "'\(peers[0].name)' (\(peers[0].peerID)): allow_partial is \(peers[0].allowsPartial)"
                + (peers[0].allowsPartial ? "; it counts only under security.strict_sig_verify: false" : "")
        default: return "\(action) '\(peers[0].name)' (\(peers[0].peerID))"
        }
    }
}

/// The file of pins that a command works on.
public struct PeersCommandTarget: Sendable {
    private let path: String
    private let revokedPath: String
    private let unlocker: Unlocker

    /// From a configuration, or a path; the default is that of a configuration in this directory. The passphrase is asked
    /// for where the file is encrypted.
    public init(
        configurationFile: String?, knownPeersFile: String?, revokedFile: String? = nil, passphraseFile: String?
    ) throws {
        let configuration = try configurationFile.map { try LoadedConfiguration(file: $0).configuration }
        path = knownPeersFile ?? configuration?.security.knownPeersFile ?? "known_peers.yaml"
        revokedPath = revokedFile ?? configuration?.security.revokedFile ?? "revoked.yaml"
        unlocker = Unlocker(PassphraseSource(file: passphraseFile, configuredFile: configuration?.passphraseFile))
    }

    private func open() throws -> KnownPeersStore { try KnownPeersStore(path: path, unlocker: unlocker) }

    /// The same to change it.
    private func openToWrite() throws -> KnownPeersStore {
        try StateOwner.check(path)
        return try open()
    }

    private func revocationsToWrite() throws -> RevocationList {
        try StateOwner.check(revokedPath)
        return try RevocationList(path: revokedPath)
    }

    /// Puts the file under a passphrase, or takes it out.
    public func setEncrypted(_ isEncrypted: Bool) throws -> PeersReport {
        guard ProtectedFile.exists(path) else { throw NodeFailure(.usage, "known peers \(path) does not exist") }
        let store = try openToWrite()
        guard try store.isSealed() != isEncrypted else {
            throw NodeFailure(.failure, "known peers \(path) is \(isEncrypted ? "encrypted already" : "not encrypted")")
        }
        try store.seal(by: isEncrypted ? unlocker : nil)
        return PeersReport(file: path, action: isEncrypted ? "encrypted" : "decrypted", peers: [], replaced: nil)
    }

    public func list() throws -> PeersReport {
        let pins = try open().pins
        return PeersReport(file: path, action: "list", peers: pins.map(PeersReport.Entry.init), replaced: nil)
    }

    /// Pins the identity of a descriptor file under `name`, or its own nickname.
    public func add(descriptorFile: String, name: String?) throws -> PeersReport {
        let descriptor = try DescriptorFile.read(descriptorFile)
        let store = try openToWrite()
        let pin = PinnedPeer(keys: descriptor.keys, name: name ?? descriptor.nickname, origin: .operatorAdded)
        guard pin.name.utf8.count <= 63, !pin.name.unicodeScalars.contains(where: \.isInvisible) else {
            throw NodeFailure(.usage, "a name has at most 63 printable bytes")
        }
        let isNew = try store.add(pin)
        let kept = store.pin(of: pin.peerID) ?? pin
        return PeersReport(file: path, action: isNew ? "added" : "known", peers: [.init(kept)], replaced: nil)
    }

    /// Puts the identity of a descriptor file in the place of a pinned one.
    public func trust(_ peer: String, descriptorFile: String) throws -> PeersReport {
        let descriptor = try DescriptorFile.read(descriptorFile)
        let store = try openToWrite()
        let old = try store.trust(descriptor.keys, as: peer)
        let new = store.pin(of: descriptor.keys.peerID)
        return PeersReport(
            file: path, action: "trusted", peers: new.map { [.init($0)] } ?? [], replaced: old.peerID.hex)
    }

    /// Follows a pinned peer to its new keys by a statement that its old ones signed.
    public func rotate(_ peer: String, statementFile: String) throws -> PeersReport {
        let statement = try RotationFile.read(statementFile)
        let revoked = try RevocationList(path: revokedPath).ids
        for id in [statement.oldID, statement.newID] where revoked.contains(id) {
            throw NodeFailure(
                .untrustedIdentity, "rotation \(statementFile) is refused: \(id.hex) is revoked in \(revokedPath)")
        }
        let (old, new) = try openToWrite().rotate(peer, by: statement)
        return PeersReport(file: path, action: "rotated", peers: [.init(new)], replaced: old.peerID.hex)
    }

    /// Revokes by the operator's word (a pinned peer, or any peer_id) or by the owner's (a statement in a file).
    public func revoke(_ what: String) throws -> RevocationReport {
        let list = try revocationsToWrite()
        // A file of a peer's name, in the directory that this is run in, is not what is meant.
        let isName = try !what.contains("/") && (PeerID(hex: what) != nil || open().pins.contains { $0.name == what })
        if !isName, RevocationFile.isOne(what) {
            let statement = try RevocationFile.read(what)
            let isNew = try list.revoke(statement)
            return RevocationReport(list, isNew ? "revoked" : "known", statement.peerID)
        }
        let id = try PeerID(hex: what) ?? open().pin(matching: what).peerID
        return RevocationReport(list, try list.revoke(id) ? "revoked" : "known", id)
    }

    /// Takes the operator's word back.
    public func restore(_ what: String) throws -> RevocationReport {
        let list = try revocationsToWrite()
        let id = try PeerID(hex: what) ?? open().pin(matching: what).peerID
        try list.restore(id)
        return RevocationReport(list, "restored", id)
    }

    public func revoked() throws -> RevocationReport {
        RevocationReport(try RevocationList(path: revokedPath), "list", nil)
    }

    public func set(_ peer: String, allowsPartial: Bool) throws -> PeersReport {
        let pin = try openToWrite().setAllowsPartial(allowsPartial, of: peer)
        return PeersReport(file: path, action: "set", peers: [.init(pin)], replaced: nil)
    }

    public func remove(_ peer: String) throws -> PeersReport {
        let old = try openToWrite().remove(peer)
        return PeersReport(file: path, action: "removed", peers: [.init(old)], replaced: nil)
    }
}
