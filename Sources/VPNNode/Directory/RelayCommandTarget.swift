// SPDX-License-Identifier: Apache-2.0
// What `pqvpn relay …` and `pqvpn relays` work on: the identity of a configuration, and its files of relays and guards.
internal import Foundation
internal import VPNCore
internal import VPNCrypto

/// What a relay says of itself.
public struct RelayDescription: Sendable {
    public var operatorName: String
    public var family: String
    public var addresses: [String]
    public var isExit: Bool
    public var bitsPerSecond: UInt64?
    public var days: Int

    public init(
        operatorName: String, family: String, addresses: [String], isExit: Bool, bitsPerSecond: UInt64?, days: Int
    ) {
        self.operatorName = operatorName
        self.family = family
        self.addresses = addresses
        self.isExit = isExit
        self.bitsPerSecond = bitsPerSecond
        self.days = days
    }
}

public struct RelayCommandTarget: Sendable {
    private let configurationFile: String?
    private let keyDirectory: String?
    private let passphraseFile: String?
    private let directory: NodeConfiguration.Directory
    private let revokedFile: String

    public init(
        configurationFile: String?, keyDirectory: String? = nil, passphraseFile: String? = nil,
        relaysFile: String? = nil
    ) throws {
        self.configurationFile = configurationFile
        self.keyDirectory = keyDirectory
        self.passphraseFile = passphraseFile
        let configuration = try configurationFile.map { try LoadedConfiguration(file: $0).configuration }
        var directory =
            configuration?.directory
            ?? NodeConfiguration.Directory(
                file: "relays.yaml", ownFile: "relay.pub", exchanges: false, allowsPrivate: false,
                guardsFile: "guards.yaml")
        if let relaysFile { directory.file = relaysFile }
        self.directory = directory
        revokedFile = configuration?.security.revokedFile ?? "revoked.yaml"
    }

    private var rule: RelayAddressRule { directory.allowsPrivate ? .publicAndPrivate : .publicOnly }

    // MARK: Publishing

    /// Signs this node's description of itself as a relay, and writes it to the file that a running node hands on.
    public func publish(_ description: RelayDescription) throws -> RelayPublishReport {
        try check(description)
        try StateOwner.check(directory.ownFile)
        let target = try IdentityCommandTarget(
            configurationFile: configurationFile, keyDirectory: keyDirectory, passphraseFile: passphraseFile)
        let identity = try LoadedIdentity.load(target.source, nickname: target.nickname, unlocker: target.unlocker)
        let now = UnixTime.now
        let before = ProtectedFile.exists(directory.ownFile) ? try DescriptorFile.read(directory.ownFile) : nil
        var serial = now
        if let before, before.keys.peerID == identity.peerID { serial = max(serial, before.serial + 1) }
        let descriptor = try Descriptor.make(
            signer: identity.signer, nickname: target.nickname, operatorName: description.operatorName,
            family: description.family, addresses: description.addresses,
            roles: (description.isExit ? [.relay, .exit] : DescriptorRoles.relay).rawValue,
            capacity: description.bitsPerSecond.map(RelayCapacity.code) ?? 0, notBefore: now,
            notAfter: now + UInt64(description.days) * 86_400, serial: serial)
        let text = DescriptorFile.text(of: descriptor)
        try ProtectedFile.replace(directory.ownFile, with: [UInt8](text.utf8))
        return RelayPublishReport(
            relay: RelayEntry(descriptor, source: "own", isGuard: false, now: now), file: directory.ownFile,
            descriptor: text)
    }

    private func check(_ description: RelayDescription) throws {
        let most = Int(Limits.relayDescriptorLife / 86_400)
        guard (1...most).contains(description.days) else {
            throw NodeFailure(.usage, "--days is between 1 and \(most): readers refuse what is good for longer")
        }
        for (name, text) in [("--operator", description.operatorName), ("--family", description.family)]
        where text.utf8.count > Descriptor.maximumText || text.unicodeScalars.contains(where: \.isInvisible) {
            throw NodeFailure(.usage, "\(name) has at most \(Descriptor.maximumText) printable bytes")
        }
        guard (1...Descriptor.maximumAddresses).contains(description.addresses.count) else {
            throw NodeFailure(
                .usage, "a relay has one to \(Descriptor.maximumAddresses) addresses: --address 203.0.113.7:4433")
        }
        for text in description.addresses where !rule.allows(text) {
            throw NodeFailure(
                .usage,
                "--address \(text): not an address that others call. It is IPv4:port or [IPv6]:port of the public internet, no "
                    + "name" + (directory.allowsPrivate ? "" : "; private networks need directory.allow_private: true"))
        }
    }

