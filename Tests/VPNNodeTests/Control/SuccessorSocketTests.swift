// SPDX-License-Identifier: Apache-2.0
// A node whose socket somebody removed while it ran, and another one that has the place since: whoever stops removes
// its own alone.
import Foundation
import Logging
import Testing

@testable import VPNNode

@Suite(.threads(.programs)) struct SuccessorSocketTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    @Test func whoStopsLeavesTheSocketOfItsSuccessor() throws {
        let scratch = try Scratch()
        let path = scratch.file("n.sock")
        let first = try ControlServer(path: path, group: nil, control: StubControl(), logger: logger)
        // As the end of a login does with all of /run/user/UID, while a daemon of that user goes on.
        try FileManager.default.removeItem(atPath: path)
        let second = try ControlServer(path: path, group: nil, control: StubControl(), logger: logger)
        first.stop()
        #expect(FileManager.default.fileExists(atPath: path), "it is another node's")
        #expect(ControlPlace.isServed(path))
        // Its own goes with it.
        second.stop()
        #expect(!FileManager.default.fileExists(atPath: path))
    }
}
