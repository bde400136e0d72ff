// SPDX-License-Identifier: Apache-2.0
// Where a passphrase comes from: a file, the environment, a systemd credential, a person at a terminal. It is in secret
// memory from its first byte on.
internal import Glibc
internal import VPNCrypto

/// The places to look at, in this order: the file of an option, PQVPN_PASSPHRASE, the file of the configuration, the systemd
/// credential, the terminal.
public struct PassphraseSource: Sendable {
    public static let environmentVariable = "PQVPN_PASSPHRASE"
    public static let credentialName = "pqvpn-passphrase"
    /// Bytes of a passphrase.
    static let maximumSize = 1024
    /// Bytes of a new one; what exists may be shorter.
    static let minimumNewSize = 8

    /// `--passphrase-file`.
    public var file: String?
    /// `keys.passphrase_file`.
    public var configuredFile: String?
    public var usesEnvironment = true
    public var usesTerminal = true

    public init(file: String? = nil, configuredFile: String? = nil, usesTerminal: Bool = true) {
        self.file = file
        self.configuredFile = configuredFile
        self.usesTerminal = usesTerminal
    }

    /// Nowhere.
    static var none: PassphraseSource {
        var source = PassphraseSource(usesTerminal: false)
        source.usesEnvironment = false
        return source
    }

    /// The passphrase of something that exists; `what` names it.
    func passphrase(for what: String) throws -> Secret {
        if let secret = try withoutAsking() { return secret }
        if usesTerminal, let terminal = Terminal() {
            return try Self.checked(terminal.readSecret(prompt: "Passphrase of \(what): ", limit: Self.maximumSize))
        }
        throw missing("\(what) is encrypted")
    }

    /// A passphrase for something new.
    func newPassphrase(for what: String) throws -> Secret {
        if let secret = try withoutAsking() { return try Self.checkedNew(secret) }
        guard usesTerminal, let terminal = Terminal() else { throw missing("\(what) is to be encrypted") }
        let first = try Self.checkedNew(
            terminal.readSecret(prompt: "New passphrase of \(what): ", limit: Self.maximumSize))
        let second = try terminal.readSecret(prompt: "Once more: ", limit: Self.maximumSize)
        guard first.isEqual(to: second) else {
            throw NodeFailure(.usage, "the two passphrases differ: nothing was done")
        }
        return first
    }

    private func missing(_ why: String) -> NodeFailure {
        NodeFailure(
            .usage,
            "\(why), and there is no passphrase: give --passphrase-file, keys.passphrase_file, "
                + "\(Self.environmentVariable) or the systemd credential '\(Self.credentialName)', or use a terminal")
    }

    private func withoutAsking() throws -> Secret? {
        if let file { return try Self.read(file) }
        if usesEnvironment, let secret = try Self.takeFromEnvironment() { return secret }
        if let configuredFile { return try Self.read(configuredFile) }
        if usesEnvironment, let directory = Self.environment("CREDENTIALS_DIRECTORY") {
            let path = "\(directory)/\(Self.credentialName)"
            if ProtectedFile.exists(path) { return try Self.readCredential(path) }
        }
        return nil
    }

    // MARK: Files

    /// One line in a file of mode 0600; its line break does not belong to the passphrase.
    private static func read(_ path: String) throws -> Secret {
        let file = try ProtectedFile.open(path, noun: "passphrase file", maximumSize: maximumSize + 1)
        return try line(of: file, "passphrase file \(path)")
    }

    /// systemd hands it over in a directory of its own, mode 0400 or, with an access list, 0440.
    private static func readCredential(_ path: String) throws -> Secret {
        let file = try OpenFile(path, O_RDONLY)
        let status = try file.status()
        guard status.kind == .regular, status.size <= maximumSize + 1, status.permissions & 0o037 == 0,
            status.owner == effectiveUser() || status.owner == 0
        else { throw NodeFailure(.permission, "credential \(path) is not a small file that only this service reads") }
        return try line(of: file, "credential \(path)")
    }

    private static func line(of file: borrowing OpenFile, _ what: String) throws -> Secret {
        let content = try file.readSecret(count: file.status().size)
        var size = content.count
        if size > 0, content.byte(at: size - 1) == 0x0A { size -= 1 }
        let line = content.slice(0..<size)
        for index in 0..<line.count where line.byte(at: index) == 0x0A {
            throw NodeFailure(.usage, "\(what) has more than one line")
        }
        guard line.count > 0 else { throw NodeFailure(.usage, "\(what) is empty") }
        return line
    }

    // MARK: Environment

    /// Takes the variable away, out of the environment's memory too, so that no program started from here inherits it.
    private static func takeFromEnvironment() throws -> Secret? {
        // SAFETY: the value is a terminated string; nothing else touches the environment while a command or a node starts.
        guard let value = unsafe getenv(environmentVariable) else { return nil }
        let size = unsafe strlen(value)
        // SAFETY: both are `size` bytes long.
        let secret = Secret(count: size) {
            unsafe $0.copyMemory(from: UnsafeRawBufferPointer(start: value, count: size))
        }
        unsafe explicit_bzero(value, size)
        unsafe unsetenv(environmentVariable)
        guard size > 0, size <= maximumSize else {
            throw NodeFailure(.usage, "\(environmentVariable) is empty or longer than \(maximumSize) bytes")
        }
        return secret
    }

    private static func environment(_ name: String) -> String? {
        // SAFETY: as above.
        guard let value = unsafe getenv(name) else { return nil }
        return unsafe String(cString: value)
    }

    // MARK: Checks

    private static func checked(_ secret: consuming Secret) throws -> Secret {
        guard secret.count > 0 else { throw NodeFailure(.usage, "the passphrase is empty: nothing was done") }
        return secret
    }

    private static func checkedNew(_ secret: consuming Secret) throws -> Secret {
        guard secret.count >= minimumNewSize else {
            throw NodeFailure(
                .usage, "a new passphrase has at least \(minimumNewSize) bytes, this one has \(secret.count)")
        }
        return secret
    }
}
