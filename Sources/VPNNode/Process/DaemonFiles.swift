// SPDX-License-Identifier: Apache-2.0
// The files that a daemon needs after its start, and nothing beside: how they are fenced off is FileFence's. Rules are of directories where a
// file may be replaced by a new one of its name.
internal import Foundation
internal import VPNEngine

struct DaemonFiles: Sendable {
    struct Rule: Sendable, Hashable {
        let path: String
        let access: FileFence.Access
    }

    private(set) var rules: [Rule] = []

    /// What every daemon, and what it starts, looks at: name resolution, libraries, the kernel's own words.
    private static let looks = [
        "/etc", "/proc", "/sys", "/dev/random", "/dev/urandom", "/dev/zero", "/run/systemd/resolve", "/run/resolvconf",
        "/run/NetworkManager",
    ]
    private static let programs = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/nix/store", "/gnu/store"]

    /// - Parameters:
    ///   - pidFile: that of this run.
    ///   - runtime: the directory of a temporary identity.
    ///   - host: where this run sets name servers of the host: what tools do for that is not known here.
    init(
        _ configuration: NodeConfiguration, pidFile: String? = nil, runtime: String? = nil, host: HostPlaces? = nil,
        environment: [String: String] = ProcessInfo.processInfo.environment
    ) {
        allow(Self.looks, .read)
        allow(Self.programs + HostTools.directories(environment["PATH"]), [.read, .run])
        allow(["/dev/null"], [.read, .write])
        // The resolver's file may be a link to anywhere.
        allow([Self.directory(URL(filePath: "/etc/resolv.conf").resolvingSymlinksInPath().path)], .read)
        allow(
            ([configuration.file, configuration.directory.ownFile] + configuration.peers.compactMap(\.presharedKeyFile))
                .map(Self.directory), .read)
        allow(
            ([
                configuration.security.knownPeersFile, configuration.security.revokedFile, configuration.invites.file,
                configuration.directory.file, configuration.directory.guardsFile,
            ] + [configuration.logFile].compactMap { $0 }).map(Self.directory), [.read, .write])
        // What is removed at the end.
        let socket = configuration.control.socket.map(Self.directory) ?? ControlPlace.directory(environment)
        allow([socket, runtime].compactMap { $0 }, [.read, .remove])
        allow([runtime, pidFile].compactMap { $0 }.map(Self.directory), .remove)
        if configuration.tunnel.isEnabled {
            allow(["/dev/net/tun"], [.read, .write, .device])
            allow(["/proc/sys/net"], [.read, .write])
        }
        // What its tools read and say goes through files there.
        if configuration.exit.isOpen { allow([NSTemporaryDirectory()], [.read, .write]) }
        if let host {
            allow([host.state, Self.directory(host.resolverFile), "/etc", "/run"], [.read, .write, .run])
        }
    }

    private mutating func allow(_ paths: [String], _ access: FileFence.Access) {
        rules += paths.map { Rule(path: $0, access: access) }
    }

    private static func directory(_ path: String) -> String { ProtectedFile.split(path).directory }

    /// Nil where the kernel has none.
    func fence() -> FileFence? {
        guard let fence = FileFence() else { return nil }
        for rule in rules { fence.allow(rule.path, rule.access) }
        return fence
    }
}
