// SPDX-License-Identifier: Apache-2.0
// Whom this node believes (§2), as a value: pins, the policy, revocations, and the decisions that follow. Reads and writes
// no file; a pin that is to last leaves the core as an action.
public import VPNCrypto

/// The operator's stance towards identities that it has not vouched for.
public struct TrustPolicy: Sendable, Equatable {
    /// First contact may be pinned.
    public var trustsOnFirstUse: Bool
    /// First contact only where this node calls an endpoint that the operator wrote down.
    public var isStrict: Bool
    /// `security.strict_sig_verify`. False: pinned peers with `allow_partial` may be met with ML-DSA alone.
    public var requiresBothSignatures: Bool
    /// `security.allowlist`. Empty: everybody who is believed; else nobody but these.
    public var allowlist: Set<PeerID>

    public init(
        trustsOnFirstUse: Bool, isStrict: Bool, requiresBothSignatures: Bool = true, allowlist: Set<PeerID> = []
    ) {
        self.trustsOnFirstUse = trustsOnFirstUse
        self.isStrict = isStrict
        self.requiresBothSignatures = requiresBothSignatures
        self.allowlist = allowlist
    }
}

/// Why an identity is not believed.
public enum TrustRefusal: String, Error, Sendable {
    /// Not pinned, and the policy allows no first use here.
    case unknownPeer = "unknown_peer"
    /// Another identity is pinned behind this name or this configured endpoint.
    case identityChanged = "identity_changed"
    /// This node's own id.
    case ownIdentity = "own_identity"
    /// 1,024 pins by first use exist already.
    case pinLimit = "pin_limit"
    /// Kind 2 off a circuit.
    case anonymousPeer = "anonymous_peer"
    /// There is an allowlist and it is not on it.
    case notListed = "not_listed"
    /// Its owner or this node's operator declared it dead.
    case revoked
}

/// Pins by id, and the judgement on those who come and those who are called.
public struct TrustStore: Sendable {
    public let policy: TrustPolicy
    private let own: PeerID
    private var pins: [PeerID: PinnedPeer]
    private var firstUsePins: Int
    private(set) var revoked: Set<PeerID> = []
    /// Relays that this node knows by their descriptors: hops of circuits and links of relays, and nothing else.
    var relays: [PeerID: IdentityPublicKeys] = [:]

    public init(policy: TrustPolicy, own: PeerID, pins: [PinnedPeer]) {
        self.policy = policy
        self.own = own
        self.pins = Dictionary(pins.map { ($0.peerID, $0) }, uniquingKeysWith: { first, _ in first })
        firstUsePins = pins.count { $0.origin == .firstUse }
    }

    public func keys(of id: PeerID) -> IdentityPublicKeys? { pins[id]?.keys }

    /// Keys for what a relay may be to this node: a hop, or the other end of a link. An identity that is pinned may be that, too.
    func relayKeys(of id: PeerID) -> IdentityPublicKeys? { pins[id]?.keys ?? relays[id] }

    func pin(of id: PeerID) -> PinnedPeer? { pins[id] }

    /// The identity pinned under an operator's name.
    func pin(named name: String) -> PinnedPeer? {
        name.isEmpty ? nil : pins.values.first { $0.name == name }
    }

    /// §2: whether ML-DSA alone may do for this identity.
    func acceptsPartial(_ id: PeerID) -> Bool {
        !policy.requiresBothSignatures && pins[id]?.allowsPartial == true
    }

    /// What no pin outweighs: why this id is refused whoever begins, nil where nothing bars it.
    func bar(_ id: PeerID) -> TrustRefusal? {
        if id == own { return .ownIdentity }
        if revoked.contains(id) { return .revoked }
        return policy.allowlist.isEmpty || policy.allowlist.contains(id) ? nil : .notListed
    }

    /// What to do with an initiator whose id was decrypted. `expectedHere` is the id that the operator tied to the
    /// endpoint that it calls from, if any. Made before any signature is looked at.
    enum Inbound: Equatable {
        case known(IdentityPublicKeys)
        /// First use: its keys are needed, and are pinned only after its first valid DATA.
        case firstUse
        case refused(TrustRefusal)
    }

    /// - Parameter isLink: it may come as a relay that this one knows: nobody's configured peer, and this node relays.
    func judge(initiator id: PeerID, expectedHere: PeerID?, isLink: Bool = false) -> Inbound {
        if let refusal = bar(id) { return .refused(refusal) }
        if let pin = pins[id] { return .known(pin.keys) }
        // §2: in every mode a changed key behind a configured endpoint is refused loudly.
        if let expectedHere, expectedHere != id { return .refused(.identityChanged) }
        if isLink, let keys = relays[id] { return .known(keys) }
        guard policy.trustsOnFirstUse, !policy.isStrict else { return .refused(.unknownPeer) }
        return firstUsePins < Limits.firstUsePins ? .firstUse : .refused(.pinLimit)
    }

    /// Whether a responder that showed `keys` at an endpoint the operator configured may be believed. `expected`: the
    /// id that the configuration or an earlier pin of that name asks for.
    func judge(responder keys: IdentityPublicKeys, expected: PeerID?) -> TrustRefusal? {
        if keys.peerID == own { return .ownIdentity }
        if let expected, expected != keys.peerID { return .identityChanged }
        if let refusal = bar(keys.peerID) { return refusal }
        if pins[keys.peerID] != nil { return nil }
        guard policy.trustsOnFirstUse else { return .unknownPeer }
        return firstUsePins < Limits.firstUsePins ? nil : .pinLimit
    }

    /// Adds a pin; false where it stands already.
    mutating func pin(_ peer: PinnedPeer) -> Bool {
        guard pins[peer.peerID] == nil else { return false }
        pins[peer.peerID] = peer
        if peer.origin == .firstUse { firstUsePins += 1 }
        return true
    }

    /// The pins are these from now on.
    mutating func replacePins(_ new: [PinnedPeer]) {
        let (bars, known) = (revoked, relays)
        self = TrustStore(policy: policy, own: own, pins: new)
        (revoked, relays) = (bars, known)
    }

    /// These identities are refused from now on, and no others but for the allowlist.
    mutating func replaceRevoked(_ ids: Set<PeerID>) { revoked = ids }
}
