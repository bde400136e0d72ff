// SPDX-License-Identifier: Apache-2.0
// Paths as metrics, from made-up ones: each in its class, guests without a name.
import Testing

@testable import VPNCore
@testable import VPNNode

@Suite struct QuiltObservationTests {
    private func patch(_ number: Int, _ carrier: Carrier, trip: Int, loss: Int = 0, sent: UInt64) -> PatchSnapshot {
        PatchSnapshot(
            number: number, carrier: carrier, state: .up, roundTrip: .milliseconds(trip), variation: .zero,
            jitter: .zero, lossPerMille: loss, rate: 0, isRateKnown: false, mtu: nil, packetsSent: 1, bytesSent: sent,
            packetsReceived: 1, bytesReceived: sent / 2, heardAgo: nil)
    }

    private func quilt(_ patches: [PatchSnapshot]) -> QuiltSnapshot {
        QuiltSnapshot(scheduler: .edpf, patches: patches, joining: [], resequencing: .init(), sentAgain: 1, mtu: nil)
    }

    @Test func everyPathHasItsClass() {
        let near = Carrier.udp(Endpoint(v4: 1, port: 1))
        let (one, other) = (
            Carrier.circuit(CircuitPlace(outer: 1, id: 1)), Carrier.circuit(CircuitPlace(outer: 2, id: 1))
        )
        let observation = QuiltObservation(
            quilts: [
                ("bob", quilt([patch(0, near, trip: 10, sent: 100), patch(1, near, trip: 20, loss: 5, sent: 200)])),
                ("home", quilt([patch(0, one, trip: 50, sent: 1000), patch(2, other, trip: 40, loss: 7, sent: 2000)])),
            ], ofGuests: [quilt([patch(0, one, trip: 90, sent: 4000), patch(1, other, trip: 1, sent: 8000)])],
            isPerPeer: true)
        func values(_ description: MetricDescription) -> [String: Double] {
            let family = observation.families.first { $0.description.name == description.name }
            return Dictionary((family?.samples ?? []).map { ($0.labels.map(\.value).joined(separator: "/"), $0.value) })
            { $0 + $1 }
        }
        #expect(values(MetricTable.quilts) == ["": 3])
        #expect(values(MetricTable.quiltPaths)["up"] == 6)
        #expect(values(MetricTable.quiltSent) == ["first": 100, "added": 200, "circuit": 15000])
        #expect(values(MetricTable.quiltReceived) == ["first": 50, "added": 100, "circuit": 7500])
        #expect(values(MetricTable.quiltRoundTrip) == ["first": 0.01, "added": 0.02, "circuit": 0.09])
        #expect(values(MetricTable.quiltLoss) == ["first": 0, "added": 0.005, "circuit": 0.007])
        #expect(values(MetricTable.quiltResent) == ["": 3])
        // A guest is nobody.
        #expect(values(MetricTable.pathSent) == ["bob/0": 100, "bob/1": 200, "home/0": 1000, "home/2": 2000])
    }
}
