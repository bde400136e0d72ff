// SPDX-License-Identifier: Apache-2.0
// The doctor's look at files that a configuration names: rights first, then content, then what they say of each other.
internal import Foundation
internal import VPNCore
internal import VPNCrypto

extension Doctor {
    mutating func checkFiles(_ configuration: NodeConfiguration) {
        let unlocker = Unlocker(
            PassphraseSource(
                file: passphraseFile, configuredFile: configuration.passphraseFile, usesTerminal: false))
        let own = checkKeys(configuration, unlocker)
        checkTrust(configuration, unlocker, own: own)
        for peer in configuration.peers {
            guard let path = peer.presharedKeyFile else { continue }
            guard checkRights(path, "psk.file", absent: "openssl rand -base64 32 > \(path); chmod 600 \(path)") else {
                continue
            }
            do {
                _ = try PresharedKeyFile.read(path)
                add(.ok("psk.file", "the preshared key of '\(peer.name)' is readable"))
            } catch {
                add(.fail("psk.file", NodeFailure(error).message, fix: "openssl rand -base64 32 > \(path)"))
            }
        }
        checkInvitations(configuration.invites.file)
        checkLog(configuration)
    }

    private mutating func checkInvitations(_ path: String) {
        guard ProtectedFile.exists(path) else { return add(.ok("invites", "\(path) is not there: nobody was invited")) }
        guard checkRights(path, "invites.file", absent: "") else { return }
        do {
            let document = try InvitationStore(path: path).document
            add(
                .ok(
                    "invites",
                    "\(path) has \(document.invitations.count) invitations and \(document.guests.count) guests"))
        } catch {
            add(.fail("invites", NodeFailure(error).message, fix: "mv \(path) \(path).bad  # and invite anew"))
        }
    }

    // MARK: Keys

    private mutating func checkKeys(_ configuration: NodeConfiguration, _ unlocker: Unlocker) -> PeerID? {
        let paths: [String]
        switch configuration.identity {
        case .temporary:
            add(.ok("keys", "the identity is made at each start"))
            return nil
        case .directory(let directory): paths = KeyFileKind.allCases.map { "\(directory)/\($0.fileName)" }
        case .files(let files): paths = [files.brainpool, files.ed25519, files.mldsa, files.mlkem]
        }
        // Rights of all of them, before one that is wrong hides the others.
        let absent = "pqvpn keygen --out \(configuration.keyDirectory)"
        var areGood = true
        for path in paths where !checkRights(path, "keys.file", absent: absent) { areGood = false }
        guard areGood else { return nil }
        do {
            let identity = try LoadedIdentity.load(
                configuration.identity, nickname: configuration.nickname, unlocker: unlocker)
            add(.ok("keys", "the four keys belong together: \(identity.peerID.hex)"))
            return identity.peerID
        } catch {
            add(
                .fail(
                    "keys", NodeFailure(error).message, fix: "pqvpn peerid \(ProtectedFile.split(paths[0]).directory)"))
            return nil
        }
    }

    // MARK: Trust

    private mutating func checkTrust(_ configuration: NodeConfiguration, _ unlocker: Unlocker, own: PeerID?) {
        let (pinFile, revokedFile) = (configuration.security.knownPeersFile, configuration.security.revokedFile)
        var pins: [PinnedPeer]?
        if ProtectedFile.exists(pinFile) {
            if checkRights(pinFile, "pins.file", absent: "") {
                do {
                    pins = try KnownPeersStore(path: pinFile, unlocker: unlocker).pins
                    add(.ok("pins", "\(pinFile) has \(pins?.count ?? 0) pins"))
                } catch {
                    add(
                        .fail(
                            "pins", NodeFailure(error).message, fix: "pqvpn peers list --known-peers \(pinFile)"))
                }
            }
        } else {
            pins = []
            add(.ok("pins", "\(pinFile) is not there yet: nobody is pinned"))
        }
        var revoked: Set<PeerID> = []
        do {
            revoked = try RevocationList(path: revokedFile).ids
        } catch {
            add(.fail("revoked", NodeFailure(error).message, fix: "pqvpn peers revoked --revoked \(revokedFile)"))
        }
        guard let pins else { return }
        do {
            try configuration.check(pins: pins, revoked: revoked, own: own)
        } catch {
            for line in NodeFailure(error).message.split(separator: "\n") {
                add(
                    .fail(
                        "trust", String(line),
                        fix: "pqvpn peers add FILE --config \(configuration.file)  # FILE: its identity.pub"))
            }
        }
    }

    // MARK: Logs

    private mutating func checkLog(_ configuration: NodeConfiguration) {
        let place = configuration.logFile.map { ProtectedFile.split($0).directory } ?? "/"
        if let path = configuration.logFile {
            if ProtectedFile.exists(path) {
                do {
                    _ = try LogOutput.file(path)
                    add(.ok("log.file", "\(path) can be written"))
                } catch {
                    add(.fail("log.file", NodeFailure(error).message, fix: "chmod 600 \(path)"))
                }
            } else if FileManager.default.isWritableFile(atPath: place) {
                add(.ok("log.file", "\(path) can be made"))
            } else {
                add(
                    .fail(
                        "log.file", "\(path) cannot be made: \(place) is missing or not writable",
                        fix: "install -d -m 700 \(place)"))
            }
        }
        guard let free = surroundings.freeBytes(place) else { return }
        let (little, none) = (256 << 20, 1 << 20)
        if free >= little {
            add(.ok("disk.space", "\(free >> 20) MiB are free in \(place)"))
        } else {
            let text = "\(free >> 10) KiB are free in \(place)"
            add(
                free < none
                    ? .fail("disk.space", text, fix: "df -h \(place)")
                    : .warn("disk.space", text, fix: "df -h \(place)"))
        }
    }

    // MARK: Rights

    /// Whether a file is one that only its owner reaches; says what is wrong if not.
    private mutating func checkRights(_ path: String, _ code: String, absent: String) -> Bool {
        let (directory, name) = ProtectedFile.split(path)
        let status: FileStatus?
        do throws(SystemCallError) {
            status = try OpenFile.directory(directory).status(of: name)
        } catch {
            if error.errno != 2, error.errno != 20 {
                add(.fail(code, "\(path): \(error.reason)", fix: "ls -ld \(directory)"))
                return false
            }
            status = nil
        }
        guard let status else {
            add(.fail(code, "\(path) does not exist", fix: absent))
            return false
        }
        if status.kind != .regular {
            add(.fail(code, "\(path) is a link or no regular file, which is refused", fix: "ls -l \(path)"))
        } else if effectiveUser() == 0 && status.owner != 0 {
            // The daemon may be that user's: to give the file to root would take it from it.
            add(
                .warn(
                    code,
                    "\(path) belongs to user \(status.owner): whether its daemon can use it, only that user can tell",
                    fix: "sudo -u '#\(status.owner)' pqvpn doctor"))
        } else if status.owner != effectiveUser() && status.owner != 0 {
            add(.fail(code, "\(path) belongs to user \(status.owner)", fix: "chown \(effectiveUser()) \(path)"))
        } else if status.isOpenToOthers {
            let mode = String(status.permissions, radix: 8)
            add(.fail(code, "\(path) has mode \(mode): others can reach it", fix: "chmod 600 \(path)"))
        } else {
            return true
        }
        return false
    }
}
