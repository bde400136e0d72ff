// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

@testable import VPNNode

@Suite struct ChildProcessTests {
    private func inDirectory(_ body: (String) throws -> Void) throws {
        let path = FileManager.default.temporaryDirectory.path + "/pqvpn-test-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: path) }
        try body(path)
    }

    @Test func argumentsArriveAsTheyAre() throws {
        try inDirectory { directory in
            let arguments = ["%s|", "a b", "$HOME; exit 3", "", "ü\n"]
            let outcome = try DemoProcess("printf", "/usr/bin/printf", arguments, directory: directory)
                .finish(within: 60)
            #expect(outcome.status == 0)
            #expect(outcome.output == "a b|$HOME; exit 3||ü\n|")
        }
    }

    @Test func statusAndErrorsAreKept() throws {
        try inDirectory { directory in
            let missing = try DemoProcess("ls", "/bin/ls", ["\(directory)/none"], directory: directory)
            let outcome = try missing.finish(within: 60)
            #expect(outcome.status == 2)
            #expect(outcome.output.isEmpty)
            #expect(outcome.errors.contains("No such file"))
            let sleeper = try DemoProcess("sleep", "/bin/sleep", ["600"], directory: directory)
            #expect(sleeper.isRunning)
            sleeper.stop()
            #expect(!sleeper.isRunning)
            #expect(sleeper.status == 128 + 15)
        }
    }

    @Test func whatCannotBeStartedIsAnError() throws {
        try inDirectory { directory in
            #expect(throws: NodeFailure.self) {
                let process = try DemoProcess("none", "\(directory)/none", [], directory: directory)
                process.stop()
            }
        }
    }

    @Test func inputIsEmptyAndWaitingHasAnEnd() throws {
        try inDirectory { directory in
            // Ends at once only if its standard input is at an end.
            #expect(try DemoProcess("cat", "/bin/cat", [], directory: directory).finish(within: 60).status == 0)
            let sleeper = try DemoProcess("sleep", "/bin/sleep", ["600"], directory: directory)
            let failure = try #require(throws: NodeFailure.self) { _ = try sleeper.finish(within: 0.05) }
            #expect(failure.status == .timeout)
            #expect(!sleeper.isRunning, "it is ended when we give up")
        }
    }
}
