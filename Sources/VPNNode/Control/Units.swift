// SPDX-License-Identifier: Apache-2.0
// Numbers for people: spans of time, bytes, rates, and tables of them. Programs take the JSON.

enum Units {
    /// "1.24 ms", "12 s", "3 m 20 s", "2 h 14 m", "3 d 4 h".
    static func span(_ seconds: Double) -> String {
        guard seconds.isFinite, seconds >= 0 else { return "-" }
        if seconds < 0.001 { return "\(fixed(seconds * 1e6, 0)) µs" }
        if seconds < 1 { return "\(fixed(seconds * 1e3, seconds < 0.1 ? 2 : 0)) ms" }
        if seconds < 10 { return "\(fixed(seconds, 1)) s" }
        let whole = Int(min(seconds, 1e12))
        if whole < 60 { return "\(whole) s" }
        if whole < 3600 { return "\(whole / 60) m \(whole % 60) s" }
        if whole < 86400 { return "\(whole / 3600) h \(whole / 60 % 60) m" }
        return "\(whole / 86400) d \(whole / 3600 % 24) h"
    }

    /// "512 B", "1.2 KiB", "3.4 GiB".
    static func bytes(_ count: UInt64) -> String {
        var value = Double(count)
        var unit = 0
        let names = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
        while value >= 1024, unit < names.count - 1 {
            value /= 1024
            unit += 1
        }
        return unit == 0 ? "\(count) B" : "\(fixed(value, value < 100 ? 1 : 0)) \(names[unit])"
    }

    /// Bits per second: "9.6 Mbit/s".
    static func rate(bytesPerSecond: Double) -> String {
        let bits = bytesPerSecond * 8
        if bits < 1e3 { return "\(fixed(bits, 0)) bit/s" }
        if bits < 1e6 { return "\(fixed(bits / 1e3, 1)) kbit/s" }
        if bits < 1e9 { return "\(fixed(bits / 1e6, 1)) Mbit/s" }
        return "\(fixed(bits / 1e9, 2)) Gbit/s"
    }

    /// "0 %", "1.9 %", "55 %" of a part of 1.
    static func percent(_ part: Double) -> String {
        let value = part * 100
        return (value == 0 || value >= 9.95 ? fixed(value, 0) : fixed(value, 1)) + " %"
    }

    private static func fixed(_ value: Double, _ digits: Int) -> String {
        var scale = 1
        for _ in 0..<digits { scale *= 10 }
        let scaled = Int((value * Double(scale)).rounded())
        guard digits > 0 else { return String(scaled) }
        let fraction = String(scaled % scale)
        return "\(scaled / scale)." + String(repeating: "0", count: digits - fraction.count) + fraction
    }

    /// Columns two blanks apart, the last one ragged.
    static func table(_ head: [String], _ rows: [[String]]) -> String {
        let all = [head] + rows
        let widths = head.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        return all.map { row in
            var line = ""
            for (column, text) in row.enumerated() {
                line += text
                guard column + 1 < row.count else { break }
                line += String(repeating: " ", count: widths[column] - text.count + 2)
            }
            while line.last == " " { line.removeLast() }
            return line
        }.joined(separator: "\n")
    }

    private static let blocks: [Character] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"]

    /// One character for each value, the largest of them full; nil is a gap.
    static func sparkline(_ values: [Double?]) -> String {
        let top = values.compactMap { $0 }.max() ?? 0
        return String(
            values.map { value in
                guard let value else { return " " }
                guard top > 0, value > 0 else { return blocks[0] }
                return blocks[min(blocks.count - 1, Int(value / top * Double(blocks.count - 1) + 0.5))]
            })
    }
}
