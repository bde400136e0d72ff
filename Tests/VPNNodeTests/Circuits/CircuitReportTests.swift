// SPDX-License-Identifier: Apache-2.0
// What people are told of a path whose hops are not as far apart as they should be.
import Testing

@testable import VPNNode

@Suite struct CircuitReportTests {
    private func circuit(_ shared: [String]?) -> CircuitsReport.Own {
        CircuitsReport.Own(
            name: "circuit", origin: "configuration", state: "ready",
            hops: ["r1", "r2"].map { .init(name: $0, peerID: String(repeating: "ab", count: 32)) },
            networks: ["10.99.0.0/16"], shared: shared, since: nil, ageSeconds: nil, replacesInSeconds: nil,
            replaced: 0,
            mtu: nil, session: nil, failures: 0, retryInSeconds: nil, lastFailure: nil)
    }

    @Test func relaxedDiversityIsSeen() throws {
        let relay = CircuitsReport.Relay(isEnabled: false, circuits: 0, guests: 0, packets: 0, bytes: 0)
        let report = CircuitsReport(circuits: [circuit(["operator", "network"])], relay: relay)
        #expect(report.text.contains("circuit: two hops have one operator, one network (circuit.relax_diversity)"))
        #expect(try JSONSchema("circuits").faults(in: report.json) == [])
        #expect(CircuitReport(report.circuits[0]).text.contains("  diversity  two hops have one operator, one network"))
        let found = HealthCheck.findings(HealthFacts(), peers: [], drops: [:], circuits: report.circuits)
        #expect(found.map(\.code) == ["PATH_NOT_DIVERSE"] && found[0].severity == "warning")
    }

    @Test func hopsThatAreApartAreNotSpokenOf() throws {
        for shared in [nil, []] as [[String]?] {
            #expect(CircuitReport(circuit(shared)).circuit.sharedText == nil)
            #expect(HealthCheck.findings(HealthFacts(), peers: [], drops: [:], circuits: [circuit(shared)]).isEmpty)
        }
    }
}
