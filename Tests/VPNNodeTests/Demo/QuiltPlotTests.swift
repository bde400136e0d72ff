// SPDX-License-Identifier: Apache-2.0
// What is counted, watched and drawn of the quilt's demonstration, from made-up counts.
import Foundation
import Testing

@testable import VPNNode

@Suite struct QuiltPlotTests {
    /// Two paths of 8 and 4 Mbit/s for ten seconds; the first stands still from 4 to 6.
    private static var timeline: QuiltTimeline {
        var timeline = QuiltTimeline(paths: 2)
        var bytes = (0.0, 0.0)
        for tick in 0...100 {
            let time = Double(tick) / 10
            timeline.paths[0].add(bytes.0, at: time)
            timeline.paths[1].add(bytes.1, at: time)
            timeline.stream.add(bytes.0 + bytes.1, at: time)
            bytes.0 += (40..<60).contains(tick) ? 0 : 1e5
            bytes.1 += 0.5e5
        }
        (timeline.cut, timeline.mended) = (4, 6)
        return timeline
    }

    @Test func ratesLieBetweenLooks() {
        let timeline = Self.timeline
        #expect(abs(timeline.paths[0].rate(0.05, 3.95) - 8) < 1e-6)
        #expect(abs(timeline.paths[0].rate(4.05, 5.95)) < 1e-6)
        #expect(abs(timeline.stream.rate(1, 2) - 12) < 1e-6)
        #expect(timeline.paths[0].bytes(at: -1) == 0)
        #expect(timeline.paths[0].bytes(at: 99) == timeline.paths[0].bytes(at: 10))
        #expect(timeline.paths[0].rate(2, 2) == 0 && QuiltCount().rate(0, 1) == 0)
        var count = QuiltCount()
        count.add(1, at: 1)
        count.add(9, at: 1)
        count.add(9, at: 0.5)
        #expect(count.looks.count == 1, "time does not go back")
    }

    @Test func stepsCoverAllThatIsKnown() throws {
        let steps = Self.timeline.steps(of: 0.5)
        #expect(steps.count == 20)
        #expect(abs(try #require(steps.first).stream - 12) < 1e-6)
        #expect(steps[9].paths[0] < 1e-6 && abs(steps[9].paths[1] - 4) < 1e-6)
        #expect(QuiltTimeline(paths: 2).steps(of: 0.5).isEmpty && Self.timeline.steps(of: 0).isEmpty)
    }

    @Test func thePictureIsXMLWithEachPathTheStreamAndBothMarks() throws {
        let svg = QuiltPlot(names: ["path <1>", "path 2 & more"], timeline: Self.timeline, title: "a < b").svg
        #expect(svg.hasPrefix("<svg xmlns=\"http://www.w3.org/2000/svg\"") && svg.hasSuffix("</svg>\n"))
        #expect(svg.components(separatedBy: "<polygon ").count == 3)
        #expect(svg.components(separatedBy: "<polyline ").count == 2)
        for part in ["path &lt;1&gt;", "path 2 &amp; more", "a &lt; b", ">cut<", ">back<", ">Mbit/s<", ">12<"] {
            #expect(svg.contains(part), "\(part)")
        }
        #expect(!svg.contains("nan") && !svg.contains("inf") && !svg.contains("?"))
        // The cut stands at two fifths of ten seconds of 780 points behind 62.
        #expect(svg.contains("<line x1=\"374.0\""))
        // Every element is closed.
        var open: [Substring] = []
        for tag in svg.split(separator: "<").map({ $0.prefix { $0 != ">" } }) where !tag.hasSuffix("/") {
            let name = tag.prefix { $0 != " " }
            if name.hasPrefix("/") {
                #expect(open.popLast() == name.dropFirst())
            } else {
                open.append(name)
            }
        }
        #expect(open.isEmpty)
    }

    @Test func aRunThatShowedNothingStillHasAPicture() {
        let svg = QuiltPlot(names: ["path 1"], timeline: QuiltTimeline(paths: 1), title: "").svg
        #expect(svg.hasSuffix("</svg>\n") && !svg.contains("nan"))
    }

    @Test func linesOfAPictureAreNotTooMany() {
        for most in [1.0, 3, 7, 12, 45, 99, 105, 480, 999, 12345] {
            let unit = QuiltPlot.unit(most)
            #expect(unit >= 1 && most / unit <= 10, "\(most) \(unit)")
        }
        #expect(QuiltPlot.unit(105) == 20 && QuiltPlot.unit(45) == 10)
    }

    @Test func barsFillAsRatesSay() {
        let picture = QuiltPicture(
            seconds: 1.25,
            bars: [
                .init(name: "path 1", rate: 50, most: 100, state: "up"),
                .init(name: "all", rate: 1000, most: 100, state: ""),
                .init(name: "path 3", rate: 0, most: 100, state: "down"),
            ])
        let lines = picture.lines
        #expect(lines.map { $0.count { $0 == "█" } } == [20, 40, 0])
        #expect(lines[0].hasSuffix("50.0 Mbit/s  up") && lines[2].hasSuffix("0.0 Mbit/s  down"))
        #expect(lines[1].hasPrefix("  all     █"))
        #expect(picture.line.contains("path 1 50.0 | all 1000.0 | path 3 0.0 (down)  Mbit/s"))
    }

    @Test func whatTheReceiverSays() {
        let text = "listening\nat 10.5 1000\npause 10.5 10.9\nat 10.9 3000\nat x y\nwhole 3000 ab12\nat 11.0 40"
        let words = QuiltTransfer.Words(text)
        #expect(words.looks.map(\.bytes) == [1000, 3000], "neither nonsense nor half a line")
        #expect(words.whole == "3000 ab12")
        #expect(abs(words.longestPause(10.6, 10.7) - 0.4) < 1e-9)
        #expect(words.longestPause(10.9, 20) == 0 && words.longestPause(1, 10.5) == 0)
        #expect(QuiltTransfer.Words("").whole == nil)
    }
}
