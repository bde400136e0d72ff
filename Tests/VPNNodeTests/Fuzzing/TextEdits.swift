// SPDX-License-Identifier: Apache-2.0
// A text whose lines a fuzzer changes: it seldom guesses a whole one.
import VPNTesting

enum TextEdits {
    private static let values = [
        "", "~", "true", "0", "-1", "18446744073709551616", "1e400", "\"\"", "[]", "{}", "[a, b]", "{a: b}", "*a",
        "&a b", "!!int x",
        "|", ">-", "---", "...", "? a", "<<: *a", "\"\\u0000\"", "\"\\xff\"", "é\u{301}", "\u{202E}x", "'", "#", "a: b",
        "- a",
        "192.0.2.1:9000", "10.0.0.0/8", "::/0", "\t", "0x10", "0o7", "1_000", ".inf", "2001-01-01", "on", "yes",
    ]

    /// By bytes: to look for the borders of characters first takes most of a fuzzer's time.
    static func lines(of text: String) -> [String] {
        text.utf8.split(separator: 0x0A, omittingEmptySubsequences: false).map { String(Substring($0)) }
    }

    static func apply(_ text: String, _ input: inout FuzzInput, atMost limit: Int = 12) -> String {
        var lines = lines(of: text)
        for _ in 0..<limit where !input.isEmpty && !lines.isEmpty {
            let kind = input.byte()
            let place = Int(input.byte()) % lines.count
            switch kind & 7 {
            case 0: lines.remove(at: place)
            case 1: lines.insert(lines[place], at: Int(input.byte()) % lines.count)
            case 2: lines.swapAt(place, Int(input.byte()) % lines.count)
            case 3, 4:
                let value = values[Int(input.byte()) % values.count]
                let key = lines[place].split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).first ?? ""
                lines[place] = kind & 8 == 0 ? "\(key): \(value)" : lines[place] + value
            case 5: lines[place] = String(repeating: " ", count: Int(kind >> 3) & 7) + lines[place].drop { $0 == " " }
            default:
                var bytes = Array(lines[place].utf8)
                let at = bytes.isEmpty ? 0 : Int(input.byte()) % (bytes.count + 1)
                if kind & 8 == 0 || bytes.isEmpty {
                    bytes.insert(contentsOf: input.take(Int(kind >> 6) + 1), at: at)
                } else {
                    bytes[min(at, bytes.count - 1)] = input.byte()
                }
                lines[place] = String(decoding: bytes, as: UTF8.self)
            }
        }
        return lines.joined(separator: "\n")
    }
}
