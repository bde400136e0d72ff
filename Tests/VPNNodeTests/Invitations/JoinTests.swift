// SPDX-License-Identifier: Apache-2.0
// `init`, `invite`, `invites` and `join` as people run them, on the loopback interface and without any privilege.
import Foundation
import Glibc
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

/// A server on a port of the kernel's choice, which invites without an interface.
private struct Inviter {
    let scratch: Scratch
    let endpoint: String
    let daemon: RunningDaemon

    static let configuration = """
        peer: { nickname: hub }
        keys: { runtime_temp_keys: false, dir: server.keys }
        network: { bind_host: 127.0.0.1, listen_port: 0 }
        tunnel: { enabled: false, addresses: [10.77.0.1/24, "fd77::1/64"] }

        """

    init(_ scratch: Scratch, configuration: String = Inviter.configuration, before: () throws -> Void = {}) throws {
        self.scratch = scratch
        let made = try Program.run(["keygen", "--out", "server.keys", "--nickname", "hub"], in: scratch)
        #expect(made.status == 0, "\(made.errors)")
        try scratch.write(configuration, to: "server.yaml")
        try before()
        daemon = try RunningDaemon(["--config", "server.yaml"], in: scratch, log: "server.log")
        endpoint = try #require(daemon.event("node.listening")?["address"] as? String, "\(daemon.text)")
        _ = daemon.event("node.ready")
    }

    var store: InvitationStore { get throws { try InvitationStore(path: scratch.file("invites.yaml")) } }

    /// As `pqvpn invite` does, which itself wants a fixed port and an interface.
    func invite(uses: Int = 1, seconds: UInt64 = 3600, started: UInt64 = UnixTime.now) throws -> (
        id: String, link: String
    ) {
        let (record, token) = try store.create(name: "anna", seconds: seconds, uses: uses, now: started)
        let id = try DescriptorFile.read(scratch.file("server.keys/identity.pub")).keys.peerID
        let link = InvitationLink(endpoint: try EndpointName(endpoint), peerID: id, token: token)
        return ("\(InvitationID(record.id))", link.text)
    }

    func join(_ link: String, name: String = "guest", _ more: [String] = []) throws -> Program.Outcome {
        try Program.run(
            ["join", link, "--name", name, "--dir", scratch.file(name)] + more, in: scratch)
    }
}

/// Long enough for the daemon to look at its files again.
private func letTheDaemonLook() { usleep(6_000_000) }

