// SPDX-License-Identifier: Apache-2.0
// Who is revoked, on disk: one file of mode 0600, replaced as a whole under a lock. What becomes of sessions is the core's.
internal import Glibc
internal import Synchronization
public import VPNCore
public import VPNCrypto

/// revoked.yaml. Every change is on disk before the call returns; if it fails, the old state is kept in memory and on disk.
public final class RevocationList: Sendable {
    public let path: String
    private let state: Mutex<[RevokedIdentity]>
    /// What a file said that was lost: in force until the end of the run, whatever another one says.
    private let lost = Mutex<Set<PeerID>>([])

    /// Some thousand statements of 12 KB each.
    private static let maximumSize = 64 << 20

    /// Reads the file; one that does not exist revokes nobody. Throws for a file that others can reach, that is a link, or
    /// whose content is not exactly right.
    public init(path: String) throws {
        self.path = path
        state = Mutex(try Self.read(path))
    }

    /// All revoked ids.
    public var ids: Set<PeerID> { Set(state.withLock { $0.map(\.peerID) }).union(lost.withLock { $0 }) }

    var entries: [RevokedIdentity] { state.withLock { $0 } }

    /// The operator's word. False where it is revoked already.
    @discardableResult
    public func revoke(_ id: PeerID) throws -> Bool {
        try change { entries in
            guard !entries.contains(where: { $0.peerID == id }) else { return false }
            entries.append(RevokedIdentity(peerID: id, statement: nil))
            return true
        }
    }

    /// The owner's word, which goes over the operator's. False where it is there already.
    @discardableResult
    public func revoke(_ statement: RevocationStatement) throws -> Bool {
        try change { entries in
            if entries.contains(where: { $0.peerID == statement.peerID && $0.statement != nil }) { return false }
            entries.removeAll { $0.peerID == statement.peerID }
            entries.append(RevokedIdentity(peerID: statement.peerID, statement: statement))
            return true
        }
    }

    /// Takes the operator's word back; what its owner revoked stays so.
    public func restore(_ id: PeerID) throws {
        try change { entries in
            guard let entry = entries.first(where: { $0.peerID == id }) else {
                throw NodeFailure(.usage, "\(id.hex) is not revoked")
            }
            guard entry.statement == nil else {
                throw NodeFailure(.untrustedIdentity, "\(id.hex) was revoked by its owner, which nobody takes back")
            }
            entries.removeAll { $0.peerID == id }
        }
    }

    /// Reads the file again, since another process may have changed it. If that fails the old state stays.
    ///
    /// - Parameter wasGone: this one takes the place of a file that was lost, which does not let in again whom that one kept out.
    func reread(wasGone: Bool = false) throws -> Set<PeerID> {
        let before = ids
        guard ProtectedFile.exists(path) || before.isEmpty else {
            throw NodeFailure(.failure, "revocation list \(path) is gone: restore it from a backup")
        }
        if wasGone { lost.withLock { $0.formUnion(before) } }
        let entries = try Self.read(path)
        state.withLock { $0 = entries }
        return ids
    }

    private static func read(_ path: String) throws -> [RevokedIdentity] {
        guard ProtectedFile.exists(path) else { return [] }
        let file = try ProtectedFile.open(path, noun: "revocation list", maximumSize: maximumSize)
        let bytes = try file.read(limit: file.status().size)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw NodeFailure(.usage, "revocation list \(path): not UTF-8 text; nothing was changed")
        }
        return try RevocationDocument.decode(text, path: path)
    }

    private func change<Result: Sendable>(_ body: (inout [RevokedIdentity]) throws -> Result) throws -> Result {
        let lock = try OpenFile(path + ".lock", O_RDWR | O_CREAT, mode: 0o600)
        try lock.lock()
        var entries = try Self.read(path)
        let result = try body(&entries)
        try ProtectedFile.replace(path, with: [UInt8](RevocationDocument.text(of: entries).utf8))
        let written = entries
        state.withLock { $0 = written }
        return result
    }
}
