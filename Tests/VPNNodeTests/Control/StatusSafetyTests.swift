// SPDX-License-Identifier: Apache-2.0
// What a terminal obeys, in the answer of whoever listens at a socket that root asks: spelt out in both forms of a
// status.
import Foundation
import Logging
import Testing

@testable import VPNNode

@Suite(.threads(.programs)) struct StatusSafetyTests {
    @Test func neitherFormOfAStatusSteersATerminal() throws {
        let scratch = try Scratch()
        let path = scratch.file("n.sock")
        // U+009B begins what ESC [ begins, and is no character that JSON must escape.
        let server = try ControlServer(
            path: path, group: nil, control: StubControl(nickname: "a\u{9B}2Jb"),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        defer { server.stop() }
        for form in [[], ["--json"]] as [[String]] {
            let outcome = try Program.run(["status", "--socket", path] + form, in: scratch)
            #expect(outcome.status == 0, "\(form): \(outcome.errors)")
            #expect(!outcome.output.unicodeScalars.contains("\u{9B}"), "\(form): \(outcome.output)")
            #expect(outcome.output.contains("u{9b}"), "\(form): \(outcome.output)")
        }
    }
}
