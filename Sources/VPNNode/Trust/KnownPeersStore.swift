// SPDX-License-Identifier: Apache-2.0
// The pins on disk: one file of mode 0600, replaced as a whole under a lock, so that the daemon and `pqvpn peers` may
// both write; under a passphrase where the operator wanted that. Who deserves a pin is not decided here.
internal import Glibc
internal import Synchronization
public import VPNCore
public import VPNCrypto

/// known_peers.yaml. Every change is on disk before the call returns; if it fails, the old state is kept in memory and on
/// disk.
public final class KnownPeersStore: Sendable {
    public let path: String
    private let unlocker: Unlocker
    private let state: Mutex<[PinnedPeer]>
    /// Held while the file is read or written and `state` follows it, so that a reader cannot bring back what was before a
    /// change. Between processes there is the lock file.
    private let fileAccess = Mutex(())

    /// 1,024 pins by first use and as many by the operator as anybody has take 7 KB each.
    private static let maximumSize = 64 << 20
    /// Milliseconds that a running node's own thread waits for the lock: who holds it may be a command that waits itself.
    static let nodesPatience = 100

    /// Reads the file; one that does not exist has no pins. Throws for a file that others can reach, that is a link, whose
    /// content is not exactly right, or whose passphrase is not there.
    public init(path: String, unlocker: Unlocker = .never) throws {
        self.path = path
        self.unlocker = unlocker
        state = Mutex(try Self.read(path, unlocker).pins)
    }

    /// All pins, by name and id.
    public var pins: [PinnedPeer] {
        state.withLock { $0 }.sorted { ($0.name, $0.peerID) < ($1.name, $1.peerID) }
    }

    public func pin(of id: PeerID) -> PinnedPeer? { state.withLock { $0.first { $0.peerID == id } } }

    /// The pin that a person means by a name, an id, or at least eight digits of one.
    public func pin(matching text: String) throws -> PinnedPeer {
        let pins = pins
        if let named = pins.first(where: { $0.name == text && !text.isEmpty }) { return named }
        let digits = text.lowercased()
        let matches = digits.count >= 8 ? pins.filter { $0.peerID.hex.hasPrefix(digits) } : []
        if matches.count == 1 { return matches[0] }
        if matches.count > 1 {
            throw NodeFailure(.usage, "'\(text)' stands for \(matches.count) peers: give more digits")
        }
        let near = Spelling.nearest(to: text, among: pins.map(\.name)).map { "; did you mean '\($0)'?" } ?? ""
        throw NodeFailure(.usage, "no pinned peer is '\(text)'\(near)")
    }

    // MARK: Changes

    /// Adds a pin. Returns false where exactly this identity is pinned already. Throws with status 7 where its name stands
    /// for another identity: that takes ``trust(_:as:)``.
    @discardableResult
    public func add(_ pin: PinnedPeer) throws -> Bool { try add(pin, patience: nil) }

    /// - Parameter patience: milliseconds for the lock; nil = as long as it takes.
    @discardableResult
    func add(_ pin: PinnedPeer, patience: Int?) throws -> Bool {
        try change(patience: patience) { pins in try Self.add(pin, to: &pins) }
    }

    /// Adds several in one change. Returns those that are in the file now: all but the ones whose names stand for others.
    func add(all new: [PinnedPeer], patience: Int) throws -> [PinnedPeer] {
        try change(patience: patience) { pins in
            var kept: [PinnedPeer] = []
            for pin in new {
                do { _ = try Self.add(pin, to: &pins) } catch { continue }
                kept.append(pin)
            }
            return kept
        }
    }

    private static func add(_ pin: PinnedPeer, to pins: inout [PinnedPeer]) throws -> Bool {
        if let other = pins.first(where: { $0.name == pin.name && !pin.name.isEmpty && $0.peerID != pin.peerID }) {
            throw NodeFailure(
                .untrustedIdentity,
                "the name '\(pin.name)' is pinned to \(other.peerID.hex), not to \(pin.peerID.hex): if its owner "
                    + "changed it, run `pqvpn peers trust \(pin.name) FILE`")
        }
        if let place = pins.firstIndex(where: { $0.peerID == pin.peerID }) {
            guard pins[place].origin == .firstUse, pin.origin == .operatorAdded else { return false }
            pins[place] = pin
            return true
        }
        pins.append(pin)
        return true
    }

    /// Replaces what is pinned as `text` (a name, or an id) by another identity, under the old name. This is the operator's
    /// word that the owner has new keys. Returns what was pinned before.
    public func trust(_ keys: IdentityPublicKeys, as text: String) throws -> PinnedPeer {
        let old = try pin(matching: text)
        try change { pins in
            pins.removeAll { $0.peerID == old.peerID || $0.peerID == keys.peerID }
            pins.append(PinnedPeer(keys: keys, name: old.name, origin: .operatorAdded, endpoint: old.endpoint))
        }
        return old
    }

