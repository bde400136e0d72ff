// SPDX-License-Identifier: Apache-2.0
// A command that asks seldom: the node lets go of a caller who says nothing for a minute, and has not ended for all that.
import Foundation
import Logging
import Testing

@testable import VPNNode

@Suite(.threads(.programs), .timeLimit(.minutes(5))) struct IdleCallerTests {
    /// The longer one takes more than a minute of waiting.
    @Test(arguments: ["0.2", "\(ControlServer.patience + 2)"])
    func whoAsksSeldomIsAnsweredEachTime(_ interval: String) throws {
        let scratch = try Scratch()
        let path = scratch.file("n.sock")
        let control = StubControl()
        let server = try ControlServer(
            path: path, group: nil, control: control, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        defer { server.stop() }
        let outcome = try Program.run(
            ["ping", "bob", "-c", "2", "-i", interval, "--socket", path], in: scratch)
        #expect(outcome.status == 0 && outcome.output.contains("2 asked, 2 answered"), "\(outcome)")
        #expect(control.asked == ["ping bob 5000", "ping bob 5000"])
    }
}
