// SPDX-License-Identifier: Apache-2.0
// `pqvpn init --service`: the files of a profile as the unit pqvpn@ of the Debian package wants them, and the unit switched on. The
// profile is root's, for the group to read; what is secret is made by the daemon's own user, so that root writes nothing where
// that user could lead it elsewhere.
internal import Foundation
internal import VPNCore

/// Where things of a service are; tests have others.
public struct ServicePlaces: Sendable {
    /// There while systemd is the first process.
    public var manager = "/run/systemd/system"
    /// The unit of the package, and where drop-ins of the operator go.
    public var unit = "/usr/lib/systemd/system/pqvpn@.service"
    public var dropIns = "/etc/systemd/system"
    /// The drop-in for nodes without a tunnel.
    public var relayDropIn = "/usr/share/doc/pqvpn/examples/relay.conf"
    /// The one for exits.
    public var exitDropIn = "/usr/share/doc/pqvpn/examples/exit.conf"
    /// The user's, for keys and pins.
    public var state = "/var/lib/pqvpn"
    public var users = "/etc/passwd"
    /// As PATH; nil = this process's.
    public var path: String?
    /// Profiles in another directory than the unit's are of no use but to tests.
    var mayBeElsewhere = false

    public init() {}
}

struct ServiceInstallation {
    static let user = "pqvpn"

    let places: ServicePlaces
    let name: String
    private let tools: HostTools
    private let userID: Int
    private let groupID: Int

    var unit: String { "pqvpn@\(name)" }
    /// Of the files that the daemon writes.
    var prefix: String { "\(places.state)/" }
    var keys: String { "\(places.state)/\(name).keys" }

    /// Throws where the package is not there, or the rights are not; nothing was changed then.
    init(_ places: ServicePlaces, name: String, directory: String, scratch: String) throws {
        guard effectiveUser() == 0 else { throw NodeFailure(.permission, "services are root's: run it with sudo") }
        let users = (try? String(contentsOfFile: places.users, encoding: .utf8)) ?? ""
        let fields = users.split(separator: "\n").map { $0.split(separator: ":", omittingEmptySubsequences: false) }
            .first { $0.first == Self.user[...] && $0.count > 3 }
        guard FileManager.default.fileExists(atPath: places.unit), let fields, let userID = Int(fields[2]),
            let groupID = Int(fields[3])
        else {
            throw NodeFailure(
                .failure,
                "--service needs the user '\(Self.user)' and the unit pqvpn@ of the Debian package (make deb); nothing was changed"
            )
        }
        self.places = places
        self.name = name
        (self.userID, self.groupID) = (userID, groupID)
        tools = HostTools(path: places.path, scratch: scratch)
        try tools.require(["runuser"])
    }

    /// Whether systemd runs here.
    var hasManager: Bool { FileManager.default.fileExists(atPath: places.manager) }

    /// The four keys, made by the user who will have them. False where they are there already.
    func makeIdentity(nickname: String) throws -> Bool {
        let files = FileManager.default
        if !ProtectedFile.exists(places.state) {
            try files.createDirectory(
                atPath: places.state, withIntermediateDirectories: false,
                attributes: [
                    .posixPermissions: 0o750, .ownerAccountID: userID, .groupOwnerAccountID: groupID,
                ])
        }
        if ProtectedFile.exists("\(keys)/\(PersistentIdentity.descriptorName)") { return false }
        try tools.perform(
            HostCommand(
                "runuser",
                ["-u", Self.user, "--", Daemonization.programPath, "keygen", "--out", keys, "--nickname", nickname]))
        return true
    }

    /// Writes the profile for the daemon's group to read.
    func write(_ text: String, to files: NodeFiles) throws {
        var new = try NewFiles(in: files.directory)
        try new.checkAbsent(["\(files.name).yaml"])
        let groupID = groupID
        try new.add("\(files.name).yaml", mode: 0o640) { file in
            try file.write([UInt8](text.utf8))
            try file.giveToGroup(UInt32(groupID))
        }
        try new.commit()
    }

    /// A node without a tunnel gets no capability, and an exit sees the kernel's settings. False where the package's drop-in, of that
    /// path, is not there.
    func add(dropIn path: String) throws -> Bool {
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { return false }
        let name = ProtectedFile.split(path).name
        let directory = "\(places.dropIns)/\(unit).service.d"
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
        var new = try NewFiles(in: directory)
        if ProtectedFile.exists("\(directory)/\(name)") { return true }
        try new.add(name, mode: 0o644) { try $0.write([UInt8](text.utf8)) }
        try new.commit()
        return true
    }

    /// Switches it on, for now and for every boot.
    func enable() throws {
        try tools.perform(HostCommand("systemctl", ["daemon-reload"]))
        try tools.perform(HostCommand("systemctl", ["enable", "--now", unit]))
    }
}
