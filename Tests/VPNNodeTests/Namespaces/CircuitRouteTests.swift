// SPDX-License-Identifier: Apache-2.0
// A circuit that a person asked for, for networks to which no route can be made: said at once, since packets would go
// there in clear.
import Foundation
import Testing

@testable import VPNNode

extension WaitingNamespaceTests {
    @Suite("Routes of circuits by command")
    struct CircuitRoutes {
        @Test("Networks that get no route are refused, and others lead into the tunnel")
        func refused() throws {
            try Stage.perform(hosts: 3, isRow: true) { stage in
                let nodes = try stage.row()
                let client = nodes[0]
                try client.event("circuit.ready")
                func build(_ name: String, _ network: String) throws -> DemoProcess.Outcome {
                    try stage.run(
                        "build", on: client.host,
                        [
                            stage.pqvpn, "circuit", "build", name, "--hops", "\(nodes[1].name),\(nodes[2].name)",
                            "--route", network, "--wait", "0",
                        ], environment: client.environment)
                }
                func routes() throws -> String {
                    try client.host.ip("-n", client.host.namespace, "route", "show", "dev", DemoHost.interface)
                }
                let good = try build("some", "10.89.0.0/24")
                #expect(good.status == 0, "\(good.errors)")
                #expect(try routes().contains("10.89.0.0/24"))
                // All there is, and the network of the first hop: both would lead the tunnel's own datagrams into it.
                for (name, network) in [("all", "0.0.0.0/0"), ("near", "10.\(Stage.outerNetworks[0]).0.0/16")] {
                    let outcome = try build(name, network)
                    let made = try routes()
                    #expect(!made.contains("default") && !made.contains(network), "\(made)")
                    #expect(outcome.status == 2 && outcome.errors.contains(network), "\(name): \(outcome)")
                }
                let circuits = try stage.run(
                    "circuits", on: client.host, [stage.pqvpn, "circuits", "--json"], environment: client.environment)
                #expect(!circuits.output.contains("\"all\"") && !circuits.output.contains("\"near\""))
            }
        }
    }
}
