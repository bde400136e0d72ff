// SPDX-License-Identifier: Apache-2.0
// What can be wrong with a key. Not with a signature: see `SignatureFailure`.

/// The four keys of an identity. The ephemeral keys of a handshake are of the first and the last kind.
public enum KeyKind: String, Hashable, Sendable, CaseIterable {
    case brainpool, ed25519, mldsa, mlkem
}

/// Why a key was refused.
public enum KeyError: Error, Equatable, Sendable {
    /// Sizes in bytes.
    case wrongSize(KeyKind, expected: Int, actual: Int)
    /// The size is right and the value is not; the reason is for people.
    case invalid(KeyKind, reason: String)
}

extension KeyError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .wrongSize(let kind, let expected, let actual):
            "\(kind.rawValue) key of \(actual) bytes, expected \(expected)"
        case .invalid(let kind, let reason):
            "\(kind.rawValue) key refused: \(reason)"
        }
    }
}

/// A failure that can only be lack of memory or a defect of a library: no input of a peer leads here.
public struct CryptographyFailure: Error, Equatable, Sendable, CustomStringConvertible {
    /// The operation that failed.
    public let operation: String

    public init(_ operation: String) { self.operation = operation }

    public var description: String { "\(operation) failed inside the cryptographic library" }
}
