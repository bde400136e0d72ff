// SPDX-License-Identifier: Apache-2.0
// The keys of files that a passphrase protects: asks for the passphrase when it is first needed, and derives each key once.
// Where the passphrase comes from: PassphraseSource.
internal import Synchronization
internal import VPNCrypto

/// A key that was derived from a passphrase, and how.
final class DerivedKey: Sendable {
    let derivation: PassphraseDerivation
    /// 32 bytes.
    let bytes: Secret

    fileprivate init(_ passphrase: borrowing Secret, _ derivation: PassphraseDerivation) throws {
        self.derivation = derivation
        bytes = try Scrypt.deriveKey(
            passphrase: passphrase, salt: derivation.salt, parameters: derivation.parameters)
    }
}

/// Holds a passphrase, and the keys that came of it, in secret memory for as long as it lives itself.
public final class Unlocker: Sendable {
    /// A secret that can be shared.
    private final class Held: Sendable {
        let bytes: Secret
        init(_ bytes: consuming Secret) { self.bytes = bytes }
    }

    private struct State {
        var passphrase: Held?
        var keys: [PassphraseDerivation: DerivedKey] = [:]
    }

    private let source: PassphraseSource
    private let state = Mutex(State())

    /// Nothing is read or asked before something needs it.
    public init(_ source: PassphraseSource) { self.source = source }

    /// Has no passphrase, and asks nobody.
    public static let never = Unlocker(.none)

    /// For a passphrase in hand.
    init(passphrase: consuming Secret) {
        source = .none
        let held = Held(passphrase)
        state.withLock { $0.passphrase = held }
    }

    /// The key that opens a file. `what` names it where a person is asked. A third of a second with the standard
    /// parameters.
    func key(for derivation: PassphraseDerivation, opening what: String) throws -> DerivedKey {
        try state.withLock { state in
            if let key = state.keys[derivation] { return key }
            if state.passphrase == nil { state.passphrase = Held(try source.passphrase(for: what)) }
            return try Self.derive(derivation, &state)
        }
    }

    /// A key for files that are new, under a fresh salt. A person types a new passphrase twice.
    func newKey(sealing what: String, _ derivation: PassphraseDerivation = PassphraseDerivation()) throws -> DerivedKey
    {
        try state.withLock { state in
            if state.passphrase == nil { state.passphrase = Held(try source.newPassphrase(for: what)) }
            return try Self.derive(derivation, &state)
        }
    }

    private static func derive(_ derivation: PassphraseDerivation, _ state: inout State) throws -> DerivedKey {
        guard let passphrase = state.passphrase else { throw NodeFailure(.failure, "there is no passphrase") }
        let key: DerivedKey
        do {
            key = try DerivedKey(passphrase.bytes, derivation)
        } catch is CryptographyFailure {
            let mebibytes = 128 * derivation.parameters.n * derivation.parameters.r >> 20
            throw NodeFailure(.failure, "scrypt failed: it needs \(mebibytes) MiB of memory")
        }
        // One salt per identity and one for the pins; whoever rewrites a file often must not make this grow.
        if state.keys.count >= 16 { state.keys = [:] }
        state.keys[derivation] = key
        return key
    }
}
