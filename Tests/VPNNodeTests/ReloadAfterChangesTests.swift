// SPDX-License-Identifier: Apache-2.0
// A reload, or a look, right after a command changed a file: the answer is about the file as it is, and not as it was
// some seconds ago.
import Foundation
import Testing

@testable import VPNNode

@Suite(.serialized, .threads(.programs)) struct ReloadAfterChangesTests {
    private static let quiet = """
        peer: { nickname: n }
        network: { listen_port: 0, bind_host: 127.0.0.1 }
        tunnel: { enabled: false }

        """

    @Test func aPeerThatWasPinnedJustNowIsTaken() throws {
        let scratch = try Scratch()
        let made = try Program.run(["keygen", "--out", "bobs", "--nickname", "bob", "--json"], in: scratch)
        let bob = try #require(made.json?["peer_id"] as? String, "\(made.errors)")
        try scratch.write(Self.quiet, to: "c.yaml")
        let daemon = try RunningDaemon(["--config", "c.yaml"], in: scratch)
        #expect(daemon.event("node.ready") != nil, "\(daemon.text)")
        try scratch.write(Self.quiet + "peers: [{ name: bob, peer_id: \"\(bob)\" }]\n", to: "c.yaml")
        let early = try Program.run(["reload"], in: scratch)
        #expect(early.status == 2 && early.errors.contains("is not pinned"), "\(early.errors)")
        // What it says is to be done is done, and the same command again.
        let added = try Program.run(["peers", "add", "bobs/identity.pub", "--config", "c.yaml"], in: scratch)
        #expect(added.status == 0, "\(added.errors)")
        let trial = try Program.run(["reload", "--dry-run"], in: scratch)
        #expect(trial.status == 0, "\(trial.errors)")
        let done = try Program.run(["reload", "--json"], in: scratch)
        #expect(done.status == 0, "\(done.errors)")
        #expect(done.json?["applied"] as? [String] == ["peers.bob"], "\(done.output)")
        #expect(daemon.end(with: SIGTERM) == 0)
    }

    /// `pqvpn invite` tells its guest by this answer that the running node takes the link from now on.
    @Test func aLookThatCouldNotReadDoesNotSayThatItDid() throws {
        let scratch = try Scratch()
        try scratch.write(Self.quiet, to: "c.yaml")
        let daemon = try RunningDaemon(["--config", "c.yaml"], in: scratch)
        #expect(daemon.event("node.ready") != nil, "\(daemon.text)")
        let path = try ControlPlace.find(socket: nil, node: "n", environment: Program.environment(scratch))
        var client = try ControlClient(path: path)
        let good = try client.ask(ControlRequest(.look), as: ControlReport.self)
        #expect(good.text.contains("as on disk"), "\(good.text)")
        try scratch.write("nothing that pqvpn wrote\n", to: "invites.yaml")
        // The second time it is no news to the node, and as untrue.
        for round in 1...2 {
            var words = ""
            do {
                words = try client.ask(ControlRequest(.look), as: ControlReport.self).text
            } catch { words = NodeFailure(error).message }
            #expect(!words.contains("as on disk"), "\(round): \(words)")
        }
        #expect(daemon.event("trust.not_read") != nil, "\(daemon.text)")
        #expect(daemon.end(with: SIGTERM) == 0)
    }
}
