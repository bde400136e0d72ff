// SPDX-License-Identifier: Apache-2.0
// The picture of one run as an SVG file: what came by each path, one upon the other, and the stream as a line. No program draws it but this.
internal import Foundation

struct QuiltPlot {
    /// Of each path, as the legend says it.
    let names: [String]
    let timeline: QuiltTimeline
    let title: String

    private static let colours = [
        "#4477aa", "#228833", "#ccbb44", "#ee6677", "#aa3377", "#66ccee", "#bbbbbb", "#000000",
    ]
    private static let (width, height) = (860.0, 380.0)
    private static let (left, right, top, bottom) = (62.0, 18.0, 64.0, 44.0)
    /// Seconds; shorter ones show each packet's chance.
    private static let step = 0.25

    var svg: String {
        let steps = timeline.steps(of: Self.step)
        let seconds = max(1, timeline.end)
        let sums = steps.map { $0.paths.reduce(0, +) }
        let most = max(1, sums.max() ?? 0, steps.map(\.stream).max() ?? 0)
        let unit = Self.unit(most)
        let ceiling = (most / unit).rounded(.up) * unit
        let plotWidth = Self.width - Self.left - Self.right
        let plotHeight = Self.height - Self.top - Self.bottom
        func x(_ time: Double) -> String { Self.number(Self.left + time / seconds * plotWidth) }
        func y(_ rate: Double) -> String { Self.number(Self.top + (1 - rate / ceiling) * plotHeight) }

        var lines = [
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 \(Int(Self.width)) \(Int(Self.height))\" "
                + "font-family=\"sans-serif\" font-size=\"12\" role=\"img\">",
            "<title>\(Self.escaped(title))</title>",
            "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>",
            Self.text(title, Self.number(Self.left), "20", "font-size=\"14\" font-weight=\"bold\""),
        ]
        for value in stride(from: 0, through: ceiling, by: unit) {
            lines.append(Self.line(Self.number(Self.left), y(value), x(seconds), y(value), "stroke=\"#dddddd\""))
            lines.append(
                Self.text("\(Int(value))", Self.number(Self.left - 6), y(value), "text-anchor=\"end\" dy=\"4\""))
        }
        for second in stride(from: 0, through: Int(seconds), by: seconds > 30 ? 5 : 2) {
            lines.append(
                Self.text(
                    "\(second)", x(Double(second)), Self.number(Self.height - Self.bottom + 17),
                    "text-anchor=\"middle\""))
        }
        lines.append(
            Self.text("seconds", x(seconds), Self.number(Self.height - 8), "text-anchor=\"end\" fill=\"#555555\""))
        lines.append(Self.text("Mbit/s", "8", Self.number(Self.top - 8), "fill=\"#555555\""))

        var below = steps.map { _ in 0.0 }
        for (place, name) in names.enumerated() {
            let above = zip(below, steps).map { $0 + ($1.paths.indices.contains(place) ? $1.paths[place] : 0) }
            let upper = zip(steps, above).map { "\(x($0.time)),\(y($1))" }
            let lower = zip(steps, below).reversed().map { "\(x($0.time)),\(y($1))" }
            let colour = Self.colours[place % Self.colours.count]
            lines.append(
                "<polygon points=\"\((upper + lower).joined(separator: " "))\" fill=\"\(colour)\" fill-opacity=\"0.75\"/>"
            )
            below = above
            let column = Self.left + Double(place) * 190
            lines.append(
                "<rect x=\"\(Self.number(column))\" y=\"32\" width=\"12\" height=\"12\" fill=\"\(colour)\"/>")
            lines.append(Self.text(name, Self.number(column + 18), "42"))
        }
        let points = steps.map { "\(x($0.time)),\(y($0.stream))" }.joined(separator: " ")
        lines.append("<polyline points=\"\(points)\" fill=\"none\" stroke=\"#000000\" stroke-width=\"1.6\"/>")
        let column = Self.left + Double(names.count) * 190
        lines.append(Self.line(Self.number(column), "38", Self.number(column + 16), "38", "stroke=\"#000000\""))
        lines.append(Self.text("one TCP stream", Self.number(column + 22), "42"))
        for (time, word) in [(timeline.cut, "cut"), (timeline.mended, "back")] {
            guard let time else { continue }
            lines.append(
                Self.line(
                    x(time), Self.number(Self.top), x(time), Self.number(Self.height - Self.bottom),
                    "stroke=\"#aa0000\" stroke-dasharray=\"5 4\""))
            lines.append(Self.text(word, x(time), Self.number(Self.top - 4), "text-anchor=\"middle\" fill=\"#aa0000\""))
        }
        return (lines + ["</svg>", ""]).joined(separator: "\n")
    }

    /// 1, 2 or 5 of a power of ten, so that four to nine lines stand in the picture.
    static func unit(_ most: Double) -> Double {
        var power = 1.0
        while power * 10 <= most { power *= 10 }
        for factor in [0.2, 0.5, 1] where most / (power * factor) <= 6 { return max(1, power * factor) }
        return power * 2
    }

    static func escaped(_ text: String) -> String {
        text.replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "<", with: "&lt;")
            .replacingOccurrences(of: ">", with: "&gt;")
    }

    private static func text(_ text: String, _ x: String, _ y: String, _ more: String = "") -> String {
        "<text x=\"\(x)\" y=\"\(y)\" \(more)>\(escaped(text))</text>"
    }

    private static func line(_ x1: String, _ y1: String, _ x2: String, _ y2: String, _ more: String) -> String {
        "<line x1=\"\(x1)\" y1=\"\(y1)\" x2=\"\(x2)\" y2=\"\(y2)\" \(more)/>"
    }

    private static func number(_ value: Double) -> String { DemoReport.rounded(value, 1) }
}
