// SPDX-License-Identifier: Apache-2.0
// Invitations on disk: one file of mode 0600, replaced as a whole under a lock, so that the daemon and `pqvpn invite` may both
// write. Each use of an invitation is counted here, once, and is on disk before the call returns.
internal import Glibc
internal import Synchronization
internal import VPNCore
internal import VPNCrypto

/// invites.yaml. If a change fails, the old state is kept in memory and on disk.
public final class InvitationStore: Sendable {
    public let path: String
    private let state: Mutex<InvitationDocument>
    private let fileAccess = Mutex(())

    private static let maximumSize = 16 << 20
    static let mostInvitations = 4096
    /// Closed invitations by which nobody came are forgotten after this.
    static let keptSeconds: UInt64 = 7 * 86_400

    /// Reads the file; one that does not exist has no invitations. Throws for a file that others can reach, that is a link, or
    /// whose content is not exactly right.
    public init(path: String) throws {
        self.path = path
        state = Mutex(try Self.read(path))
    }

    var document: InvitationDocument { state.withLock { $0 } }
    var guests: [GuestRecord] { document.guests }

    /// Makes an invitation and returns it with its token, which is nowhere else from then on.
    func create(name: String, seconds: UInt64, uses: Int, now: UInt64) throws -> (InvitationRecord, token: [UInt8]) {
        try change { document in
            let used = Set(document.guests.map(\.invitation))
            document.invitations.removeAll { $0.expires &+ Self.keptSeconds <= now && !used.contains($0.id) }
            guard document.invitations.count < Self.mostInvitations else {
                throw NodeFailure(.failure, "\(path) has \(Self.mostInvitations) invitations already")
            }
            while true {
                let token = Secret(random: Invitation.tokenSize)
                let id = Invitation.name(of: token)
                guard !document.invitations.contains(where: { $0.id == id }) else { continue }
                let record = InvitationRecord(
                    id: id, name: name, key: Invitation.key(of: token).exposedCopy(), created: now,
                    expires: now + seconds, uses: uses,
                    isRevoked: false)
                document.invitations.append(record)
                return (record, token.exposedCopy())
            }
        }
    }

    /// Closes an invitation. Whoever came by it stays. False where it was revoked already.
    func revoke(_ id: InvitationID) throws -> Bool {
        try change { document in
            guard let place = document.invitations.firstIndex(where: { $0.id == id.name }) else {
                throw NodeFailure(.usage, "there is no invitation \(id): `pqvpn invites` lists them")
            }
            guard !document.invitations[place].isRevoked else { return false }
            document.invitations[place].isRevoked = true
            return true
        }
    }

    /// Uses an invitation up for one identity, or finds that it has done so before. Throws ``InvitationRefusal`` where it does
    /// not serve, and other errors where the file cannot be written; then nothing is used up.
    ///
    /// - Parameters:
    ///   - own: addresses of this node's interface.
    ///   - peers: of the running node, but not the guest itself: their names and networks are taken.
    ///   - patience: milliseconds for the lock; nil = as long as it takes.
    func redeem(
        _ id: UInt32, by guest: PeerID, own: [InterfaceAddress], peers: [NodeConfiguration.Peer],
        pinnedNames: Set<String>, now: UInt64, patience: Int? = nil
    ) throws -> GuestRecord {
        try change(patience: patience) { document in
            guard let record = document.invitations.first(where: { $0.id == id }) else {
                throw InvitationRefusal.unknown
            }
            if record.isRevoked { throw InvitationRefusal.revoked }
            if record.isExpired(at: now) { throw InvitationRefusal.expired }
            let known = document.guests(of: id)
            if let before = known.first(where: { $0.peerID == guest }) {
                // The configuration may have given its place to somebody since.
                guard !peers.contains(where: { $0.peerID == guest || $0.name == before.name }) else {
                    throw InvitationRefusal.alreadyPeer
                }
                guard !peers.contains(where: { $0.allowedIPs.contains(where: before.allowedIPs.contains) }) else {
                    throw InvitationRefusal.noAddress
                }
                return before
            }
            guard known.count < record.uses else { throw InvitationRefusal.used }
            guard !document.guests.contains(where: { $0.peerID == guest }),
                !peers.contains(where: { $0.peerID == guest })
            else { throw InvitationRefusal.alreadyPeer }
            let taken = peers.flatMap(\.allowedIPs) + document.guests.flatMap(\.allowedIPs)
            guard let addresses = InnerAddressPlan.allocate(own: own, taken: taken) else {
                throw InvitationRefusal.noAddress
            }
            let names = pinnedNames.union(peers.map(\.name)).union(document.guests.map(\.name))
            let new = GuestRecord(
                peerID: guest, name: Self.free(record.name, among: names), invitation: id, addresses: addresses,
                since: now)
            document.guests.append(new)
            return new
        }
    }

