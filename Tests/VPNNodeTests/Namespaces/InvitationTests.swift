// SPDX-License-Identifier: Apache-2.0
// From nothing to a tunnel by the commands of the first run: init, invite, join, ping.
//
//     host a: init, invite ── outer0 ───── outer0 ── host b: join LINK
import Foundation
import Glibc
import Testing

@testable import VPNNode

extension WaitingNamespaceTests {
    @Suite("First run")
    struct FirstRun {
        @Test(
            "init, invite, join: two hosts that have nothing of each other ping through the tunnel, and after restarts")
        func fromNothing() throws {
            try Stage.perform { stage in
                let (a, b) = (stage.hosts[0], stage.hosts[1])
                let places = [a, b].map { "\(stage.scratch)/first-\($0.letter)" }
                func pqvpn(_ host: DemoHost, _ arguments: [String]) throws -> String {
                    let outcome = try stage.run(
                        "pqvpn", on: host, [stage.pqvpn] + arguments, within: 60,
                        environment: ["XDG_RUNTIME_DIR": places[host.letter == "a" ? 0 : 1]])
                    try #require(outcome.status == 0, "\(arguments): \(outcome.errors)")
                    return outcome.output
                }
                func daemon(_ number: Int) throws -> DemoProcess {
                    let directory = places[number]
                    let process = try stage.start(
                        "first", on: stage.hosts[number], [stage.pqvpn, "run", "--config", "\(directory)/pqvpn.yaml"],
                        environment: ["XDG_RUNTIME_DIR": directory])
                    try DemoProcess.wait(30, for: "the daemon of host \(stage.hosts[number].letter)") {
                        process.errors.contains("node.ready")
                    }
                    return process
                }
                _ = try pqvpn(
                    a,
                    [
                        "init", "--role", "server", "--non-interactive", "--dir", places[0], "--endpoint",
                        "\(a.outerIPv4):9000", "--address", "10.66.0.1/24", "--address", "fd66::1/64",
                    ])
                var server = try daemon(0)
                let made = try pqvpn(a, ["invite", "--config", "\(places[0])/pqvpn.yaml", "--name", "b", "--json"])
                let json = try #require(
                    JSONSerialization.jsonObject(with: Data(made.utf8)) as? [String: Any])
                let link = try #require(json["link"] as? String)
                // The daemon was told.
                #expect(json["taken"] as? Bool == true)
                _ = try pqvpn(b, ["join", link, "--dir", places[1]])
                var guest = try daemon(1)
                try stage.reach("10.66.0.2", from: a)
                #expect(try stage.answers("10.66.0.1", from: b))
                #expect(try stage.answers("fd66::1", from: b))
                #expect(try stage.answers("fd66::2", from: a))
                server.send(SIGTERM)
                #expect(try server.finish(within: 30).status == 0)
                server = try daemon(0)
                try stage.reach("10.66.0.1", from: b, within: 60)
                guest.send(SIGTERM)
                #expect(try guest.finish(within: 30).status == 0)
                guest = try daemon(1)
                try stage.reach("10.66.0.1", from: b)
                let late = try stage.run(
                    "late", on: b, [stage.pqvpn, "join", link, "--name", "late", "--dir", "\(stage.scratch)/late"],
                    within: 60)
                #expect(late.status == 7 && late.errors.contains("used, expired or revoked"), "\(late.errors)")
                #expect(server.isRunning && guest.isRunning)
            }
        }

        @Test("The script that shows the first run leads from nothing to a tunnel, and leaves nothing behind")
        func script() throws {
            guard let (tools, pqvpn) = Stage.requirements() else { return }
            let scratch = try Scratch()
            let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .deletingLastPathComponent().deletingLastPathComponent().path
            func namespaces() throws -> String {
                try Program.launch([tools.ip, "netns", "list"], in: scratch).output
            }
            let outcome = try Program.launch(
                ["/bin/bash", "\(root)/scripts/first-run", "--program", pqvpn], in: scratch)
            #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
            #expect(outcome.output.contains("from nothing to a tunnel in"))
            #expect(try !namespaces().contains("pqvpn-first"))
        }
    }
}
