// SPDX-License-Identifier: Apache-2.0
// Dear cryptography as a value: the core emits a job, somebody runs it where there is time, and its result comes back
// as an input (house rule: the core waits for nothing). A job never changes the core's state by itself.
public import VPNCrypto

/// One unit of public-key work, 0.2 to 7 ms. Runs on any thread; once is enough, twice does no harm.
public struct CryptoJob: Sendable {
    public typealias ID = UInt64

    enum Work: Sendable {
        case composeS1(S1Composition)
        case openS1(S1Opening)
        case composeS2(S2Composition)
        case openS2(S2Opening)
        case readDescriptor([UInt8])
        /// Four throwaway keys, for a hop that is not to know this node.
        case makeIdentity
    }

    /// What it costs depends on this: a few hundred microseconds, or several milliseconds.
    public enum Kind: Sendable, CaseIterable { case composeS1, openS1, composeS2, openS2, readDescriptor, makeIdentity }

    public let id: ID
    let work: Work

    public var kind: Kind {
        switch work {
        case .composeS1: .composeS1
        case .openS1: .openS1
        case .composeS2: .composeS2
        case .openS2: .openS2
        case .readDescriptor: .readDescriptor
        case .makeIdentity: .makeIdentity
        }
    }

    /// Runs the work. Failures are part of the result: hostile input is an ordinary outcome.
    public func perform(with cryptography: any HandshakeCryptography) -> CryptoJobResult {
        // The thread may be idle for long afterwards.
        defer { StackMemory.wipe() }
        let outcome: CryptoJobResult.Outcome =
            switch work {
            case .composeS1(let work): .composedS1(work.perform(cryptography))
            case .openS1(let work): .openedS1(work.perform())
            case .composeS2(let work): .composedS2(work.perform(cryptography))
            case .openS2(let work): .openedS2(work.perform(cryptography))
            case .readDescriptor(let bytes):
                .readDescriptor(
                    Result { () throws(DescriptorError) in try Descriptor(decoding: bytes, using: cryptography) })
            case .makeIdentity: .madeIdentity(try? cryptography.makeIdentity())
            }
        return CryptoJobResult(id: id, outcome: outcome)
    }
}

/// What a job found.
public struct CryptoJobResult: Sendable {
    enum Outcome: Sendable {
        case composedS1(Result<ComposedS1, HandshakeFailure>)
        case openedS1(Result<OpenedS1, HandshakeFailure>)
        case composedS2(Result<ComposedS2, HandshakeFailure>)
        case openedS2(Result<OpenedS2, HandshakeFailure>)
        case readDescriptor(Result<Descriptor, DescriptorError>)
        /// Nil where there was no randomness or memory for it.
        case madeIdentity((any IdentitySigner)?)
    }

    public let id: CryptoJob.ID
    let outcome: Outcome
}

/// Why a message of the handshake was refused. Never told to the peer: every refusal looks like silence.
public enum HandshakeFailure: String, Error, Sendable, CaseIterable {
    /// Lengths, version, suite or reserved bits.
    case malformed
    /// The sealed payload does not open: wrong keys, tampered ciphertext or point, another responder's message.
    case seal
    case ed25519Signature = "ed25519_signature"
    case mldsaSignature = "mldsa_signature"
    case signatureLength = "signature_length"
    /// An ephemeral or static public key is not a valid one.
    case publicKey = "public_key"
    /// The offers in S2 are not those of RETRY, or the chosen cipher is not the one they imply.
    case downgrade
    /// One end has a preshared key for the other, and the other has none.
    case presharedKey = "preshared_key"
    /// The signer or the random source failed: our side, not the peer's.
    case local

    init(_ failure: SignatureFailure) {
        switch failure {
        case .length: self = .signatureLength
        case .ed25519: self = .ed25519Signature
        case .mldsa: self = .mldsaSignature
        }
    }
}
