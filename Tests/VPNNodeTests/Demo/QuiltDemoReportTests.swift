// SPDX-License-Identifier: Apache-2.0
// What the quilt's demonstration takes for shown.
import Foundation
import Testing

@testable import VPNNode

@Suite struct QuiltDemoReportTests {
    private static var good: QuiltDemoReport {
        var report = QuiltDemoReport()
        report.paths = [
            .init(
                name: "path 1", megabits: 60, milliseconds: 10, alone: 55, together: 52, whileCut: 0, atTheEnd: 50),
            .init(
                name: "path 2", megabits: 30, milliseconds: 25, alone: 27, together: 25, whileCut: 26, atTheEnd: 25),
        ]
        (report.together, report.whileCut, report.atTheEnd) = (75, 25, 74)
        (report.pause, report.isWhole, report.bytes) = (0.3, true, 1e8)
        return report
    }

    private static func failing(_ change: (inout QuiltDemoReport) -> Void) -> [String] {
        var report = good
        change(&report)
        report.judge()
        return report.checks.filter { !$0.ok }.map(\.name)
    }

    @Test func eachFigureHasItsCheck() {
        #expect(Self.failing { _ in }.isEmpty)
        #expect(Self.failing { $0.paths[1].alone = 14 } == ["each path alone"])
        #expect(Self.failing { $0.together = 56 } == ["all together"])
        #expect(Self.failing { $0.pause = 0.9 } == ["the cut"])
        #expect(Self.failing { $0.whileCut = 13 } == ["the others go on"])
        #expect(Self.failing { $0.paths[0].whileCut = 5 } == ["the others go on"], "a cut path carries nothing")
        #expect(Self.failing { $0.paths[0].atTheEnd = 10 } == ["back again"])
        #expect(Self.failing { $0.atTheEnd = 24 } == ["back again"])
        #expect(Self.failing { $0.isWhole = false } == ["every byte"])
        #expect(Self.failing { $0.bytes = 0 } == ["every byte"])
        #expect(!QuiltDemoReport().ok, "nothing was shown")
    }

    @Test func theObjectIsOneLineWithItsFigures() throws {
        var report = Self.good
        report.judge()
        #expect(report.ok && !report.json.contains("\n"))
        let parsed = try JSONSerialization.jsonObject(with: Data(report.json.utf8))
        let object = try #require(parsed as? [String: Any])
        #expect(object["schema"] as? String == "pqvpn.demo.quilt/1" && object["ok"] as? Bool == true)
        #expect((object["sum_alone_mbps"] as? NSNumber)?.doubleValue == 82)
        #expect((object["pause_ms"] as? NSNumber)?.doubleValue == 300)
        let paths = try #require(object["paths"] as? [[String: Any]])
        #expect(paths.map { $0["name"] as? String } == ["path 1", "path 2"])
    }
}
