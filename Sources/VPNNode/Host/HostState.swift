// SPDX-License-Identifier: Apache-2.0
// What was done to the host for each profile, on disk before it is done: from it alone all can be taken back, whatever became
// of the daemon and of the configuration. One command at a time has it.
internal import Foundation
internal import Glibc

/// What was done for one profile.
struct HostState: Codable, Hashable, Sendable {
    /// Grows with every incompatible change.
    static let version = 1

    var version = HostState.version
    var profile: String
    /// Absolute.
    var configuration: String
    var interface: String
    /// The mark that its rules go by, and the number of its table; nil where it has none.
    var mark: UInt32?
    /// Of the daemon that we started; nil where somebody else runs it.
    var pidFile: String?
    /// Whether the lockdown is held for this profile.
    var isLocked = false
    /// In the order in which it was done.
    var undo: [HostUndo] = []

    /// Which of its changes is of the same thing; nil where none is.
    func place(of change: HostUndo) -> Int? { undo.firstIndex { $0.isOfSame(as: change) } }

    /// Whether it wants this file of /proc/sys as it is now.
    func hasSet(_ path: String) -> Bool {
        undo.contains { if case .setting(path, _, _) = $0.way { true } else { false } }
    }

    /// Is from now on what keeps a change that another profile does not want any more.
    mutating func inherit(_ change: HostUndo) {
        if let place = place(of: change) { undo[place].inherit(change) }
    }
}

/// The directory of states, locked.
struct HostKeeper: ~Copyable {
    let places: HostPlaces
    private let lock: OpenFile

    /// Throws where another command has it, or this user may not.
    init(_ places: HostPlaces) throws {
        let lock = try Self.locked(places)
        self.places = places
        self.lock = lock
    }

    private static func locked(_ places: HostPlaces) throws -> OpenFile {
        guard effectiveUser() == 0 else {
            throw NodeFailure(.permission, "routes, name servers and filters are root's: run it with sudo")
        }
        if !ProtectedFile.exists(places.state) {
            let (directory, name) = ProtectedFile.split(places.state)
            try OpenFile.directory(directory).makeDirectory(name, mode: 0o700)
        }
        let status = try OpenFile.directory(places.state).status()
        guard status.owner == effectiveUser(), !status.isOpenToOthers else {
            throw NodeFailure(.permission, "\(places.state) must be root's alone: chown root and chmod 700 it")
        }
        let lock = try OpenFile("\(places.state)/lock", O_RDWR | O_CREAT, mode: 0o600)
        let limit = ContinuousClock.now + .seconds(places.patience)
        while try !lock.tryLock() {
            guard ContinuousClock.now < limit else {
                throw NodeFailure(
                    .failure, "another `pqvpn up`, `down` or `lockdown` is at work: try again when it has ended")
            }
            usleep(10_000)
        }
        return lock
    }

    private func path(_ profile: String) -> String { "\(places.state)/profile-\(profile).json" }

    func pidFile(_ profile: String) -> String { "\(places.state)/profile-\(profile).pid" }

    /// Nil where nothing was done.
    func state(of profile: String) throws -> HostState? {
        guard ProtectedFile.exists(path(profile)) else { return nil }
        do {
            let bytes = try ProtectedFile.open(path(profile), noun: "host state", maximumSize: 4 << 20).read(
                limit: 4 << 20)
            let state = try JSONDecoder().decode(HostState.self, from: Data(bytes))
            guard state.version == HostState.version else { throw NodeFailure(.failure, "of another version") }
            return state
        } catch {
            throw NodeFailure(
                .failure,
                "\(path(profile)) cannot be read (\(NodeFailure(error).message)): see `ip rule`, `pqvpn lockdown status` and "
                    + "resolv.conf, and remove it when the host is as it should be")
        }
    }

    /// The profiles for which something was done, by name.
    func profiles() -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: places.state)) ?? []
        return names.filter { $0.hasPrefix("profile-") && $0.hasSuffix(".json") }
            .map { String($0.dropFirst("profile-".count).dropLast(".json".count)) }.sorted()
    }

    /// What was done for the other profiles.
    func others(than profile: String) throws -> [HostState] {
        try profiles().filter { $0 != profile }.compactMap { try state(of: $0) }
    }

    func save(_ state: HostState) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        try ProtectedFile.replace(path(state.profile), with: [UInt8](try encoder.encode(state)))
    }

    func forget(_ profile: String) throws {
        try OpenFile.directory(places.state).remove("profile-\(profile).json")
    }
}
