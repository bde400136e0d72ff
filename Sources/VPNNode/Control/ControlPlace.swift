// SPDX-License-Identifier: Apache-2.0
// Where control sockets are: one directory for all nodes of a host, one name for each node.
internal import Foundation
internal import Glibc

public enum ControlPlace {
    /// Where a node puts its socket: systemd's RUNTIME_DIRECTORY, this user's XDG_RUNTIME_DIR, or /run/pqvpn.
    static func directory(_ environment: [String: String]) -> String {
        if let path = environment["RUNTIME_DIRECTORY"]?.split(separator: ":").first, path.hasPrefix("/") {
            return String(path)
        }
        if let path = environment["XDG_RUNTIME_DIR"], path.hasPrefix("/") { return path + "/pqvpn" }
        return standard
    }

    private static let standard = "/run/pqvpn"
    /// Seconds for a listener to take a caller who only asks whether anybody is there.
    private static let probeSeconds: Int32 = 1

    /// Where a command looks for nodes. Not where users of this host put theirs, for root neither: whatever listens there would
    /// be believed, or waited for.
    static func directories(_ environment: [String: String]) -> [String] {
        let own = directory(environment)
        return own == standard ? [standard] : [own, standard]
    }

    /// A nickname as the name of a file.
    static func fileName(_ nickname: String) -> String {
        let name = String(
            nickname.unicodeScalars.map { scalar in
                let isPlain = scalar.isASCII && (scalar.properties.isAlphabetic || ("0"..."9").contains(scalar))
                return isPlain || scalar == "-" || scalar == "_" ? Character(scalar) : "_"
            }.prefix(40))
        return (name.isEmpty ? "node" : name) + ".sock"
    }

    /// The sockets of nodes that run, by name.
    static func running(_ environment: [String: String]) -> [String] {
        directories(environment).flatMap { directory in
            let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
            return names.filter { $0.hasSuffix(".sock") }.sorted().map { "\(directory)/\($0)" }
        }.filter(isTrusted)
    }

    /// Whether anybody listens there, whoever it is.
    static func isServed(_ path: String) -> Bool {
        do throws(SystemCallError) {
            _ = try LocalConnection(path: path, seconds: probeSeconds)
            return true
        } catch { return isThere(error) }
    }

    /// Whether a node listens there whose word counts: root's, this user's, or that of whom the directory belongs to.
    private static func isTrusted(_ path: String) -> Bool {
        do throws(SystemCallError) {
            let connection = try LocalConnection(path: path, seconds: probeSeconds)
            let listener = try connection.other().uid
            if listener == 0 || listener == effectiveUser() { return true }
            return try OpenFile.directory(ProtectedFile.split(path).directory).status().owner == listener
        } catch { return isThere(error) }
    }

    /// Somebody is there who does not let us in, or has no room: worth saying so.
    private static func isThere(_ error: SystemCallError) -> Bool {
        [EACCES, EPERM, EAGAIN].contains(error.errno)
    }

    /// The one socket that a command means.
    ///
    /// - Parameters:
    ///   - socket: `--socket`; goes before all else.
    ///   - node: `--node`: the nickname of one of several.
    public static func find(
        socket: String?, node: String?, environment: [String: String]? = nil
    ) throws -> String {
        if let socket { return socket }
        let environment = environment ?? ProcessInfo.processInfo.environment
        let all = running(environment)
        if let node {
            let name = fileName(node)
            if let path = all.first(where: { ProtectedFile.split($0).name == name }) { return path }
            throw NodeFailure(.daemonNotRunning, "no node '\(node)' runs here\(listing(all))")
        }
        if all.count == 1 { return all[0] }
        if all.isEmpty {
            let places = directories(environment).joined(separator: ", ")
            let users =
                effectiveUser() == 0 ? ", or name that of a user by --socket /run/user/UID/pqvpn/NAME.sock" : ""
            throw NodeFailure(
                .daemonNotRunning,
                "no node runs here (looked in \(places)): start one with `pqvpn run --config FILE`\(users)")
        }
        throw NodeFailure(.usage, "several nodes run here: choose with --node NAME\(listing(all))")
    }

    private static func listing(_ paths: [String]) -> String {
        let names = paths.map { String(ProtectedFile.split($0).name.dropLast(".sock".count)) }
        return names.isEmpty ? "" : "; there are \(names.joined(separator: ", "))"
    }
}
