// SPDX-License-Identifier: Apache-2.0
// An invitation as the core needs it (§6): a preshared key with a name, and whom it still lets in. Files, links and the addresses
// that a guest gets are the node's.
public import VPNCrypto

/// What somebody may come with whom this node does not know.
public struct Invitation: Sendable {
    /// The bytes of a token, of which both ends derive the rest.
    public static let tokenSize = 16

    /// 1 … 2³¹ - 1: the lower bits of psk_id.
    public var name: UInt32
    public var key: PresharedKey
    /// On the clock of the core.
    public var expires: Instant
    /// How many identities it still lets in.
    public var usesLeft: Int
    public var isRevoked: Bool
    /// Whom it has let in: they may come again, as one whose first answer was lost has to.
    public var guests: Set<PeerID>

    public init(
        name: UInt32, key: PresharedKey, expires: Instant, usesLeft: Int, isRevoked: Bool = false,
        guests: Set<PeerID> = []
    ) {
        self.name = name
        self.key = key
        self.expires = expires
        self.usesLeft = usesLeft
        self.isRevoked = isRevoked
        self.guests = guests
    }

    public static func isName(_ name: UInt32) -> Bool { (1...0x7FFF_FFFF).contains(name) }

    /// Why it does not serve this identity; nil where it does.
    func refusal(of id: PeerID, now: Instant) -> InvitationRefusal? {
        if isRevoked { return .revoked }
        if now >= expires { return .expired }
        return usesLeft > 0 || guests.contains(id) ? nil : .used
    }

    /// The name that both ends derive of a token, which itself is kept nowhere but in the link.
    public static func name(of token: borrowing Secret) -> UInt32 {
        max(1, derive(from: token, Labels.Invitation.name, count: 4).exposedCopy().u32(at: 0) & 0x7FFF_FFFF)
    }

    /// The 32 bytes that both ends derive of a token.
    public static func key(of token: borrowing Secret) -> Secret {
        derive(from: token, Labels.Invitation.key, count: PresharedKey.size)
    }

    private static func derive(from token: borrowing Secret, _ label: [UInt8], count: Int) -> Secret {
        precondition(token.count == tokenSize, "token size")
        return HKDF512.expand(HKDF512.extract(salt: [], inputKeyMaterial: token), info: label, count: count)
    }
}

/// Why an invitation does not serve. For this node's log; whoever came is told nothing.
public enum InvitationRefusal: String, Error, Sendable, CaseIterable {
    /// There is none of this name.
    case unknown
    case expired
    /// Others have used it up.
    case used
    case revoked
    /// Whoever came is a configured peer already.
    case alreadyPeer = "already_peer"
    /// No inner address is left to give.
    case noAddress = "no_address"
    /// It could not be used up on disk.
    case local
}

/// Somebody has proven to hold an invitation.
public struct InvitationClaim: Sendable {
    public let invitation: UInt32
    public let keys: IdentityPublicKeys
    /// The receiver index of the session that waits for the verdict.
    let index: UInt32
}

/// What became of a claim on disk.
public enum InvitationVerdict: Sendable {
    /// - Parameters:
    ///   - PeerConfiguration: what the guest is from now on; its networks are nobody else's.
    ///   - PinnedPeer: as it was written to known_peers.
    ///   - lease: the guest's own inner addresses.
    case accepted(PeerConfiguration, PinnedPeer, lease: [InterfaceAddress])
    case refused(InvitationRefusal)
}
