// SPDX-License-Identifier: Apache-2.0
// What a keepalive is written in (§7): one flat object, and nothing that is cut short or left open.
import Testing

@testable import VPNCore

@Suite struct FlatJSONTests {
    private func parse(_ text: String) -> [String: FlatJSON.Value]? { FlatJSON.parse(Array(text.utf8)) }

    @Test func anObjectComesBack() {
        #expect(
            parse(#"{"a":"b","c":18446744073709551615, "d" : 0 } "#) == [
                "a": .text("b"), "c": .number(.max), "d": .number(0),
            ])
        #expect(parse("{}") == [:])
    }

    /// However much of it is missing.
    @Test func everyPrefixIsNone() {
        let text = Array(#"{"a":"b","c":12}"#.utf8)
        for count in 0..<text.count { #expect(FlatJSON.parse(Array(text[..<count])) == nil, "\(count) bytes") }
    }

    @Test(arguments: [
        #"{"a":{}}"#, #"{"a":[]}"#, #"{"a":1.5}"#, #"{"a":-1}"#, #"{"a":01}"#, #"{"a":18446744073709551616}"#,
        #"{"a":1,}"#,
        #"{"a":1,"a":2}"#, #"{"a":1}x"#, #"{"a":true}"#, #"{"a":"\n"}"#, "{\"a\":\"\u{1}\"}", #"{"a" "b"}"#, #"{a:1}"#,
        #"["a"]"#, #""a""#,
    ])
    func allElseIsNone(_ text: String) { #expect(parse(text) == nil) }
}
