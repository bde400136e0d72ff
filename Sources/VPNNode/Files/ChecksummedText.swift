// SPDX-License-Identifier: Apache-2.0
// The frame of the YAML files that pqvpn writes itself: a version, a checksum over every byte before it, and a last line.
// It tells damage from content; against somebody who may write the file there is no defence in it.
internal import VPNCrypto

enum ChecksummedText {
    /// Of files with a checksum. Those of version 1, and those that people write, have none.
    static let version = "2"
    static let key = "checksum"
    /// The last line, so that a file that was cut anywhere is known as such.
    private static let end = "..."

    /// The whole text of a file with these lines.
    static func finish(_ lines: [String]) -> String {
        let body = lines.joined(separator: "\n") + "\n"
        return body + "\(key): \"\(digest(body))\"\n\(end)\n"
    }

    /// Nil where the last line is there, so that nothing was cut off.
    static func truncation(of text: String) -> String? {
        text.hasSuffix("\n\(end)\n") ? nil : "the file is truncated: its last line is not '\(end)'"
    }

    /// Nil where a file of version 2 is exactly what was written.
    static func damage(in text: String) -> String? {
        let bytes = Array(text.utf8)
        let tail = "\(key): \"\(String(repeating: "0", count: 64))\"\n\(end)\n".utf8.count
        let body = String(decoding: bytes.dropLast(tail), as: UTF8.self)
        if bytes == Array((body + "\(key): \"\(digest(body))\"\n\(end)\n").utf8) { return nil }
        return
            "the content does not match its checksum, so that it is damaged or was changed by hand; whoever changed it "
            + "on purpose writes 'version: 1' and removes the line '\(key)'"
    }

    private static func digest(_ body: String) -> String { Hex.encode(Hash.sha256([UInt8](body.utf8))) }
}
