// SPDX-License-Identifier: Apache-2.0
// Which privileges a configuration needs when everything is open, and what somebody's files change in it.
import Testing
import VPNEngine

@testable import VPNNode

@Suite struct DaemonPrivilegesTests {
    private func privileges(
        _ text: String, isRoot: Bool = true, couldUse: (String, Bool) -> Bool = { _, _ in true }
    ) throws -> DaemonPrivileges {
        let configuration = try LoadedConfiguration(text: text, file: "/etc/pqvpn/x.yaml").configuration
        return DaemonPrivileges(configuration, isRoot: isRoot, couldUse: couldUse)
    }

    @Test func onlyATunnelOrAMarkNeedsAny() throws {
        #expect(try privileges("tunnel: { addresses: [10.77.0.1/24] }").kept == .network)
        #expect(try privileges("tunnel: { enabled: false }\nrelay: true").kept == [])
        #expect(try privileges("tunnel: { enabled: false }\nnetwork: { fwmark: 7 }").kept == .network)
    }

    @Test func filesOfOthersKeepTheRightToThemAndAreNamed() throws {
        let text = """
            tunnel: { enabled: false }
            security: { known_peers_file: /srv/ann/known.yaml }
            logging: { file: /srv/ann/log }
            """
        let kept = try privileges(text) { path, isWritten in !(isWritten && path == "/srv/ann") }
        #expect(kept.kept == .othersFiles && kept.foreign == ["/srv/ann"])
        let read = try privileges(text) { path, isWritten in isWritten || path != "/etc/pqvpn/x.yaml" }
        #expect(read.kept == .othersFiles && read.foreign == ["/etc/pqvpn/x.yaml"])
        // Whoever is not root has no such right.
        #expect(try privileges(text, isRoot: false) { _, _ in false }.kept == [])
    }

    @Test func theKernelSaysWhatCouldBeUsed() throws {
        guard isRoot else { return print("SKIPPED: \(Test.current?.name ?? ""): this user is not root") }
        let scratch = try Scratch()
        try scratch.write("x", to: "file", mode: 0o600)
        #expect(ProcessPrivileges.couldUse(scratch.file("file"), writing: false))
        #expect(ProcessPrivileges.couldUse(scratch.path, writing: true))
        try scratch.giveAway("file")
        try scratch.giveAway("")
        #expect(!ProcessPrivileges.couldUse(scratch.file("file"), writing: false))
        #expect(!ProcessPrivileges.couldUse(scratch.path, writing: true))
        // Nothing there is nothing that is refused.
        #expect(ProcessPrivileges.couldUse("/nowhere/at/all", writing: true))
    }

    @Test func filesAreThoseOfTheConfiguration() throws {
        func rules(of text: String, pidFile: String? = nil, runtime: String? = nil) throws -> [DaemonFiles.Rule] {
            let configuration = try LoadedConfiguration(text: text, file: "/srv/x/x.yaml").configuration
            return DaemonFiles(
                configuration, pidFile: pidFile, runtime: runtime,
                environment: ["PATH": "/opt/tools:relative", "XDG_RUNTIME_DIR": "/run/user/7"]
            ).rules
        }
        let relay = """
            tunnel: { enabled: false }
            relay: true
            security: { known_peers_file: /srv/pins/known.yaml, revoked_file: /srv/pins/revoked }
            invites: { file: /srv/pins/invites }
            directory: { file: /srv/relays/all, own_file: /srv/own/descriptor }
            circuit: { guards_file: /srv/relays/guards }
            logging: { file: /srv/logs/log }
            """
        let found = try rules(of: relay, pidFile: "/run/x.pid", runtime: "/run/user/7/pqvpn-1")
        let written = Set(found.filter { $0.access.contains(.write) }.map(\.path))
        #expect(written == ["/dev/null", "/srv/pins", "/srv/relays", "/srv/logs"])
        let removed = Set(found.filter { $0.access.contains(.remove) }.map(\.path))
        #expect(removed == ["/run", "/run/user/7", "/run/user/7/pqvpn", "/run/user/7/pqvpn-1"])
        let read = Set(found.filter { $0.access.contains(.read) }.map(\.path))
        #expect(read.isSuperset(of: ["/srv/x", "/srv/own", "/etc", "/proc"]))
        #expect(read.isDisjoint(with: ["/", "/dev", "/home", "/root", "/run", "/srv", "/tmp", "/var", "relative"]))
        // What is written is never run.
        let run = Set(found.filter { $0.access.contains(.run) }.map(\.path))
        #expect(run.contains("/usr") && run.contains("/opt/tools") && run.isDisjoint(with: written))
        #expect(!found.contains { $0.access.contains(.device) })
        let tunnel = try rules(of: "tunnel: { addresses: [10.77.0.1/24] }")
        #expect(tunnel.filter { $0.access.contains(.device) }.map(\.path) == ["/dev/net/tun"])
    }
}