    // MARK: Importing

    /// A descriptor that was read and holds, before anything is changed.
    public struct Candidate: Sendable {
        let descriptor: Descriptor
        /// What a person compares.
        public let description: String
    }

    /// Reads and checks a file, or what somebody typed into standard input.
    public func candidate(_ file: String) throws -> Candidate {
        let descriptor =
            file == "-"
            ? try DescriptorFile.decode(StandardInput.text(limit: 64 << 10), path: "standard input")
            : try DescriptorFile.read(file)
        let id = descriptor.keys.peerID
        func refuse(_ reason: String) -> NodeFailure {
            NodeFailure(
                .untrustedIdentity, "the descriptor of '\(descriptor.nickname)' (\(id.hex)) is refused: \(reason)")
        }
        guard try !RevocationList(path: revokedFile).ids.contains(id) else {
            throw refuse("it is revoked in \(revokedFile)")
        }
        var scratch = RelayDirectory(own: .zero, addresses: rule)
        do throws(DirectoryRefusal) {
            _ = try scratch.offer(
                descriptor, from: .imported, isBarred: false, unix: UnixTime.now, now: .origin)
        } catch { throw refuse(Self.text(error, allowsPrivate: directory.allowsPrivate)) }
        let entry = RelayEntry(descriptor, source: "import", isGuard: false, now: UnixTime.now)
        let lines = [
            "relay     \(entry.name)", "peer_id   \(id.grouped)", "operator  \(entry.operatorName)",
            "family    \(entry.family)", "address   \(entry.addresses.joined(separator: ", "))",
            "expires   \(entry.expires)", id.picture,
        ]
        return Candidate(descriptor: descriptor, description: lines.joined(separator: "\n"))
    }

    static func text(_ refusal: DirectoryRefusal, allowsPrivate: Bool) -> String {
        switch refusal {
        case .notRelay: "it does not say that it is a relay: its operator makes one that does by `pqvpn relay publish`"
        case .expired: "its time is over: ask its operator for a new one"
        case .lifetime: "it is not good yet, or for longer than 90 days: look at this host's clock"
        case .noAddress:
            "none of its addresses can be called"
                + (allowsPrivate ? "" : "; private networks need directory.allow_private: true")
        default: refusal.rawValue
        }
    }

    public func add(_ candidate: Candidate) throws -> RelayChangeReport {
        try StateOwner.check(directory.file)
        let outcome = try RelayStore(path: directory.file).add(candidate.descriptor)
        return RelayChangeReport(
            file: directory.file, action: outcome.rawValue,
            relay: RelayEntry(candidate.descriptor, source: "import", isGuard: false, now: UnixTime.now))
    }

    public func remove(_ what: String) throws -> RelayChangeReport {
        try StateOwner.check(directory.file)
        let relay = try RelayStore(path: directory.file).remove(what)
        let source = RelaysDocument.text(of: relay.source)
        return RelayChangeReport(
            file: directory.file, action: "removed",
            relay: RelayEntry(relay.descriptor, source: source, isGuard: false, now: UnixTime.now))
    }

    public func list() throws -> RelaysReport {
        let guards = try GuardFile(path: directory.guardsFile).read().ids
        let now = UnixTime.now
        let relays = try RelayStore(path: directory.file).read().map {
            RelayEntry(
                $0.descriptor, source: RelaysDocument.text(of: $0.source), isGuard: guards.contains($0.id), now: now)
        }
        return RelaysReport(file: directory.file, relays: relays.sorted { ($0.name, $0.peerID) < ($1.name, $1.peerID) })
    }

    /// Asks a person at the terminal; throws where there is none, or the answer is not yes.
    public static func confirm(_ candidate: Candidate) throws {
        guard let terminal = Terminal() else {
            throw NodeFailure(
                .usage, "there is no terminal to ask at: compare the peer_id with the relay's operator, then say --yes")
        }
        guard try terminal.confirms("\(candidate.description)\nUse this relay as a hop? [y/N] ") else {
            throw NodeFailure(.failure, "not imported: nothing was changed")
        }
    }
}

enum StandardInput {
    /// All of it. Throws where it is longer.
    static func text(limit: Int) throws -> String {
        var bytes: [UInt8] = []
        while let data = try FileHandle.standardInput.read(upToCount: limit), !data.isEmpty {
            bytes += data
            guard bytes.count <= limit else {
                throw NodeFailure(.usage, "standard input is longer than any descriptor")
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
