// SPDX-License-Identifier: Apache-2.0
// docs/operations.md: whose pin the operator takes away has no session any more. That a guest may repeat a join that
// was cut short must not bring back one that was whole, by a link that is used up.
import Foundation
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

@Suite(.threads(.programs)) struct RemovedGuestTests {
    private static let configuration = """
        peer: { nickname: hub }
        keys: { runtime_temp_keys: false, dir: server.keys }
        network: { bind_host: 127.0.0.1, listen_port: 0 }
        tunnel: { enabled: false, addresses: [10.77.0.1/24] }

        """

    @Test func aGuestWhosePinWasTakenAwayDoesNotComeBackByItsLink() throws {
        let scratch = try Scratch()
        let made = try Program.run(["keygen", "--out", "server.keys", "--nickname", "hub"], in: scratch)
        #expect(made.status == 0, "\(made.errors)")
        try scratch.write(Self.configuration, to: "server.yaml")
        let store = try InvitationStore(path: scratch.file("invites.yaml"))
        let (_, token) = try store.create(name: "anna", seconds: 3600, uses: 1, now: UnixTime.now)
        let daemon = try RunningDaemon(["--config", "server.yaml"], in: scratch, log: "server.log")
        let endpoint = try #require(daemon.event("node.listening")?["address"] as? String, "\(daemon.text)")
        #expect(daemon.event("node.ready") != nil, "\(daemon.text)")
        let hub = try DescriptorFile.read(scratch.file("server.keys/identity.pub")).keys.peerID
        let link = InvitationLink(endpoint: try EndpointName(endpoint), peerID: hub, token: token).text
        let arguments = ["join", link, "--name", "guest", "--dir", scratch.file("guest")]
        let first = try Program.run(arguments, in: scratch)
        try #require(first.status == 0, "\(first.errors) \(daemon.text)")
        let guest = try DescriptorFile.read(scratch.file("guest/guest.keys/identity.pub")).keys.peerID
        let pinned = try KnownPeersStore(path: scratch.file("known_peers.yaml")).pin(of: guest)
        #expect(pinned?.name == "anna")
        let removed = try Program.run(["peers", "remove", "anna", "--config", "server.yaml"], in: scratch)
        #expect(removed.status == 0, "\(removed.errors)")
        let path = try ControlPlace.find(socket: nil, node: "hub", environment: Program.environment(scratch))
        var client = try ControlClient(path: path)
        _ = try client.ask(ControlRequest(.look), as: ControlReport.self)
        // Whoever means no good keeps the identity and the link.
        try FileManager.default.removeItem(atPath: scratch.file("guest/guest.yaml"))
        let again = try Program.run(arguments, in: scratch)
        #expect(again.status == 7, "\(again.status) \(again.errors)")
        let known = try KnownPeersStore(path: scratch.file("known_peers.yaml")).pin(of: guest)
        #expect(known == nil, "pinned again, as \(known?.origin.rawValue ?? "")")
        #expect(!FileManager.default.fileExists(atPath: scratch.file("guest/guest.yaml")))
        #expect(daemon.end(with: SIGTERM) == 0)
    }
}
