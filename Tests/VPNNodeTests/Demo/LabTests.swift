// SPDX-License-Identifier: Apache-2.0
// The lab by the program as it was built: up, all to all, down, and what it says to those who ask for too much.
import Foundation
import Testing

@testable import VPNNode

@Suite(.serialized) struct LabTests {
    private func pqvpn(_ arguments: String...) throws -> Program.Outcome {
        try Program.launch([Program.path, "lab"] + arguments, in: Scratch())
    }

    @Test func hostsReachEachOtherAndAreGoneAfterwards() throws {
        guard isRoot else {
            print("SKIPPED: \(#fileID): only root has a lab")
            return
        }
        guard !FileManager.default.fileExists(atPath: Lab.usualDirectory) else {
            print("SKIPPED: \(#fileID): somebody has a lab on this machine")
            return
        }
        let none = try pqvpn("ping")
        #expect(none.status == 1 && none.errors.contains("pqvpn lab up"))
        let up = try pqvpn("up", "3", "--json")
        defer { _ = try? pqvpn("down") }
        #expect(up.status == 0, "\(up.errors)")
        #expect((up.json?["hosts"] as? [Any])?.count == 3)
        #expect(try pqvpn("up", "2").errors.contains("pqvpn lab down"), "one lab at a time")
        let ping = try pqvpn("ping", "--json")
        #expect(ping.status == 0 && ping.json?["ok"] as? Bool == true, "\(ping.output) \(ping.errors)")
        let matrix = try #require(ping.json?["milliseconds"] as? [[Any]])
        #expect(matrix.joined().filter { !($0 is NSNull) }.count == 6)
        let inside = try pqvpn("exec", "2", "--", "cat", "/proc/sys/net/ipv4/conf/pqvpn0/forwarding")
        #expect(inside.status == 0, "\(inside.errors)")
        #expect(try pqvpn("exec", "4", "--", "true").status == 2)
        let down = try pqvpn("down")
        #expect(down.status == 0, "\(down.errors)")
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/run/netns")) ?? []
        #expect(!names.contains { $0.hasPrefix("pqvpn-lab-") })
        #expect(!FileManager.default.fileExists(atPath: Lab.usualDirectory))
    }

    @Test func countsAreBounded() throws {
        for count in ["1", "33", "x"] { #expect(try pqvpn("up", count).status == 2) }
    }

    @Test func theMatrixTellsWhatIsMissing() {
        let hosts = (1...2).map {
            LabReport.Host(name: "host\($0)", namespace: "n\($0)", outer: ["o"], inner: ["i", "j"], socket: "s")
        }
        let report = LabReport(hosts: hosts, matrix: [[nil, 0.5], [nil, nil]])
        #expect(!report.ok)
        #expect(report.text.contains("none") && report.text.contains("0.50"))
        #expect(LabReport(hosts: hosts, matrix: [[nil, 0.5], [0.25, nil]]).ok)
    }
}
