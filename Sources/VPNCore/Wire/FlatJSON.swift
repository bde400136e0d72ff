// SPDX-License-Identifier: Apache-2.0
// Reads one JSON object (RFC 8259) of texts and whole numbers: all that a keepalive needs. The core has no Foundation,
// and a parser that cannot nest cannot be made to.

enum FlatJSON {
    enum Value: Equatable {
        case text(String)
        case number(UInt64)
    }

    /// nil for anything but one flat object: nesting, fractions, signs, escapes, repeated names, trailing bytes.
    static func parse(_ bytes: [UInt8]) -> [String: Value]? {
        var cursor = Cursor(bytes: bytes)
        guard cursor.take("{") else { return nil }
        var fields: [String: Value] = [:]
        if cursor.take("}") { return cursor.isAtEnd ? fields : nil }
        repeat {
            guard let name = cursor.text(), cursor.take(":"), let value = cursor.value(), fields[name] == nil else {
                return nil
            }
            fields[name] = value
        } while cursor.take(",")
        return cursor.take("}") && cursor.isAtEnd ? fields : nil
    }

    private struct Cursor {
        let bytes: [UInt8]
        var offset = 0

        var isAtEnd: Bool {
            mutating get {
                skipSpace()
                return offset == bytes.count
            }
        }

        private mutating func skipSpace() {
            while offset < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[offset]) { offset += 1 }
        }

        mutating func take(_ character: Unicode.Scalar) -> Bool {
            skipSpace()
            guard offset < bytes.count, bytes[offset] == UInt8(ascii: character) else { return false }
            offset += 1
            return true
        }

        /// A text without escapes and control characters.
        mutating func text() -> String? {
            guard take("\"") else { return nil }
            let start = offset
            while offset < bytes.count, bytes[offset] != UInt8(ascii: "\"") {
                guard bytes[offset] >= 0x20, bytes[offset] != UInt8(ascii: "\\") else { return nil }
                offset += 1
            }
            guard offset < bytes.count else { return nil }
            offset += 1
            return String(validating: bytes[start..<(offset - 1)], as: UTF8.self)
        }

        mutating func value() -> Value? {
            skipSpace()
            guard offset < bytes.count else { return nil }
            if bytes[offset] == UInt8(ascii: "\"") { return text().map { .text($0) } }
            let start = offset
            var number: UInt64 = 0
            while offset < bytes.count, (0x30...0x39).contains(bytes[offset]) {
                let (product, overflow) = number.multipliedReportingOverflow(by: 10)
                let (sum, carry) = product.addingReportingOverflow(UInt64(bytes[offset] - 0x30))
                guard !overflow, !carry else { return nil }
                number = sum
                offset += 1
            }
            // §6 of RFC 8259: no leading zeros.
            guard offset > start, offset == start + 1 || bytes[start] != 0x30 else { return nil }
            return .number(number)
        }
    }
}
