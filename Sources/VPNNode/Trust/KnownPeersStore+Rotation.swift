// SPDX-License-Identifier: Apache-2.0
// Following a peer to its new keys: only by a statement that the pinned keys signed, and each statement once, in order.
public import VPNCore
internal import VPNCrypto

extension KnownPeersStore {
    /// Puts the new identity of a statement in the place of the pinned one, under its name. Throws with status 7 for a
    /// statement that is forged, of another peer, applied before, or out of order. Returns both pins.
    public func rotate(_ text: String, by statement: RotationStatement) throws -> (old: PinnedPeer, new: PinnedPeer) {
        let meant = try pin(matching: text).peerID
        return try change { pins in
            guard let place = pins.firstIndex(where: { $0.peerID == meant }) else {
                throw NodeFailure(.usage, "'\(text)' was removed meanwhile")
            }
            let old = pins[place]
            try Self.check(statement, follows: old, among: pins)
            let new = PinnedPeer(
                keys: statement.descriptor.keys, name: old.name, origin: old.origin, endpoint: old.endpoint,
                rotationSerial: statement.serial)
            pins[place] = new
            return (old, new)
        }
    }

    private static func check(
        _ statement: RotationStatement, follows old: PinnedPeer, among pins: [PinnedPeer]
    ) throws {
        func refuse(_ reason: String) -> NodeFailure {
            NodeFailure(.untrustedIdentity, "the rotation for '\(old.name)' is refused: \(reason)")
        }
        if statement.newID == old.peerID { throw refuse("it is applied already, \(old.peerID.short) is pinned") }
        if statement.oldID != old.peerID {
            if let other = pins.first(where: { $0.peerID == statement.oldID }) {
                throw refuse("it is the one of '\(other.name)' (\(other.peerID.short)): another peer")
            }
            guard statement.serial > old.rotationSerial else {
                throw refuse("it is older than the one by which \(old.peerID.short) came: a replay")
            }
            throw refuse(
                "it replaces \(statement.oldID.hex), and \(old.peerID.hex) is pinned: it is about another peer, or an earlier "
                    + "rotation is missing")
        }
        guard statement.serial > old.rotationSerial else {
            throw refuse("its serial \(statement.serial) is not above \(old.rotationSerial), which was applied already")
        }
        do throws(StatementError) {
            try statement.verify(oldKeys: old.keys, using: SystemCryptography())
        } catch { throw refuse("the pinned keys did not sign it") }
        if let other = pins.first(where: { $0.peerID == statement.newID }) {
            throw refuse("its new identity is pinned as '\(other.name)' already")
        }
    }
}
