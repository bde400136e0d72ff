// SPDX-License-Identifier: Apache-2.0
// What `pqvpn quilt` says, from made-up reports: shares of a time, rates that are known and those that are not.
import Testing

@testable import VPNNode

@Suite struct QuiltReportTests {
    private func path(
        _ number: Int, out: UInt64, in: UInt64, share: (Double, Double) = (0, 0), isRateKnown: Bool = true,
        rate: Double = 8e6, state: String = "up"
    ) -> QuiltReport.Path {
        QuiltReport.Path(
            number: number, endpoint: "192.0.2.\(number):9000", interface: number == 1 ? "wwan0" : nil, state: state,
            roundTripSeconds: state == "up" ? 0.02 : nil, jitterSeconds: 0.001, loss: 0.019, bitsPerSecond: rate,
            isRateKnown: isRateKnown, mtu: 1400, packetsOut: 1, bytesOut: out, packetsIn: 1, bytesIn: `in`,
            shareOut: share.0, shareIn: share.1, heardSecondsAgo: 0.1)
    }

    private func report(_ paths: [QuiltReport.Path], joining: Int = 0) -> QuiltReport {
        QuiltReport(quilts: [
            QuiltReport.Quilt(
                peer: "bob", scheduler: "edpf", paths: paths,
                joining: (0..<joining).map { _ in QuiltReport.Joining(endpoint: "192.0.2.9:9000", interface: "eth9") },
                mtu: 1400, waited: 7, late: 2, expired: 1, crowded: 3, sentAgain: 5)
        ])
    }

    @Test func sharesAreOfTheTimeBetweenTwoLooks() {
        let before = report([path(0, out: 1000, in: 0), path(1, out: 1000, in: 500)])
        let shares = report([path(0, out: 1300, in: 0), path(1, out: 1100, in: 500)]).since(before).quilts[0].paths
        #expect(shares.map(\.shareOut) == [0.75, 0.25] && shares.map(\.shareIn) == [0, 0])
        // A path that came meanwhile, and a session that is new.
        let more = report([path(0, out: 1100, in: 0), path(2, out: 300, in: 100)]).since(before).quilts[0].paths
        #expect(more.map(\.shareOut) == [0.25, 0.75] && more.map(\.shareIn) == [0, 1])
        let anew = report([path(0, out: 100, in: 0), path(1, out: 1500, in: 0)]).since(before).quilts[0].paths
        #expect(anew.map(\.shareOut) == [0.0625, 0.9375])
    }

    @Test func theTableSaysWhatIsKnown() {
        let text = report(
            [
                path(0, out: 1, in: 1, share: (0.55, 1)),
                path(1, out: 1, in: 1, share: (0.45, 0), isRateKnown: false, rate: 118e6, state: "down"),
            ], joining: 1
        ).text
        for part in [
            "bob  1 of 3 paths up, edpf\n", "192.0.2.0:9000 ", "192.0.2.1:9000 by wwan0  down", "≥ 118.0 Mbit/s",
            "  8.0 Mbit/s      55 %  100 %  1400", "20.00 ms  1.00 ms  1.9 %",
            "joining  192.0.2.9:9000 by eth9: nothing comes back from there yet",
            "7 packets waited for earlier ones, 2 came too late, 4 gaps given up; 5 sent again by another path",
        ] { #expect(text.contains(part), "\(part)\n\(text)") }
        #expect(QuiltReport(quilts: []).text.contains("peers[].quilt"))
    }
}
