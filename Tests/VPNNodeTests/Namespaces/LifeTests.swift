// SPDX-License-Identifier: Apache-2.0
// How daemons end, by request and by force, and how the other side gets over it.
//
//     host a: pqvpn0 ══ outer0 ───── outer0 ══ pqvpn0: host b
import Foundation
import Glibc
import Testing

@testable import VPNNode

extension WaitingNamespaceTests {
    @Suite("Life and death")
    struct Life {
        @Test("A daemon that is asked to end says goodbye, and its next run is reached without a restart of the other")
        func termination() throws {
            try Stage.perform { stage in
                let (a, b) = try stage.pair()
                try stage.reach(b.host.innerIPv4, from: a.host)
                for (ending, other) in [(b, a), (a, b)] {
                    let established = other.events("session.established").count
                    #expect(try ending.end(SIGTERM) == 0)
                    #expect(!ending.host.hasInterface)
                    try other.event("session.ended") { $0["reason"] == "closed_by_peer" }
                    try ending.start()
                    // Only a knows an address to call, and nobody sends anything.
                    try ending.event("session.confirmed")
                    #expect(try stage.answers(a.host.innerIPv6, from: b.host))
                    #expect(try stage.answers(b.host.innerIPv4, from: a.host))
                    #expect(other.events("session.established").count > established)
                }
                #expect(try a.end(SIGINT) == 0)
            }
        }

        @Test("A daemon that was killed is found again by the side that survived, without any traffic")
        func death() throws {
            try Stage.perform { stage in
                let (a, b) = try stage.pair(keepalive: 1)
                try stage.reach(b.host.innerIPv4, from: a.host)
                #expect(try b.end(SIGKILL) == 128 + SIGKILL)
                #expect(!b.host.hasInterface)
                // b has no address to call, so that whatever session it gets is a's doing.
                try b.start()
                try a.event("peer.silent", within: 60)
                let session = try b.event("session.confirmed", within: 60)
                #expect(session["role"] == "responder")
                #expect(try stage.answers(a.host.innerIPv4, from: b.host))
            }
        }

        @Test("The directory of temporary keys goes with its daemon, or with the next start after a kill")
        func temporaryKeys() throws {
            try Stage.perform(hosts: 1) { stage in
                let node = try stage.node(on: stage.hosts[0], persistent: false)
                node.configuration.hasTunnel = false
                node.configuration.addresses = []
                try node.start()
                let orphan = try #require(node.runtimeDirectories.first)
                #expect(node.runtimeDirectories.count == 1)
                let attributes = try FileManager.default.attributesOfItem(atPath: orphan)
                #expect(attributes[.posixPermissions] as? Int == 0o700)
                try node.end(SIGKILL)
                #expect(node.runtimeDirectories == [orphan])

                for signal in [SIGTERM, SIGINT] {
                    try node.start()
                    #expect(node.runtimeDirectories.count == 1)
                    #expect(node.runtimeDirectories != [orphan])
                    #expect(try node.end(signal) == 0)
                    #expect(node.runtimeDirectories == [])
                }
            }
        }
    }
}
