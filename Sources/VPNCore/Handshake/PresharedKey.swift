// SPDX-License-Identifier: Apache-2.0
// Secrets that both ends of a handshake know before it (§6): one that the operator gave to both, and the next_psk that the
// association's last handshake left. What they are good for: whoever holds all other keys and not these learns nothing.
public import VPNCrypto

/// 32 secret bytes with a name. Wiped with the last reference.
public final class PresharedKey: Sendable {
    public static let size = 32

    let secret: Secret
    /// The lower 31 bits of psk_id: of a next_psk or an invitation, never 0; 0 for a configured key.
    let name: UInt32
    /// Of an invitation: good for a first contact, and never mixed with a next_psk.
    let isInvitation: Bool

    /// A key that the operator gave; traps unless it is 32 bytes.
    public init(configured secret: borrowing Secret) {
        precondition(secret.count == PresharedKey.size, "preshared key size")
        self.secret = secret.copy()
        name = 0
        isInvitation = false
    }

    /// The key of an invitation; traps unless it is 32 bytes and the name fits.
    public init(invitation secret: borrowing Secret, name: UInt32) {
        precondition(secret.count == PresharedKey.size && Invitation.isName(name), "an invitation's key")
        self.secret = secret.copy()
        self.name = name
        isInvitation = true
    }

    /// Whether the operator means the same by both; in constant time.
    static func areEqual(_ a: PresharedKey?, _ b: PresharedKey?) -> Bool {
        guard let a, let b else { return a == nil && b == nil }
        return a.secret.isEqual(to: b.secret)
    }

    /// The next_psk of a session, named by the session's id, which is no secret and at both ends the same.
    init(next secret: consuming Secret, sessionID: [UInt8]) {
        self.secret = secret
        name = max(1, sessionID.u32(at: 0) & 0x7FFF_FFFF)
        isInvitation = false
    }
}

/// What one handshake may mix.
struct PresharedKeys: Sendable {
    static let none = PresharedKeys(configured: nil, chained: nil)

    var configured: PresharedKey?
    var chained: PresharedKey?

    init(configured: PresharedKey?, chained: PresharedKey?) {
        self.configured = configured
        self.chained = configured?.isInvitation == true ? nil : chained
    }

    /// psk_id: bit 31 = a configured key is mixed; below, the name of a next_psk or of an invitation, or 0.
    var id: UInt32 { (configured == nil ? 0 : Self.configuredBit) | (chained?.name ?? configured?.name ?? 0) }

    static let configuredBit: UInt32 = 1 << 31

    /// What enters ck2: the configured key, then the next_psk; empty where there is none.
    var mixed: Secret {
        let size = PresharedKey.size
        var bytes = SecretBuffer(capacity: size * ((configured == nil ? 0 : 1) + (chained == nil ? 0 : 1)))
        if let configured { bytes.append(configured.secret) }
        if let chained { bytes.append(chained.secret) }
        return bytes.finish()
    }

    /// The same without the next_psk, which the other end does not have.
    var unchained: PresharedKeys { PresharedKeys(configured: configured, chained: nil) }
}

/// The next_psk of an association that no handshake has used yet: one, or two where both ends began a handshake at once.
struct PresharedChain {
    private var keys: [(key: PresharedKey, since: Instant)] = []

    /// What the next handshake names.
    var newest: PresharedKey? { keys.last?.key }

    func key(named name: UInt32) -> PresharedKey? { keys.last { $0.key.name == name }?.key }

    var count: Int { keys.count }

    /// A handshake succeeded: what it mixed is used, and with it whatever is older. Its own key waits for the next one.
    mutating func replace(_ used: PresharedKey?, by next: PresharedKey, now: Instant) {
        if let used, let place = keys.firstIndex(where: { $0.key === used }) { keys.removeFirst(place + 1) }
        keys.removeAll { now.since($0.since) >= Limits.simultaneousSessions }
        if keys.count >= Limits.chainedKeys { keys.removeFirst() }
        keys.append((next, now))
    }
}
