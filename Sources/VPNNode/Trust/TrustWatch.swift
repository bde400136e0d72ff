// SPDX-License-Identifier: Apache-2.0
// Notices that the operator changed known_peers.yaml, the revocation list or the invitations while the node runs. One look is two stat calls;
// files are read only when they changed, and what cannot be read leaves everything as it was.
internal import Glibc
internal import Synchronization
internal import VPNCore
internal import VPNCrypto

final class TrustWatch: Sendable {
    enum Finding: Sendable {
        /// The store has other pins than it had.
        case pins
        case revoked(Set<PeerID>)
        /// The store has other invitations than it had.
        case invitations
        /// The words of the refusal, which name the file.
        case refused(String)
    }

    /// What a file was when it was last looked at.
    private enum Stamp: Equatable {
        case unknown
        case absent
        case present(FileStatus)
        case unreachable(Int32)
    }

    private let knownPeers: KnownPeersStore
    private let revocations: RevocationList
    private let invitations: InvitationStore?
    private let oneAtATime = Mutex(())
    /// What is refused at present, by file.
    private let standing = Mutex<[String: String]>([:])
    private let stamps = Mutex((Stamp.unknown, Stamp.unknown, Stamp.unknown))

    init(knownPeers: KnownPeersStore, revocations: RevocationList, invitations: InvitationStore? = nil) {
        self.knownPeers = knownPeers
        self.revocations = revocations
        self.invitations = invitations
    }

    /// What could not be read when it was looked at last, and is not as on disk hence.
    var refusals: [String] { standing.withLock { $0.sorted { $0.key < $1.key }.map(\.value) } }

    /// What has changed since the last look. Blocks on files: not for an actor's thread.
    func look() -> [Finding] { oneAtATime.withLock { _ in lookAlone() } }

    private func lookAlone() -> [Finding] {
        let (pinsStamp, revokedStamp) = (Self.stamp(of: knownPeers.path), Self.stamp(of: revocations.path))
        let invitesStamp = invitations.map { Self.stamp(of: $0.path) } ?? .unknown
        let before = stamps.withLock { stamps in
            defer { stamps = (pinsStamp, revokedStamp, invitesStamp) }
            return stamps
        }
        var findings: [Finding] = []
        let wasGone = before.1 == .absent
        if let finding = finding(
            before.1, revokedStamp, revocations.path, { .revoked(try revocations.reread(wasGone: wasGone)) })
        {
            findings.append(finding)
        }
        if let finding = finding(before.0, pinsStamp, knownPeers.path, { try pins() }) {
            findings.append(finding)
        }
        if let invitations,
            let finding = finding(before.2, invitesStamp, invitations.path, { try Self.reread(invitations) })
        {
            findings.append(finding)
        }
        return findings
    }

    private static func reread(_ invitations: InvitationStore) throws -> Finding {
        try invitations.reread()
        return .invitations
    }

    private func pins() throws -> Finding {
        try knownPeers.reread()
        return .pins
    }

    private func finding(
        _ before: Stamp, _ now: Stamp, _ path: String, _ read: () throws -> Finding
    ) -> Finding? {
        guard before != now else { return nil }
        let finding = opened(before, now, path, read)
        standing.withLock { if case .refused(let words)? = finding { $0[path] = words } else { $0[path] = nil } }
        return finding
    }

    private func opened(
        _ before: Stamp, _ now: Stamp, _ path: String, _ read: () throws -> Finding
    ) -> Finding? {
        if now == .absent {
            // Whoever means to empty it writes an empty list: a file that is lost must not let anybody in or out.
            return before == .unknown ? nil : .refused("\(path) is gone: what it said stays in force until it is back")
        }
        do { return try read() } catch { return .refused("\(NodeFailure(error)); what was read before stays in force") }
    }

    private static func stamp(of path: String) -> Stamp {
        let (directory, name) = ProtectedFile.split(path)
        do throws(SystemCallError) {
            return try OpenFile.directory(directory).status(of: name).map { .present($0) } ?? .absent
        } catch {
            // With its directory the file is gone, too.
            return error.errno == ENOENT || error.errno == ENOTDIR ? .absent : .unreachable(error.errno)
        }
    }
}
