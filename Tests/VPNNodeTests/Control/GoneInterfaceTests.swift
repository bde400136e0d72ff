// SPDX-License-Identifier: Apache-2.0
// The first line of a status, which is all that many read, of a node whose interface is gone: sessions are there, and
// packets leave by other routes.
import Testing

@testable import VPNNode

@Suite struct GoneInterfaceTests {
    private func headline(isUp: Bool, state: String, isLockedDown: Bool = false) -> String {
        let peer = StatusReport.Peer(
            name: "bob", peerID: nil, state: state, isConfigured: true, endpoint: "192.0.2.1:9000",
            allowedIPs: ["10.0.0.0/8"], roundTripSeconds: nil, pathMTU: nil, failures: 0, retryInSeconds: nil,
            session: nil)
        var facts = HealthFacts()
        facts.isTunnelGone = !isUp
        facts.isLockedDown = isLockedDown
        let report = StatusReport(
            verdict: StatusReport.verdict([peer], isTunnelGone: !isUp), version: "0", pid: 1, nickname: "n",
            peerID: String(repeating: "a", count: 64), isTemporary: false, configuration: "c.yaml", uptimeSeconds: 1,
            listening: "[::]:9000",
            tunnel: StatusReport.Tunnel(name: "pqvpn0", addresses: [], mtu: 1416, isUp: isUp),
            traffic: StatusReport.Traffic(
                packetsOut: 0, bytesOut: 0, packetsIn: 0, bytesIn: 0, wireBytesOut: 0, wireBytesIn: 0),
            peers: [peer], drops: [:], health: HealthCheck.findings(facts, peers: [peer], drops: [:]))
        return report.text.split(separator: "\n").first.map(String.init) ?? ""
    }

    @Test func withoutAnInterfaceNothingIsPromised() {
        let whole = headline(isUp: true, state: "idle")
        #expect(whole.hasPrefix("NOT CONNECTED: no peer has a session") && whole.contains("none leaves in the clear"))
        let gone = headline(isUp: false, state: "connected")
        #expect(gone.hasPrefix("NOT CONNECTED"), "\(gone)")
        #expect(!gone.contains("none leaves in the clear"), "\(gone)")
        #expect(!gone.contains("no peer has a session"), "it has one: \(gone)")
        #expect(gone.contains("interface"), "\(gone)")
        // Behind a lockdown they stay, and nobody is frightened.
        let locked = headline(isUp: false, state: "connected", isLockedDown: true)
        #expect(locked.contains("interface") && !locked.contains("in clear"), "\(locked)")
    }
}
