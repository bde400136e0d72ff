// SPDX-License-Identifier: Apache-2.0
// What a daemon keeps of root's rights once everything is open: CAP_NET_ADMIN where it has a tunnel, and nothing where it has none.
internal import Logging
internal import VPNEngine

struct DaemonPrivileges: Sendable {
    let kept: ProcessPrivileges
    /// Files that only root's right to those of others opens.
    let foreign: [String]

    /// - Parameter couldUse: whether a path can be read, or written in, without that right.
    init(
        _ configuration: NodeConfiguration, isRoot: Bool = effectiveUser() == 0,
        couldUse: (_ path: String, _ isWritten: Bool) -> Bool = { ProcessPrivileges.couldUse($0, writing: $1) }
    ) {
        // Sockets that are opened later have the mark as well.
        var kept: ProcessPrivileges =
            configuration.tunnel.isEnabled || configuration.network.mark != nil ? .network : []
        var foreign: [String] = []
        if isRoot {
            let read = [configuration.file] + configuration.peers.compactMap(\.presharedKeyFile)
            let written =
                [
                    configuration.security.knownPeersFile, configuration.security.revokedFile,
                    configuration.invites.file,
                    configuration.directory.file, configuration.directory.guardsFile,
                ] + [configuration.logFile].compactMap { $0 }
            foreign = read.filter { !couldUse($0, false) }
            let directories = Set(written.map { ProtectedFile.split($0).directory })
            foreign += directories.filter { !couldUse($0, true) }.sorted()
            if !foreign.isEmpty { kept.insert(.othersFiles) }
        }
        (self.kept, self.foreign) = (kept, foreign)
    }

    /// Gives up the rest. A daemon that cannot is one as before, and says so.
    func take(_ files: DaemonFiles, _ logger: Logger) {
        if !foreign.isEmpty {
            logger.warning(
                "\(foreign.joined(separator: ", ")) belong to another user: root's right to files of others is kept; chown root",
                metadata: ["event": "privileges.files"])
        }
        do throws(EngineError) {
            // Later nobody may ask.
            let landlock = FileFence.version ?? 0
            if let fence = files.fence() {
                try ProcessPrivileges.keep(kept, behind: fence)
            } else {
                try ProcessPrivileges.keep(kept)
                logger.info(
                    "this kernel cannot fence files off (Landlock): their modes alone count",
                    metadata: ["event": "privileges.no_fence"])
            }
            try ProcessPrivileges.filterCalls()
            logger.info(
                "privileges that are not needed are given up",
                metadata: [
                    "event": "privileges.kept",
                    "kept": .array(
                        (kept.contains(.network) ? ["CAP_NET_ADMIN"] : [])
                            + (kept.contains(.othersFiles) ? ["CAP_DAC_OVERRIDE"] : [])),
                    "landlock": .stringConvertible(landlock),
                ])
        } catch {
            logger.error("\(error)", metadata: ["event": "privileges.not_given_up"])
        }
    }
}
