// SPDX-License-Identifier: Apache-2.0
// `pqvpn init` with a service: files as the unit wants them, by fakes of runuser and systemctl that write down what they are told.
import Foundation
import Glibc
import Testing
import VPNCore

@testable import VPNNode

@Suite(.threads(.programs)) struct ServiceTests {
    private struct Place {
        let scratch = try! Scratch()
        var places = ServicePlaces()

        init(hasManager: Bool = true) throws {
            for directory in ["bin", "etc", "systemd"] {
                try FileManager.default.createDirectory(
                    atPath: scratch.file(directory), withIntermediateDirectories: false)
            }
            // The fake user is this one; what matters is who is named.
            try scratch.write(
                "#!/bin/sh\necho \"$@\" >> \(scratch.file("runuser.log"))\nshift 4\nexec \(Program.path) \"$@\"\n",
                to: "bin/runuser", mode: 0o755)
            try scratch.write(
                "#!/bin/sh\necho \"$@\" >> \(scratch.file("systemctl.log"))\n", to: "bin/systemctl", mode: 0o755)
            places.manager = hasManager ? scratch.file("systemd") : scratch.file("none")
            places.unit = try scratch.write("", to: "pqvpn@.service")
            places.dropIns = scratch.file("units")
            places.relayDropIn = try scratch.write("[Service]\nCapabilityBoundingSet=\n", to: "relay.conf")
            places.exitDropIn = try scratch.write("[Service]\nProcSubset=all\n", to: "exit.conf")
            places.state = scratch.file("state")
            places.users = try scratch.write("root:x:0:0::/:/bin/sh\npqvpn:x:921:922::/:/bin/false\n", to: "passwd")
            places.path = scratch.file("bin")
            places.mayBeElsewhere = true
        }

        func options(_ role: InitOptions.Role) -> InitOptions {
            var options = InitOptions()
            options.role = role
            options.name = "hub"
            options.directory = scratch.file("etc")
            options.service = places
            return options
        }
    }

    @Test func aServerIsInstalledForItsUser() throws {
        guard isRoot else { return print("SKIPPED: \(Test.current?.name ?? ""): this user is not root") }
        let place = try Place()
        let report = try InitReport.make(place.options(.server), passphrase: .none)
        #expect(try JSONSchema("init").faults(in: report.json) == [], "\(report.json)")
        #expect(report.unit == "pqvpn@hub" && report.madeIdentity && report.notes == [])
        #expect(report.next.contains { $0.hasPrefix("sudo -u pqvpn pqvpn invite") }, "\(report.next)")
        let runuser = try place.scratch.read("runuser.log")
        #expect(runuser.hasPrefix("-u pqvpn -- ") && runuser.contains(" keygen --out "), "\(runuser)")
        #expect(try place.scratch.read("systemctl.log") == "daemon-reload\nenable --now pqvpn@hub\n")
        // The profile is the group's to read, and everything else of the daemon is in its own directory.
        let facts = try FileManager.default.attributesOfItem(atPath: place.scratch.file("etc/hub.yaml"))
        #expect(facts[.posixPermissions] as? Int == 0o640)
        #expect((facts[.groupOwnerAccountID] as? NSNumber)?.intValue == 922)
        let state = try FileManager.default.attributesOfItem(atPath: place.scratch.file("state"))
        #expect((state[.ownerAccountID] as? NSNumber)?.intValue == 921 && state[.posixPermissions] as? Int == 0o750)
        let configuration = try LoadedConfiguration(file: place.scratch.file("etc/hub.yaml")).configuration
        for path in [
            configuration.keyDirectory, configuration.security.knownPeersFile, configuration.security.revokedFile,
            configuration.invites.file,
        ] { #expect(path.hasPrefix(place.scratch.file("state/hub.")), "\(path)") }
        // As root nobody can invite: the file would not be the daemon's.
        let refusal = failure {
            _ = try InviteCommandTarget(configurationFile: place.scratch.file("etc/hub.yaml"))
        }
        #expect(refusal?.status == .permission && refusal?.message.contains("sudo -u '#921' pqvpn") == true)
        // What is there is not touched.
        let again = failure { _ = try InitReport.make(place.options(.server), passphrase: .none) }
        #expect(again?.message.contains("is not touched") == true)
    }

    @Test func aRelayIsInstalledWithoutCapabilities() throws {
        guard isRoot else { return print("SKIPPED: \(Test.current?.name ?? ""): this user is not root") }
        let place = try Place()
        let report = try InitReport.make(place.options(.relay), passphrase: .none)
        #expect(report.notes == [] && report.addresses == [] && report.unit == "pqvpn@hub")
        #expect(
            try place.scratch.read("units/pqvpn@hub.service.d/relay.conf")
                == "[Service]\nCapabilityBoundingSet=\n")
        let configuration = try LoadedConfiguration(file: place.scratch.file("etc/hub.yaml")).configuration
        #expect(!configuration.tunnel.isEnabled && configuration.network.listenPort == 9000)
        // Where the package's drop-in was left out, that is said.
        let bare = try Place()
        try FileManager.default.removeItem(atPath: bare.scratch.file("relay.conf"))
        #expect(
            try InitReport.make(bare.options(.relay), passphrase: .none).notes.first?.contains("CAP_NET_ADMIN") == true)
    }

    @Test func anExitIsInstalledWithASightOfTheKernel() throws {
        guard isRoot else { return print("SKIPPED: \(Test.current?.name ?? ""): this user is not root") }
        let place = try Place()
        let report = try InitReport.make(place.options(.exit), passphrase: .none)
        #expect(report.notes == [] && report.unit == "pqvpn@hub", "\(report.notes)")
        #expect(try place.scratch.read("units/pqvpn@hub.service.d/exit.conf") == "[Service]\nProcSubset=all\n")
        #expect(!FileManager.default.fileExists(atPath: place.scratch.file("units/pqvpn@hub.service.d/relay.conf")))
        let bare = try Place()
        try FileManager.default.removeItem(atPath: bare.scratch.file("exit.conf"))
        #expect(try InitReport.make(bare.options(.exit), passphrase: .none).notes.first?.contains("forwards") == true)
    }

    /// The exit's file is one that a node takes, with a policy that lets out all but mail.
    @Test func anExitIsOneByItsFile() throws {
        let scratch = try Scratch()
        let made = try Program.run(
            ["init", "--role", "exit", "--name", "x", "--dir", ".", "--non-interactive", "--json"], in: scratch)
        #expect(made.status == 0 && made.json?["role"] as? String == "exit", "\(made.errors)")
        #expect(try JSONSchema("init").faults(in: made.output) == [], "\(made.output)")
        let loaded = try LoadedConfiguration(file: scratch.file("x.yaml"))
        #expect(loaded.configuration.relay.isEnabled && loaded.configuration.exit.isOpen)
        #expect(loaded.configuration.tunnel.isEnabled && loaded.warnings.isEmpty)
    }

    @Test func aRelayOfAnOrdinaryUserRuns() throws {
        let scratch = try Scratch()
        let made = try Program.run(
            ["init", "--role", "relay", "--name", "r", "--dir", ".", "--port", "39127", "--non-interactive", "--json"],
            in: scratch)
        #expect(made.status == 0, "\(made.errors)")
        #expect(try JSONSchema("init").faults(in: made.output) == [], "\(made.output)")
        #expect(try Program.run(["config", "check", "r.yaml"], in: scratch).status == 0)
        // The port that it asked for may be somebody's.
        let text = try scratch.read("r.yaml")
        #expect(text.contains("relay:\n  enabled: true\n  accept_circuits: true"), "\(text)")
        try scratch.write(text.replacing("listen_port: 39127", with: "listen_port: 0"), to: "r.yaml")
        let daemon = try RunningDaemon(["--config", "r.yaml"], in: scratch)
        #expect(daemon.event("node.ready") != nil, "\(daemon.text)")
        #expect(daemon.end(with: SIGTERM) == 0)
        for arguments in [["--address", "10.1.0.1/24"], ["--service"]] {
            let refused = try Program.run(
                ["init", "--role", "relay", "--name", "s", "--dir", ".", "--non-interactive"] + arguments, in: scratch)
            #expect(refused.status == 2, "\(refused.errors)")
        }
    }

    @Test func withoutSystemdItSaysWhatToDo() throws {
        guard isRoot else { return print("SKIPPED: \(Test.current?.name ?? ""): this user is not root") }
        let place = try Place(hasManager: false)
        let report = try InitReport.make(place.options(.server), passphrase: .none)
        #expect(!FileManager.default.fileExists(atPath: place.scratch.file("systemctl.log")))
        #expect(report.notes == ["systemd does not run here: nothing was started"])
        #expect(report.next[0].contains("systemctl enable --now pqvpn@hub"))
    }

    @Test func nothingIsMadeWithoutThePackage() throws {
        guard isRoot else { return print("SKIPPED: \(Test.current?.name ?? ""): this user is not root") }
        let place = try Place()
        try place.scratch.write("root:x:0:0::/:/bin/sh\n", to: "passwd")
        let refusal = failure { _ = try InitReport.make(place.options(.server), passphrase: .none) }
        #expect(refusal?.message.contains("Debian package") == true)
        #expect(!FileManager.default.fileExists(atPath: place.scratch.file("state")))
        #expect(!FileManager.default.fileExists(atPath: place.scratch.file("etc/hub.yaml")))
        let client = failure { _ = try InitReport.make(place.options(.client), passphrase: .none) }
        #expect(client?.status == .usage && client?.message.contains("a client joins first") == true)
    }

    private func failure(_ body: () throws -> Void) -> NodeFailure? { VPNNodeTests.failure(of: body) }

    // MARK: At a terminal

    @Test func aPersonIsAsked() throws {
        let scratch = try Scratch()
        let outcome = try Typist.run(
            "\(Program.path) init --dir d --address 10.66.0.1/24",
            answering: [
                ("Role, client, server, relay or exit [client]: ", "server"),
                ("Where others find this host, host:port [not yet]: ", "vpn.example.org:9000"), ("Next:", nil),
            ], in: scratch)
        guard let outcome else { return }
        #expect(outcome.status == 0, "\(outcome.output)")
        let text = try scratch.read("d/pqvpn.yaml")
        #expect(text.contains("endpoint: \"vpn.example.org:9000\"") && text.contains("10.66.0.1/24"), "\(text)")
        // Just Return, a word that is none, and the end of what is typed.
        let client = try Typist.run("\(Program.path) init --dir e", answering: [("[client]: ", "")], in: scratch)
        #expect(
            client?.status == 0 && client?.output.contains("sudo pqvpn join LINK") == true, "\(client?.output ?? "")")
        let wrong = try Typist.run("\(Program.path) init --dir f", answering: [("[client]: ", "sever")], in: scratch)
        #expect(wrong?.status == 2 && wrong?.output.contains("did you mean 'server'?") == true)
        let none = try Typist.run("\(Program.path) init --dir f", answering: [("[client]: ", "\u{4}")], in: scratch)
        #expect(none?.status == 2 && none?.output.contains("--non-interactive") == true, "\(none?.output ?? "")")
        #expect(!scratch.names.contains("f"))
    }
}
