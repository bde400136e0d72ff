// SPDX-License-Identifier: Apache-2.0
// One line of known_peers: an identity that this node has decided to believe (§2).
public import VPNCrypto

/// All four keys of a known peer, and how they came to be known.
public struct PinnedPeer: Sendable, Equatable {
    /// Who vouched for the keys.
    public enum Origin: String, Sendable {
        case operatorAdded = "operator"
        case firstUse = "tofu"
    }

    public var keys: IdentityPublicKeys
    /// The operator's name for it, or the name of the configured peer that it was first met as; may be empty.
    public var name: String
    public var origin: Origin
    /// Where it was first met, as the operator wrote it; empty where that does not matter.
    public var endpoint: String
    /// `allow_partial`: under `strict_sig_verify: false` its ML-DSA signature alone may do (§2).
    public var allowsPartial: Bool
    /// Of the rotation statement by which these keys followed others; 0 where none did.
    public var rotationSerial: UInt64

    public init(
        keys: IdentityPublicKeys, name: String, origin: Origin, endpoint: String = "", allowsPartial: Bool = false,
        rotationSerial: UInt64 = 0
    ) {
        self.keys = keys
        self.name = name
        self.origin = origin
        self.endpoint = endpoint
        self.allowsPartial = allowsPartial
        self.rotationSerial = rotationSerial
    }

    public var peerID: PeerID { keys.peerID }
}
