// SPDX-License-Identifier: Apache-2.0
// An exit's own address in the tunnel, where its resolver listens: programs of the exit's host reach it as well, by
// loopback.
import Foundation
import Testing
import VPNCore

@testable import VPNNode

extension NamespaceTests {
    @Suite("An exit's own address")
    struct ExitOwnAddress {
        private static let (own, guest) = ("10.66.0.1", "10.66.0.9")

        @Test("The table that keeps others from being guests keeps the host from nothing that is its own")
        func loopback() throws {
            guard DemoTools.path(of: "nft") != nil else {
                return print("SKIPPED: \(Test.current?.name ?? ""): there is no nft")
            }
            try Stage.perform { stage in
                let (host, other) = (stage.hosts[0], stage.hosts[1])
                try host.ip("-n", host.namespace, "tuntap", "add", "dev", DemoHost.interface, "mode", "tun")
                try host.ip("-n", host.namespace, "address", "add", "\(Self.own)/16", "dev", DemoHost.interface)
                try host.ip("-n", host.namespace, "link", "set", DemoHost.interface, "up")
                // Somebody else has a guest's address, and the way back leads there.
                try other.ip("-n", other.namespace, "address", "add", "\(Self.guest)/32", "dev", "lo")
                try host.ip("-n", host.namespace, "route", "add", "\(Self.guest)/32", "via", other.outerIPv4)
                #expect(try stage.answers(Self.own, from: host), "without a table")
                #expect(try stage.ping(host.outerIPv4, from: other, source: Self.guest)?.received == 3)
                let table = ExitTable(
                    policy: .allowAll,
                    surroundings: ExitSurroundings(addresses: [IPAddress(Self.own)!], port: 9000, closed: []),
                    interface: DemoHost.interface, networks: [try IPPrefix("10.66.0.0/16")], masquerades: true,
                    newConnectionsPerSecond: 50, connections: 2048)
                let path = "\(stage.scratch)/exit.nft"
                try Data(table.replacement.utf8).write(to: URL(filePath: path))
                try stage.tool("nft", "-f", path, on: host)
                #expect(try stage.answers(Self.own, from: host))
                // Who poses as a guest is refused, and is no stranger otherwise.
                #expect(try stage.ping(host.outerIPv4, from: other, source: Self.guest)?.received == 0)
                #expect(try stage.answers(host.outerIPv4, from: other))
            }
        }
    }
}
