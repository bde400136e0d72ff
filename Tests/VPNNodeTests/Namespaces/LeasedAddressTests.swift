// SPDX-License-Identifier: Apache-2.0
// An exit that gives its guest an address that the guest's host has already: the table that keeps neighbours from inner
// addresses must not keep them, nor anything else that comes by the cable, from the host.
//
//     host d ── uplink0, 10.96.0.2: host b, the guest ══ host a, the relay ══ host c, an exit that gives 10.96.0.2
import Foundation
import Testing

@testable import VPNNode

extension WaitingNamespaceTests {
    @Suite("A lease of what the host has")
    struct LeasedAddress {
        private static let own = "10.96.0.2"

        private func prepare(_ stage: Stage) throws -> StageClient {
            let (relay, guest) = (try stage.node(on: stage.hosts[0]), try stage.node(on: stage.hosts[1]))
            let exit = try stage.node(on: stage.hosts[2])
            try DemoHost.connect(stage.hosts[1], stage.hosts[3], by: "uplink0", network: 96)
            try relay.befriend(
                exit, endpoint: "10.\(Stage.outerNetworks[1]).0.3:\(StageConfiguration.port)", allowedIPs: [])
            try relay.befriend(guest, allowedIPs: [])
            try exit.befriend(relay, allowedIPs: [])
            try guest.befriend(
                relay, endpoint: "10.\(Stage.outerNetworks[0]).0.1:\(StageConfiguration.port)", allowedIPs: [])
            try guest.pin(exit)
            relay.configuration.extraLines = ["relay: true"]
            exit.configuration.addresses = []
            // Two addresses, of which one is the exit's own.
            exit.configuration.extraLines = [
                "relay: { enabled: true, exit_policy: [\"accept self:53\", \"accept icmp/self\"] }",
                "exit: { networks: [10.96.0.0/30], dns: [10.96.0.1] }",
            ]
            guest.configuration.extraTunnelKeys = "allow_lan: [10.96.0.0/24]"
            let id = try #require(exit.hexPeerID)
            guest.configuration.extraLines = [
                "  - name: \(exit.name)", "    peer_id: \"\(id)\"", "    via: [\(relay.name)]", "    exit: true",
                "    allowed_ips: [0.0.0.0/0]", "dns: { mode: file }",
            ]
            try relay.start()
            try exit.start()
            return try StageClient(guest, on: stage)
        }

        @Test("What the host has on another interface stays reachable there, whatever an exit says")
        func ownAddress() throws {
            guard DemoTools.path(of: "nft") != nil else {
                return print("SKIPPED: \(Test.current?.name ?? ""): there is no nft")
            }
            try Stage.perform(hosts: 4) { stage in
                let client = try prepare(stage)
                defer { client.clear() }
                let neighbour = stage.hosts[3]
                #expect(try stage.answers(Self.own, from: neighbour))
                try client.up()
                // What else the lease says is settled with its address.
                try DemoProcess.wait(60, for: "the exit's name server") {
                    try String(contentsOfFile: client.resolverFile, encoding: .utf8).contains("nameserver 10.96.0.1\n")
                }
                let table = try client.tool(["nft", "list", "table", "inet", InnerFence.table(DemoHost.interface)])
                #expect(!table.contains(Self.own), "\(table)")
                #expect(try stage.answers(Self.own, from: neighbour))
                // Inner addresses of its own are fenced as ever.
                #expect(table.contains(client.node.host.innerIPv4))
                try client.run("down")
                #expect(try stage.answers(Self.own, from: neighbour))
            }
        }
    }
}
