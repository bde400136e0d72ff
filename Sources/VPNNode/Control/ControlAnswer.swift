// SPDX-License-Identifier: Apache-2.0
// What came over a control socket, before it is shown: whoever listens there may be anybody, and a character that a terminal obeys would
// be obeyed.

enum ControlAnswer {
    /// Words for a person: all but line breaks and tabs that a terminal would obey is spelt out.
    static func harmless(_ text: String) -> String {
        guard text.unicodeScalars.contains(where: isObeyed) else { return text }
        return text.unicodeScalars.map { isObeyed($0) ? spelling($0) : String($0) }.joined()
    }

    /// The same of the strings of a line of JSON, however they are escaped there.
    static func harmless(json line: String) -> String {
        guard line.utf8.contains(UInt8(ascii: "\\")) || line.unicodeScalars.contains(where: isObeyed) else {
            return line
        }
        var result = ""
        var rest = line.unicodeScalars[...]
        while let scalar = rest.popFirst() {
            guard scalar == "\\" else {
                result += isObeyed(scalar) ? "\\" + spelling(scalar) : String(scalar)
                continue
            }
            guard let kind = rest.popFirst() else { return result + "\\" }
            switch kind {
            case "b": result += "\\" + spelling("\u{8}")
            case "f": result += "\\" + spelling("\u{c}")
            case "r": result += "\\" + spelling("\r")
            case "u":
                let digits = String(String.UnicodeScalarView(rest.prefix(4)))
                rest = rest.dropFirst(4)
                if let value = UInt32(digits, radix: 16), let meant = Unicode.Scalar(value), isObeyed(meant) {
                    result += "\\" + spelling(meant)
                } else {
                    result += "\\u" + digits
                }
            default: result += "\\" + String(kind)
            }
        }
        return result
    }

    private static func isObeyed(_ scalar: Unicode.Scalar) -> Bool {
        scalar.isInvisible && scalar != "\n" && scalar != "\t"
    }

    /// As LogRecord spells them: "\u{1b}".
    private static func spelling(_ scalar: Unicode.Scalar) -> String { LogRecord.printable(String(scalar)) }
}
