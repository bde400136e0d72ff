// SPDX-License-Identifier: Apache-2.0
// A guest who comes again after the configuration gave its place to somebody else. Two peers with one network are what
// the core never has: it ends the process.
import Foundation
import Glibc
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

@Suite(.threads(.programs)) struct GuestPlaceTests {
    private static let own = [try! InterfaceAddress("10.77.0.1/24")]

    private static func id(_ number: UInt8) -> PeerID { PeerID(bytes: [UInt8](repeating: number, count: 32))! }

    private static func peer(_ number: UInt8, _ name: String, _ address: String) throws -> NodeConfiguration.Peer {
        NodeConfiguration.Peer(
            GuestRecord(
                peerID: id(number), name: name, invitation: 1, addresses: [try InterfaceAddress(address)], since: 0))
    }

    @Test func aPlaceThatIsSomebodysIsNotGivenAgain() throws {
        let scratch = try Scratch()
        let store = try InvitationStore(path: scratch.file("invites.yaml"))
        let now: UInt64 = 1_800_000_000
        let (record, _) = try store.create(name: "anna", seconds: 3600, uses: 9, now: now)
        func come(_ peers: [NodeConfiguration.Peer]) throws -> GuestRecord {
            try store.redeem(record.id, by: Self.id(1), own: Self.own, peers: peers, pinnedNames: [], now: now)
        }
        let guest = try come([])
        #expect(guest.name == "anna" && "\(guest.addresses[0])" == "10.77.0.2/24")
        // Who is elsewhere is in nobody's way.
        let again = try come([Self.peer(9, "office", "10.77.0.3/24")])
        #expect(again == guest)
        // Another one has its address, or its name, or the operator made a peer of the guest itself.
        for other in [
            try Self.peer(9, "office", "10.77.0.2/24"), try Self.peer(9, "anna", "10.77.0.3/24"),
            try Self.peer(1, "laptop", "10.77.0.3/24"),
        ] {
            #expect(throws: InvitationRefusal.self, "\(other.name)") { try come([other]) }
        }
        #expect(store.guests == [guest], "a refusal changes nothing")
    }

    @Test func aGuestWhoComesAgainEndsNoDaemon() throws {
        let scratch = try Scratch()
        for name in ["server", "office"] {
            let made = try Program.run(["keygen", "--out", "\(name).keys", "--nickname", name], in: scratch)
            #expect(made.status == 0, "\(made.errors)")
        }
        let added = try Program.run(
            ["peers", "add", "office.keys/identity.pub", "--known-peers", "known_peers.yaml"], in: scratch)
        #expect(added.status == 0, "\(added.errors)")
        let server = try DescriptorFile.read(scratch.file("server.keys/identity.pub")).keys.peerID
        let office = try DescriptorFile.read(scratch.file("office.keys/identity.pub")).keys.peerID
        let files = try NodeFiles(directory: scratch.file("guest"), name: "guest")
        try files.prepare()
        let (identity, _) = try files.identity(nickname: "guest", unlocker: .never)
        let store = try InvitationStore(path: scratch.file("invites.yaml"))
        let (record, token) = try store.create(name: "anna", seconds: 3600, uses: 1, now: UnixTime.now)
        // It was here before, and its address is another peer's by now: the configuration counts.
        let guest = try store.redeem(
            record.id, by: identity.peerID, own: Self.own, peers: [], pinnedNames: [], now: UnixTime.now)
        #expect("\(guest.addresses[0])" == "10.77.0.2/24")
        try scratch.write(
            """
            peer: { nickname: hub }
            keys: { runtime_temp_keys: false, dir: server.keys }
            network: { bind_host: 127.0.0.1, listen_port: 0 }
            tunnel: { enabled: false, addresses: [10.77.0.1/24] }
            peers: [{ name: office, peer_id: "\(office.hex)", allowed_ips: [10.77.0.2/32] }]

            """, to: "server.yaml")
        let daemon = try RunningDaemon(["--config", "server.yaml"], in: scratch, log: "server.log")
        let address = try #require(daemon.event("node.listening")?["address"] as? String, "\(daemon.text)")
        _ = try #require(daemon.event("node.ready"), "\(daemon.text)")
        let link = InvitationLink(endpoint: try EndpointName(address), peerID: server, token: token)
        let joined = try Program.run(
            ["join", link.text, "--name", "guest", "--dir", scratch.file("guest"), "--timeout", "20"], in: scratch)
        #expect(joined.status == 7, "\(joined.errors)")
        try #require(daemon.process.isRunning, "\(daemon.text)")
        #expect(daemon.event("invitation.refused", seconds: 5) != nil, "\(daemon.text)")
        #expect(daemon.end(with: SIGTERM) == 0)
    }
}