    /// The guest is pinned: from now on its pin is what lets it in, and the operator may take that away.
    func markPinned(_ guest: PeerID, patience: Int? = nil) throws {
        try change(patience: patience) { document in
            for place in document.guests.indices where document.guests[place].peerID == guest {
                document.guests[place].isPinned = true
            }
        }
    }

    /// The name, or with a number behind it where that is somebody's.
    private static func free(_ name: String, among names: Set<String>) -> String {
        guard names.contains(name) else { return name }
        var number = 2
        while true {
            let suffix = "-\(number)"
            var start = name
            while start.utf8.count + suffix.utf8.count > 63 { start.removeLast() }
            if !names.contains(start + suffix) { return start + suffix }
            number += 1
        }
    }

    /// As the core takes them.
    func invitations(now: UInt64, clock: Instant) -> [Invitation] {
        let document = document
        return document.invitations.map { record in
            let guests = document.guests(of: record.id).map(\.peerID)
            let left = record.isExpired(at: now) ? 0 : record.expires - now
            return Invitation(
                name: record.id,
                key: PresharedKey(invitation: Secret(copying: record.key), name: record.id),
                expires: clock + .seconds(Int(min(left, 10 * 365 * 86_400))),
                usesLeft: max(0, record.uses - guests.count),
                isRevoked: record.isRevoked, guests: Set(guests))
        }
    }

    // MARK: The file

    /// Reads the file again, since another process may have changed it. If that fails the old state stays.
    func reread() throws {
        try fileAccess.withLock { _ in
            let document = try readAgain()
            state.withLock { $0 = document }
        }
    }

    /// A file that is lost is not one without guests.
    private func readAgain() throws -> InvitationDocument {
        guard ProtectedFile.exists(path) || state.withLock({ $0 == InvitationDocument() }) else {
            throw NodeFailure(
                .failure,
                "invitations \(path) is gone: restore it from a backup; its guests stay in force until a restart")
        }
        return try Self.read(path)
    }

    static func read(_ path: String) throws -> InvitationDocument {
        guard ProtectedFile.exists(path) else { return InvitationDocument() }
        let file = try ProtectedFile.open(path, noun: "invitations", maximumSize: maximumSize)
        let bytes = try file.read(limit: file.status().size)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw NodeFailure(.usage, "invitations \(path): not UTF-8 text; nothing was changed")
        }
        return try InvitationDocument(decoding: text, path: path)
    }

    private func change<Result: Sendable>(
        patience: Int? = nil, _ body: (inout InvitationDocument) throws -> Result
    ) throws -> Result {
        try fileAccess.withLock { _ in
            let lock = try OpenFile(path + ".lock", O_RDWR | O_CREAT, mode: 0o600)
            try lock.lock(patience: patience)
            let old = try readAgain()
            var document = old
            let result = try body(&document)
            if document != old {
                // What nobody could read again is not written.
                _ = try InvitationDocument(decoding: document.text, path: path)
                try ProtectedFile.replace(path, with: [UInt8](document.text.utf8))
            }
            let written = document
            state.withLock { $0 = written }
            return result
        }
    }
}
