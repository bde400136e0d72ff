// SPDX-License-Identifier: Apache-2.0
// One handshake taken apart: the jobs of both sides run in place, so that a test can change a single byte anywhere.
import VPNCrypto
import VPNTesting

@testable import VPNCore

/// Both ends of one handshake, step by step.
struct Bench {
    let cryptography: any HandshakeCryptography
    let initiator: any IdentitySigner
    let responder: any IdentitySigner
    let cookie: [UInt8]
    let offers = Offers(hasAESHardware: true)

    init(_ primitives: Primitives, seed: UInt64 = 1) {
        cryptography = Scenario.cryptography(seed, primitives)
        let identities = Scenario.identities(seed, primitives)
        initiator = identities[0]
        responder = identities[1]
        cookie = [1, 0, 0, 0] + cryptography.randomBytes(28)
    }

    func composeS1(
        kind: InitiatorKind = .brief, to target: IdentityPublicKeys? = nil, signer: (any IdentitySigner)? = nil,
        index: UInt32 = 0x0102_0304, preshared: PresharedKeys = .none
    ) throws -> ComposedS1 {
        let work = S1Composition(
            signer: signer ?? initiator, responder: target ?? responder.publicKeys, cookie: cookie, ciphers: 1,
            senderIndex: index, kind: kind, mtu: 1436, keepaliveSeconds: 0, presharedKeyID: preshared.id)
        return try work.perform(cryptography).get()
    }

    func openS1(
        _ message: [UInt8], cookie: [UInt8]? = nil, at node: (any IdentitySigner)? = nil
    ) -> Result<OpenedS1, HandshakeFailure> {
        S1Opening(signer: node ?? responder, cookie: cookie ?? self.cookie, message: message).perform()
    }

    func composeS2(
        _ opened: OpenedS1, pinned: IdentityPublicKeys?, signer: (any IdentitySigner)? = nil, offers: Offers? = nil,
        preshared: PresharedKeys = .none
    ) -> Result<ComposedS2, HandshakeFailure> {
        S2Composition(
            signer: signer ?? responder, opened: opened, pinnedKeys: pinned, senderIndex: 0x0A0B_0C0D,
            offers: offers ?? self.offers, token: [UInt8](repeating: 7, count: 32), mtu: 1436, keepaliveSeconds: 0,
            lifetimeSeconds: 3600, preshared: preshared
        ).perform(cryptography)
    }

    func openS2(
        _ message: [UInt8], _ s1: ComposedS1, retry: Offers? = nil, from keys: IdentityPublicKeys? = nil,
        preshared: PresharedKeys = .none
    ) -> Result<OpenedS2, HandshakeFailure> {
        S2Opening(
            signer: initiator, ephemerals: s1.ephemerals, responder: keys ?? responder.publicKeys,
            senderIndex: 0x0102_0304, offers: offers, offersInRetry: retry ?? offers, message: message,
            preshared: preshared
        ).perform(cryptography)
    }
}

extension Result {
    var failure: Failure? { if case .failure(let failure) = self { failure } else { nil } }
    var isSuccess: Bool { failure == nil }
}

extension [UInt8] {
    func flipping(_ offset: Int, mask: UInt8 = 0x01) -> [UInt8] {
        var copy = self
        copy[offset] ^= mask
        return copy
    }
}

/// An identity whose signatures a test can spoil: one half, both, swapped, of another role.
struct SpoiltSigner: IdentitySigner {
    enum Fault: CaseIterable, Sendable {
        case none, badEd25519, badMLDSA, both, swappedHalves, otherRole, otherTranscript, truncated, extended, missing
    }

    let base: any IdentitySigner
    let fault: Fault

    var publicKeys: IdentityPublicKeys { base.publicKeys }

    func decapsulate(_ ciphertext: [UInt8]) throws -> Secret { try base.decapsulate(ciphertext) }

    func sign(_ hash: [UInt8], role: SignatureRole) throws -> [UInt8] {
        let good = try base.sign(hash, role: role)
        switch fault {
        case .none: return good
        case .badEd25519: return good.flipping(10)
        case .badMLDSA: return good.flipping(2000)
        case .both: return good.flipping(10).flipping(2000)
        case .swappedHalves: return Array(good[64...]) + good[..<64]
        case .otherRole: return try base.sign(hash, role: role == .initiator ? .responder : .initiator)
        case .otherTranscript: return try base.sign(hash.flipping(0), role: role)
        case .truncated: return Array(good.dropLast())
        case .extended: return good + [0]
        case .missing: return []
        }
    }
}
