// SPDX-License-Identifier: Apache-2.0
// Whoever reloads by the command reads its answer, and not the log: what the node took and could not do is in it.
import Foundation
import Glibc
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

@Suite(.threads(.programs)) struct ReloadWarningTests {
    private static let quiet =
        "peer: { nickname: n }\nnetwork: { listen_port: 0, bind_host: 127.0.0.1 }\ntunnel: { enabled: false }\n"

    @Test func whatCouldNotBeDoneIsInTheAnswer() throws {
        let scratch = try Scratch()
        #expect(try Program.run(["keygen", "--out", "far", "--nickname", "far"], in: scratch).status == 0)
        let id = try DescriptorFile.read(scratch.file("far/identity.pub")).keys.peerID.hex
        let added = try Program.run(
            ["peers", "add", "far/identity.pub", "--known-peers", "known_peers.yaml"], in: scratch)
        #expect(added.status == 0, "\(added.errors)")
        try scratch.write(Self.quiet, to: "c.yaml")
        let daemon = try RunningDaemon(["--config", "c.yaml"], in: scratch)
        #expect(daemon.event("node.ready") != nil, "\(daemon.text)")
        func reload(_ endpoint: String) throws -> ReloadReport {
            try scratch.write(
                Self.quiet + "peers: [{ name: far, peer_id: \"\(id)\", endpoint: \"\(endpoint)\" }]\n", to: "c.yaml")
            let outcome = try Program.run(["reload", "--json"], in: scratch)
            #expect(outcome.status == 0, "\(outcome.errors)")
            return try JSONDecoder().decode(ReloadReport.self, from: Data(outcome.output.utf8))
        }
        let good = try reload("127.0.0.1:9")
        #expect(good.applied == ["peers.far"] && good.warnings == [])
        // This socket is of IPv4 alone: the peer is never called there.
        let report = try reload("[2001:db8::1]:9")
        #expect(daemon.text.contains("has no address of a family"), "\(daemon.text)")
        #expect(report.applied == ["peers.far.endpoint"])
        #expect(report.warnings.contains { $0.contains("[2001:db8::1]:9") }, "\(report)")
        #expect(daemon.end(with: SIGTERM) == 0)
    }
}
