// SPDX-License-Identifier: Apache-2.0
// The relays that a node knows, on disk: one file of mode 0600, replaced as a whole under a lock. Which of them are good now is for
// the core's directory to say.
internal import Glibc
internal import Synchronization
internal import VPNCore
internal import VPNCrypto

/// relays.yaml: what the operator imported, and what a running node learned.
final class RelayStore: Sendable {
    let path: String
    /// Of the state of a running node that was written last.
    private let written = Mutex<UInt64>(0)

    /// 4096 descriptors of 13 KB each in base64.
    private static let maximumSize = 64 << 20

    init(path: String) { self.path = path }

    /// All that is there; a file that does not exist is empty. Throws for one that others can reach, that is a link, or whose
    /// content is not exactly right.
    func read() throws -> [KeptRelay] {
        guard ProtectedFile.exists(path) else { return [] }
        let file = try ProtectedFile.open(path, noun: "relays", maximumSize: Self.maximumSize)
        let bytes = try file.read(limit: file.status().size)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw NodeFailure(.usage, "relays \(path): not UTF-8 text; nothing was changed")
        }
        return try RelaysDocument.decode(text, path: path)
    }

    enum Imported: String { case added, newer, known }

    /// The operator's word for a descriptor. An older one than is there is refused.
    func add(_ descriptor: Descriptor) throws -> Imported {
        try change { relays in
            let id = descriptor.keys.peerID
            guard let place = relays.firstIndex(where: { $0.id == id }) else {
                guard relays.count < Limits.directoryEntries else {
                    throw NodeFailure(
                        .failure, "\(path) holds \(relays.count) relays, as many as there may be: remove one first")
                }
                relays.append(KeptRelay(descriptor: descriptor, source: .imported))
                return .added
            }
            let known = relays[place].descriptor
            guard descriptor.serial >= known.serial else {
                throw NodeFailure(
                    .untrustedIdentity,
                    "this descriptor of '\(descriptor.nickname)' is refused: its serial is \(descriptor.serial), and a newer one, "
                        + "\(known.serial), is in \(path)")
            }
            guard descriptor.serial > known.serial || descriptor == known else {
                throw NodeFailure(
                    .untrustedIdentity,
                    "this descriptor of '\(descriptor.nickname)' is refused: another one of the same serial is in \(path); ask its "
                        + "operator to publish anew")
            }
            let isKnown = descriptor == known && relays[place].source == .imported
            relays[place] = KeptRelay(descriptor: descriptor, source: .imported)
            return isKnown ? .known : descriptor == known ? .added : .newer
        }
    }

    /// Forgets a relay by its nickname, its peer_id or the first 8 digits or more of it.
    func remove(_ what: String) throws -> KeptRelay {
        try change { relays in
            let relay = try Self.only(what, among: relays, path: path)
            relays.removeAll { $0.id == relay.id }
            return relay
        }
    }

    /// What a running node learned goes beside what the operator imported, of which the newer descriptor stays. Nothing that the
    /// operator took out meanwhile comes back.
    ///
    /// - Parameter number: grows with each state of one run: an older one that comes late changes nothing.
    /// Throws where the file is gone from under what the operator imported: begun anew, it would be taken for his word.
    func keep(_ current: [KeptRelay], number: UInt64 = .max) throws {
        try change(patience: KnownPeersStore.nodesPatience) { relays in
            let isLate = written.withLock { newest in
                defer { newest = max(newest, number) }
                return number < newest
            }
            if isLate { return }
            guard ProtectedFile.exists(path) || !current.contains(where: { $0.source == .imported }) else {
                throw NodeFailure(
                    .failure,
                    "relays \(path) is gone: restore it from a backup; what is known stays in force until a restart")
            }
            var kept = relays.filter { $0.source == .imported }
            for relay in current {
                if let place = kept.firstIndex(where: { $0.id == relay.id }) {
                    if kept[place].descriptor.serial < relay.descriptor.serial {
                        kept[place].descriptor = relay.descriptor
                    }
                } else if relay.source != .imported, kept.count < Limits.directoryEntries {
                    kept.append(relay)
                }
            }
            relays = kept
        }
    }

    /// The same; nil where it went well.
    func outcome(ofKeeping current: [KeptRelay], number: UInt64) -> NodeFailure? {
        do {
            try keep(current, number: number)
            return nil
        } catch { return NodeFailure(error) }
    }

    /// The one relay that a person means.
    static func only(_ what: String, among relays: [KeptRelay], path: String) throws -> KeptRelay {
        let isPrefix = what.utf8.count >= 8 && what.utf8.count <= 64 && what.allSatisfy(\.isHexDigit)
        let named = relays.filter { $0.descriptor.nickname == what }
        let found = named.isEmpty && isPrefix ? relays.filter { $0.id.hex.hasPrefix(what.lowercased()) } : named
        guard let first = found.first else {
            throw NodeFailure(.usage, "there is no relay '\(what)' in \(path): see `pqvpn relays`")
        }
        guard found.count == 1 else {
            throw NodeFailure(
                .usage,
                "'\(what)' are \(found.count) relays (\(found.map(\.id.short).sorted().joined(separator: ", "))): use the peer_id"
            )
        }
        return first
    }

    private func change<Result>(
        patience: Int? = nil, _ body: (inout [KeptRelay]) throws -> Result
    ) throws -> Result {
        let lock = try OpenFile(path + ".lock", O_RDWR | O_CREAT, mode: 0o600)
        try lock.lock(patience: patience)
        let before = try read()
        var relays = before
        let result = try body(&relays)
        if relays != before {
            try ProtectedFile.replace(path, with: [UInt8](RelaysDocument.text(of: relays).utf8))
        }
        return result
    }
}
