// SPDX-License-Identifier: Apache-2.0
// What a person watches while the quilt carries: a bar for each path and one for the stream, Mbit/s of the last half second.

struct QuiltPicture {
    struct Bar {
        let name: String
        /// Mbit/s now, and at most.
        let rate: Double
        let most: Double
        /// "up", "suspect", "down", or nothing.
        let state: String
    }

    /// Since the stream began.
    let seconds: Double
    let bars: [Bar]
    private static let width = 40

    /// One below the other, for a terminal, always as many.
    var lines: [String] {
        let column = bars.map(\.name.count).max() ?? 0
        let scale = bars.map(\.most).max() ?? 1
        return bars.map { bar in
            let full = min(Self.width, max(0, Int((bar.rate / max(1, scale) * Double(Self.width)).rounded())))
            return "  " + bar.name + String(repeating: " ", count: column - bar.name.count) + "  "
                + String(repeating: "█", count: full) + String(repeating: "·", count: Self.width - full) + "  "
                + DemoReport.rounded(bar.rate, 1) + " Mbit/s  " + bar.state
        }
    }

    /// The same in one line, where nothing can be painted over.
    var line: String {
        let parts = bars.map { bar in
            "\(bar.name) \(DemoReport.rounded(bar.rate, 1))"
                + (bar.state.isEmpty || bar.state == "up" ? "" : " (\(bar.state))")
        }
        return "  \(DemoReport.rounded(seconds, 1)) s  " + parts.joined(separator: " | ") + "  Mbit/s"
    }
}

/// Something to watch, by whoever knows where it is shown.
public struct DemoPicture: Sendable {
    /// Takes the place of the picture before.
    public let lines: [String]
    /// Stands below the lines before.
    public let line: String
}
