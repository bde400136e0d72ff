// SPDX-License-Identifier: Apache-2.0
// Every label of the protocol, in one tree. Not the place for sizes (those stand with the type they belong to).
// Two labels that are equal, or of which one is a prefix of another under the same key, would be a flaw: a test looks.

/// Domain separation strings of protocol §2 to §7, as bytes.
public enum Labels {
    /// What every label starts with; the version in it is the protocol's, so that no two versions share a key.
    public static let prefix = "PQVPN/1 "

    /// The one place where the prefix is put before a label.
    private static func label(_ text: String) -> [UInt8] { [UInt8]((prefix + text).utf8) }

    /// §2.
    public enum Identity {
        /// Before the four tagged keys, under SHA-512.
        public static let peerID = label("peer-id")
    }

    /// §4.
    public enum Cookie {
        /// Before the responder's peer_id, under SHA-256: the key of mac1.
        public static let mac1 = label("mac1")
        /// Before the address that a cookie is bound to, under HMAC-SHA256.
        public static let cookie = label("cookie")
        /// Before (outer association id ‖ circuit id), under SHA-256: the "address" of a carrier that has none.
        public static let carrier = label("carrier")
        /// Info of HKDF-SHA256 for the key that seals a RETRY.
        public static let seal = label("cookie seal")
        /// Before (cookie ‖ sender index ‖ solution), under SHA-256.
        public static let puzzle = label("pow")
    }

    /// §4.
    public enum Token {
        /// Before (IP ‖ first 16 bytes of the token), under HMAC-SHA256.
        public static let token = label("token")
    }

    /// §6, invitations. Both under HKDF-Expand with SHA-512, of a token alone.
    public enum Invitation {
        /// What an S1 names the invitation by.
        public static let name = label("invite name")
        /// The preshared key that takes a token's place everywhere.
        public static let key = label("invite key")
    }

    /// §6. All under HKDF-Expand with SHA-512, except `protocolName`.
    public enum KeySchedule {
        /// H of this is h0: the transcript starts with the names of all primitives.
        public static let protocolName = label("ML-KEM-1024+brainpoolP512r1 Ed25519+ML-DSA-87 HKDF-SHA512")
        /// k1, before h3.
        public static let s1Encryption = label("s1 enc")
        /// k_frag, before h5.
        public static let s2Fragments = label("s2 frag")
        /// k2, before h6.
        public static let s2Encryption = label("s2 enc")
        /// M, before h8.
        public static let master = label("master")
        /// The key of NEED_FULL's tag, before h5.
        public static let needFull = label("need-full")
        /// §7: the ratchet from one key phase to the next.
        public static let keyUpdate = label("ku")
    }

    /// §6.
    public enum Signature {
        /// Starts M', the message that both signatures cover. It carries its own version and so no prefix.
        public static let composite = [UInt8]("PQVPN-CompositeSig-v1".utf8)
        /// ML-DSA's context string for a role.
        public static func context(_ role: SignatureRole) -> [UInt8] { label(role.rawValue) }
    }
}