@Suite(.threads(.programs)) struct JoinTests {
    @Test func aGuestJoinsOnceAndStaysAPeer() throws {
        let scratch = try Scratch()
        let inviter = try Inviter(scratch)
        let (id, link) = try inviter.invite()
        letTheDaemonLook()
        let joined = try inviter.join(link, ["--json"])
        try #require(joined.status == 0, "\(joined.errors) \(inviter.daemon.text)")
        #expect(try JSONSchema("join").faults(in: joined.output) == [], "\(joined.output)")
        let guest = try #require(joined.json?["peer_id"] as? String)
        #expect(joined.json?["addresses"] as? [String] == ["10.77.0.2/24", "fd77::2/64"])
        #expect(joined.json?["inviter"] as? String == "hub")
        #expect(inviter.daemon.event("invitation.used")?["peer_id"] as? String == guest)
        // What it wrote is whole: the inviter is pinned by the operator's word, and nothing of the invitation is left.
        let checked = try Program.run(["config", "check", "guest/guest.yaml"], in: scratch)
        #expect(checked.status == 0, "\(checked.output)")
        let configuration = try LoadedConfiguration(file: scratch.file("guest/guest.yaml")).configuration
        #expect(configuration.peers.first?.allowedIPs.map { "\($0)" } == ["10.77.0.0/24", "fd77::/64"])
        #expect(!configuration.security.trustsOnFirstUse)
        let pins = try KnownPeersStore(path: scratch.file("guest/guest.known_peers.yaml")).pins
        #expect(pins.map(\.origin) == [.operatorAdded] && pins.map(\.name) == ["hub"])
        let names = try FileManager.default.contentsOfDirectory(atPath: scratch.file("guest")).sorted()
        #expect(names.filter { $0.contains("joining") } == [])
        for name in names where name.hasSuffix(".yaml") {
            let attributes = try FileManager.default.attributesOfItem(atPath: scratch.file("guest/\(name)"))
            #expect(attributes[.posixPermissions] as? Int == 0o600, "\(name)")
        }
        // The link is used up, for others at least.
        let late = try inviter.join(link, name: "late")
        #expect(late.status == 7 && late.errors.contains("used, expired or revoked"), "\(late.errors)")
        #expect(inviter.daemon.event("invitation.refused")?["reason"] as? String == "used")
        #expect(!FileManager.default.fileExists(atPath: scratch.file("late/late.yaml")))
        let listed = try Program.run(["invites", "--config", "server.yaml"], in: scratch)
        #expect(listed.output.contains("\(id)  used") && listed.output.contains("10.77.0.2"), "\(listed.output)")
        let json = try Program.run(["invites", "--config", "server.yaml", "--json"], in: scratch)
        #expect(try JSONSchema("invites").faults(in: json.output) == [], "\(json.output)")
        // A restart of the server knows the guest, as a peer of the configuration.
        #expect(inviter.daemon.end(with: SIGTERM) == 0)
        let again = try RunningDaemon(["--config", "server.yaml"], in: scratch, log: "again.log")
        _ = try #require(again.event("node.ready"), "\(again.text)")
        let status = try Program.run(["status", "--json"], in: scratch)
        #expect(status.output.contains(guest) && status.output.contains("10.77.0.2/32"), "\(status.output)")
    }

    @Test func ofTwoProcessesOneWins() throws {
        let scratch = try Scratch()
        let inviter = try Inviter(scratch)
        let (_, link) = try inviter.invite()
        letTheDaemonLook()
        let names = ["one", "two", "three"]
        let processes = try names.map { name in
            try Program.start(
                [Program.path, "join", link, "--name", name, "--dir", scratch.file(name)], in: scratch,
                output: "\(name).out", errors: "\(name).err")
        }
        for process in processes { process.waitUntilExit() }
        let statuses = processes.map(\.terminationStatus).sorted()
        #expect(statuses == [0, 7, 7], "\(statuses) \(inviter.daemon.text)")
        #expect(try inviter.store.guests.count == 1)
        let pinned = try KnownPeersStore(path: scratch.file("known_peers.yaml")).pins
        let counted = try inviter.store.guests.map(\.peerID)
        #expect(pinned.map(\.peerID) == counted)
        #expect(names.count { FileManager.default.fileExists(atPath: scratch.file("\($0)/\($0).yaml")) } == 1)
    }

    /// The server was killed after the use was on disk and before the pin was: the same identity comes again and is whole.
    @Test func aCrashBetweenUseAndPinIsMendedByTheGuestItself() throws {
        let scratch = try Scratch()
        let (identity, _) = try NodeFiles(directory: scratch.file("guest"), name: "guest").made()
        let inviter = try Inviter(scratch)
        let (id, link) = try inviter.invite()
        let number = try #require(InvitationID(id)).name
        _ = try inviter.store.redeem(
            number, by: identity.peerID, own: [try InterfaceAddress("10.77.0.1/24")], peers: [], pinnedNames: [],
            now: UnixTime.now)
        kill(inviter.daemon.process.processIdentifier, SIGKILL)
        inviter.daemon.process.waitUntilExit()
        // It starts all the same, on the port that the link names; the guest is counted and no peer.
        let port = try #require(inviter.endpoint.split(separator: ":").last)
        try scratch.write(
            Inviter.configuration.replacing("listen_port: 0", with: "listen_port: \(port)"), to: "server.yaml")
        let again = try RunningDaemon(["--config", "server.yaml"], in: scratch, log: "again.log")
        _ = try #require(again.event("node.ready"), "\(again.text)")
        let status = try Program.run(["status", "--json"], in: scratch)
        #expect(!status.output.contains(identity.peerID.hex))
        let other = try inviter.join(link, name: "other")
        #expect(other.status == 7, "the use is counted: \(other.errors)")
        let joined = try inviter.join(link)
        #expect(joined.status == 0, "\(joined.errors) \(again.text)")
        #expect(try KnownPeersStore(path: scratch.file("known_peers.yaml")).pin(of: identity.peerID) != nil)
        #expect(try inviter.store.guests.count == 1)
    }

    @Test func revokedWhileRunningExpiredAndForged() throws {
        let scratch = try Scratch()
        let inviter = try Inviter(scratch)
        let revoked = try inviter.invite()
        let expired = try inviter.invite(seconds: 60, started: UnixTime.now - 61)
        letTheDaemonLook()
        let done = try Program.run(["invite", "revoke", revoked.id, "--config", "server.yaml", "--json"], in: scratch)
        #expect(done.status == 0 && done.json?["action"] as? String == "revoked", "\(done.errors)")
        #expect(try JSONSchema("invites").faults(in: done.output) == [])
        letTheDaemonLook()
        let link = try InvitationLink(revoked.link)
        let forged = InvitationLink(
            endpoint: link.endpoint, peerID: link.peerID, token: [UInt8](repeating: 1, count: 16)
        ).text
        for (name, text) in [("revoked", revoked.link), ("expired", expired.link), ("forged", forged)] {
            let outcome = try inviter.join(text, name: name)
            #expect(outcome.status == 7, "\(name): \(outcome.errors)")
            #expect(outcome.errors.contains("ask for a new one") && !outcome.errors.contains(text))
            #expect(!FileManager.default.fileExists(atPath: scratch.file("\(name)/\(name).yaml")))
        }
        let reasons = inviter.daemon.text.split(separator: "\n").filter { $0.contains("invitation.refused") }
        #expect(reasons.contains { $0.contains("\"revoked\"") } && reasons.contains { $0.contains("\"expired\"") })
        #expect(try inviter.store.guests.isEmpty)
    }

    /// What an inviter gives goes into the guest's routes: nobody's network of the internet, and not all of it.
    @Test(arguments: ["8.8.8.1/24", "172.32.0.1/16"])
    func anInviterGetsNoTrafficOfTheInternet(_ network: String) throws {
        let scratch = try Scratch()
        let inviter = try Inviter(
            scratch, configuration: Inviter.configuration.replacing("10.77.0.1/24", with: network))
        let (_, link) = try inviter.invite()
        letTheDaemonLook()
        let joined = try inviter.join(link)
        #expect(joined.status == 7 && joined.errors.contains("no configuration was made"), "\(joined.errors)")
        #expect(!FileManager.default.fileExists(atPath: scratch.file("guest/guest.yaml")))
        #expect(!FileManager.default.fileExists(atPath: scratch.file("guest/guest.known_peers.yaml")))
        // Who means well is told before anybody gets a link.
        let own = Inviter.configuration.replacing("10.77.0.1/24", with: network)
            .replacing("listen_port: 0", with: "listen_port: 9000")
            .replacing("enabled: false, ", with: "")
        try scratch.write(own, to: "own.yaml")
        let invited = try Program.run(
            ["invite", "--config", "own.yaml", "--endpoint", "192.0.2.1:9000"], in: scratch)
        #expect(invited.status == 2 && invited.errors.contains("guests refuse such an invitation"), "\(invited.errors)")
    }

    @Test func anotherServerAndNoServer() throws {
        let scratch = try Scratch()
        let inviter = try Inviter(scratch)
        let link = try InvitationLink(inviter.invite().link)
        let elsewhere = InvitationLink(
            endpoint: link.endpoint, peerID: Identities.bob.publicKeys.peerID, token: link.token)
        let other = try inviter.join(elsewhere.text, ["--json"])
        #expect(other.status == 7 && other.errors.contains(link.peerID.hex), "\(other.errors)")
        #expect(try JSONSchema("error").faults(in: other.output) == [])
        #expect(inviter.daemon.end(with: SIGTERM) == 0)
        let nobody = try inviter.join(link.text, ["--timeout", "2"])
        #expect(nobody.status == 5 && nobody.errors.contains("still good"), "\(nobody.errors)")
        let own = try Program.run(["join", link.text, "--name", "server", "--dir", scratch.path], in: scratch)
        #expect(own.status != 0 && !own.errors.contains("Fatal"), "\(own.errors)")
    }

    @Test func initMakesWhatInviteAndRunTake() throws {
        let scratch = try Scratch()
        let made = try Program.run(
            [
                "init", "--role", "server", "--non-interactive", "--dir", scratch.file("a"), "--endpoint",
                "vpn.example.org:9000", "--json",
            ], in: scratch)
        try #require(made.status == 0, "\(made.errors)")
        #expect(try JSONSchema("init").faults(in: made.output) == [], "\(made.output)")
        #expect(made.json?["made_identity"] as? Bool == true)
        let checked = try Program.run(["config", "check", "a/pqvpn.yaml"], in: scratch)
        #expect(checked.status == 0 && checked.output.contains("ok"), "\(checked.output)")
        let configuration = try LoadedConfiguration(file: scratch.file("a/pqvpn.yaml")).configuration
        #expect(!configuration.security.trustsOnFirstUse && configuration.insecureSettings.isEmpty)
        #expect(configuration.tunnel.addresses.map(\.length) == [24, 64])
        // Never twice, and never another identity.
        let twice = try Program.run(
            ["init", "--role", "client", "--non-interactive", "--dir", scratch.file("a")], in: scratch)
        #expect(twice.status == 1 && twice.errors.contains("not touched"), "\(twice.errors)")
        let invited = try Program.run(
            ["invite", "--config", "a/pqvpn.yaml", "--expires", "30m", "--uses", "3", "--name", "anna", "--json"],
            in: scratch)
        #expect(invited.status == 0, "\(invited.errors)")
        #expect(try JSONSchema("invite").faults(in: invited.output) == [], "\(invited.output)")
        let link = try InvitationLink(try #require(invited.json?["link"] as? String))
        #expect(link.peerID.hex == made.json?["peer_id"] as? String && "\(link.endpoint)" == "vpn.example.org:9000")
        let client = try Program.run(["init", "--non-interactive", "--dir", scratch.file("b")], in: scratch)
        #expect(client.status == 0 && client.output.contains("pqvpn join LINK"), "\(client.errors)")
        #expect(try Program.run(["config", "check", "b/pqvpn.yaml"], in: scratch).status == 0)
    }

    @Test func whatCannotWorkIsRefusedWithWhatToDo() throws {
        let scratch = try Scratch()
        func expect(_ arguments: [String], _ status: Int32, _ words: String) throws {
            let outcome = try Program.run(arguments, in: scratch)
            #expect(
                outcome.status == status && outcome.errors.contains(words),
                "\(arguments): \(outcome.status) \(outcome.errors)")
        }
        let place = ["--non-interactive", "--dir", scratch.file("x")]
        try expect(["init", "--role", "exit", "--address", "10.0.0.1/24"] + place, 2, "none of their own inside")
        try expect(["init", "--role", "sever"] + place, 2, "did you mean 'server'?")
        try expect(["init", "--name", "../x"] + place, 2, "letters, digits")
        try expect(["init", "--address", "10.0.0.1/24"] + place, 2, "--role server")
        try expect(["init", "--role", "server", "--endpoint", "x"] + place, 2, "host:port")
        try expect(["join", "pqvpn://join/AT2g", "--dir", scratch.file("x")], 2, "cut")
        try expect(["join", "mailto:anna", "--dir", scratch.file("x")], 2, "pqvpn://join/")
        #expect(!FileManager.default.fileExists(atPath: scratch.file("x")), "a refusal leaves nothing")
        try expect(["invite", "--config", "absent.yaml"], 2, "absent.yaml")
        let server = """
            keys: { runtime_temp_keys: false }
            tunnel: { addresses: [10.77.0.1/24] }

            """
        for (text, words) in [
            (server.replacing("false", with: "true"), "runtime_temp_keys"),
            (server.replacing("/24", with: "/32"), "tunnel.addresses"),
            (server + "security: { allowlist: [\"\(String(repeating: "ab", count: 32))\"] }\n", "allowlist"),
            (server + "network: { listen_port: 0 }\n", "listen_port"),
        ] {
            try scratch.write(text, to: "s.yaml")
            try expect(["invite", "--config", "s.yaml", "--endpoint", "192.0.2.1:9000"], 2, words)
        }
        try scratch.write(server, to: "s.yaml")
        try expect(["invite", "--config", "s.yaml"], 2, "--endpoint HOST:9000")
        try expect(["invite", "--config", "s.yaml", "--endpoint", "192.0.2.1:9000", "--expires", "1y"], 2, "24h")
        try expect(["invite", "--config", "s.yaml", "--endpoint", "192.0.2.1:9000", "--uses", "0"], 2, "--uses")
        try expect(["invite", "revoke", "zz", "--config", "s.yaml"], 2, "pqvpn invites")
        try expect(["invite", "revoke", "0000beef", "--config", "s.yaml"], 2, "no invitation 0000beef")
        #expect(!scratch.names.contains("invites.yaml"))
    }
}

extension NodeFiles {
    fileprivate func made() throws -> (LoadedIdentity, isNew: Bool) {
        try prepare()
        return try identity(nickname: name, unlocker: .never)
    }
}