    /// Sets whether the ML-DSA signature of a peer alone may do (§2). Returns the pin as it is now.
    public func setAllowsPartial(_ allows: Bool, of text: String) throws -> PinnedPeer {
        let id = try pin(matching: text).peerID
        return try change { pins in
            guard let place = pins.firstIndex(where: { $0.peerID == id }) else {
                throw NodeFailure(.usage, "'\(text)' was removed meanwhile")
            }
            pins[place].allowsPartial = allows
            return pins[place]
        }
    }

    /// Removes a pin and returns it.
    @discardableResult
    public func remove(_ text: String) throws -> PinnedPeer {
        let old = try pin(matching: text)
        try change { pins in pins.removeAll { $0.peerID == old.peerID } }
        return old
    }

    // MARK: The file

    /// Puts the file under the passphrase of an unlocker, or with nil out of any.
    func seal(by new: Unlocker?) throws {
        // Before the lock: a person may type for minutes, and nobody else is to wait for that.
        let key = try new?.newKey(sealing: path)
        try rewrite(patience: nil) { _, _ in (key, ()) }
    }

    /// Whether the file is under a passphrase now.
    func isSealed() throws -> Bool { try Self.read(path, unlocker).key != nil }

    /// Reads the file again, since another process may have changed it. If that fails the old pins stay.
    func reread() throws {
        try fileAccess.withLock { _ in
            let pins = try readAgain().pins
            state.withLock { $0 = pins }
        }
    }

    /// A file that is lost is not one without pins: what it said would be gone for good with the next change.
    private func readAgain() throws -> (pins: [PinnedPeer], key: DerivedKey?) {
        guard ProtectedFile.exists(path) || state.withLock({ $0.isEmpty }) else {
            throw NodeFailure(
                .failure, "known peers \(path) is gone: restore it from a backup; whoever means to begin anew restarts")
        }
        return try Self.read(path, unlocker)
    }

    /// The pins of a file, and the key that opened it.
    private static func read(_ path: String, _ unlocker: Unlocker) throws -> (pins: [PinnedPeer], key: DerivedKey?) {
        guard ProtectedFile.exists(path) else { return ([], nil) }
        let file = try ProtectedFile.open(path, noun: "known peers", maximumSize: maximumSize)
        let bytes = try file.read(limit: file.status().size)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw NodeFailure(.usage, "known peers \(path): not UTF-8 text; nothing was changed")
        }
        guard SealedText.isSealed(text, .knownPeers) else {
            return (try KnownPeersDocument.decode(text, path: path), nil)
        }
        let sealed: SealedText
        do throws(SealedText.Fault) {
            sealed = try SealedText(parsing: text, title: .knownPeers, fieldNames: [])
        } catch { throw NodeFailure(.usage, "known peers \(path): the file \(error.reason); nothing was changed") }
        let key = try unlocker.key(for: sealed.derivation, opening: path)
        guard let plain = sealed.openPublic(with: key), let inner = String(validating: plain, as: UTF8.self) else {
            throw NodeFailure(
                .permission, "known peers \(path): it does not open: the passphrase is wrong, or the file is damaged")
        }
        return (try KnownPeersDocument.decode(inner, path: path), key)
    }

    private static func text(of pins: [PinnedPeer], key: DerivedKey?) -> [UInt8] {
        let plain = [UInt8](KnownPeersDocument.text(of: pins).utf8)
        guard let key else { return plain }
        return [UInt8](SealedText(sealingPublic: plain, title: .knownPeers, fields: [], key: key).text.utf8)
    }

    /// Reads the file again under its lock, since another process may have changed it, applies the change and writes in
    /// the form that it has.
    func change<Result: Sendable>(
        patience: Int? = nil, _ body: (inout [PinnedPeer]) throws -> Result
    ) throws -> Result {
        try rewrite(patience: patience) { pins, key in (key, try body(&pins)) }
    }

    /// The closure may change the pins, and says under which key they are to be. Where neither is another than before, nothing is
    /// written.
    private func rewrite<Result: Sendable>(
        patience: Int?, _ body: (inout [PinnedPeer], DerivedKey?) throws -> (DerivedKey?, Result)
    ) throws -> Result {
        try fileAccess.withLock { _ in
            let lock = try OpenFile(path + ".lock", O_RDWR | O_CREAT, mode: 0o600)
            try lock.lock(patience: patience)
            let (before, key) = try readAgain()
            var pins = before
            let (newKey, result) = try body(&pins, key)
            if pins != before || newKey?.derivation != key?.derivation {
                // What nobody could read again is not written.
                _ = try KnownPeersDocument.decode(KnownPeersDocument.text(of: pins), path: path)
                try ProtectedFile.replace(path, with: Self.text(of: pins, key: newKey))
            }
            let written = pins
            state.withLock { $0 = written }
            return result
        }
    }
}
