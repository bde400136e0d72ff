// SPDX-License-Identifier: Apache-2.0
// Log files that are put aside, cannot be put aside, or have no room.
import Foundation
import Logging
import Synchronization
import Testing
import VPNCore

@testable import VPNNode

struct LogFileTests {
    private func lines(_ scratch: Scratch, _ name: String) throws -> [String] {
        try scratch.read(name).split(separator: "\n").map(String.init)
    }

    private func mode(_ scratch: Scratch, _ name: String) throws -> Int? {
        try FileManager.default.attributesOfItem(atPath: scratch.file(name))[.posixPermissions] as? Int
    }

    @Test func fullFilesArePutAsideAndTheOldestGoes() throws {
        let scratch = try Scratch()
        var file = try LogFile(scratch.file("n.log"), LogFileLimits(maximumSize: 100, maximumFiles: 3))
        // 25 bytes each: four to a file.
        for number in 100..<123 { #expect(try file.write("line \(number)" + String(repeating: "x", count: 16)) == nil) }
        #expect(scratch.names == ["n.log", "n.log.1", "n.log.2", "n.log.3"])
        let kept = try ["n.log.3", "n.log.2", "n.log.1", "n.log"].flatMap { try lines(scratch, $0) }
        #expect(kept.map { $0.prefix(8) } == (108..<123).map { "line \($0)" })
        for name in scratch.names {
            #expect(try mode(scratch, name) == 0o600)
            #expect(try scratch.read(name).utf8.count <= 100)
        }
    }

    @Test func aFileThatIsThereCountsAndALineLongerThanTheLimitIsWritten() throws {
        let scratch = try Scratch()
        try scratch.write("old\n", to: "n.log")
        var file = try LogFile(scratch.file("n.log"), LogFileLimits(maximumSize: 10, maximumFiles: 2))
        #expect(try file.write(String(repeating: "a", count: 50)) == nil)
        #expect(try scratch.read("n.log.1") == "old\n" && scratch.read("n.log").count == 51)
        #expect(try file.write("b") == nil)
        #expect(try scratch.read("n.log") == "b\n" && scratch.read("n.log.2") == "old\n")
    }

    @Test func zeroIsNever() throws {
        let scratch = try Scratch()
        var file = try LogFile(scratch.file("n.log"), LogFileLimits(maximumSize: 0, maximumFiles: 1))
        for _ in 0..<1000 { #expect(try file.write("x") == nil) }
        #expect(scratch.names == ["n.log"])
    }

    /// A directory sits where the old file should go, which stops root, too.
    @Test func whereAFileCannotBePutAsideItGoesOn() throws {
        let scratch = try Scratch()
        try FileManager.default.createDirectory(
            atPath: scratch.file("n.log.1/x"), withIntermediateDirectories: true)
        var file = try LogFile(scratch.file("n.log"), LogFileLimits(maximumSize: 20, maximumFiles: 1))
        var refusals = 0
        for number in 100..<1100 where try file.write("line \(number)") != nil { refusals += 1 }
        #expect(try lines(scratch, "n.log").count == 1000, "no line is lost")
        #expect((1...5).contains(refusals), "told, and not with each line: \(refusals)")
        #expect(scratch.names == ["n.log", "n.log.1"])
        try FileManager.default.removeItem(atPath: scratch.file("n.log.1"))
        for number in 0..<1000 { _ = try file.write("line \(number)") }
        #expect(try scratch.read("n.log").utf8.count <= 20, "once it can be, it is put aside again")
    }

    @Test func aReadOnlyDirectoryIsNoReasonToStop() throws {
        guard !isRoot else {
            print("SKIPPED: aReadOnlyDirectoryIsNoReasonToStop, as root writes anywhere")
            return
        }
        let scratch = try Scratch()
        var file = try LogFile(scratch.file("n.log"), LogFileLimits(maximumSize: 20, maximumFiles: 2))
        try scratch.setMode(0o500, of: ".")
        for number in 100..<200 { _ = try file.write("line \(number)") }
        try scratch.setMode(0o700, of: ".")
        #expect(try lines(scratch, "n.log").count == 100 && scratch.names == ["n.log"])
    }

    @Test func theOutputTellsThatAFileGrows() throws {
        let scratch = try Scratch()
        try FileManager.default.createDirectory(
            atPath: scratch.file("n.log.1/x"), withIntermediateDirectories: true)
        let output = try LogOutput.file(
            scratch.file("n.log"), limits: LogFileLimits(maximumSize: 200, maximumFiles: 1))
        let logger = output.logger("node", level: .info)
        for _ in 0..<10 { logger.info("a line that is long enough to fill the file", metadata: ["event": "a.b"]) }
        #expect(try scratch.read("n.log").contains(#""event":"log.not_rotated""#))
        #expect(try lines(scratch, "n.log").filter { $0.contains(#""event":"a.b""#) }.count == 10)
    }

    /// A real file system without room, where this machine lets us have one.
    @Test func aFullDiskLosesLinesAndTellsOfThem() throws {
        struct Full: Error {}
        let state = Mutex((isFull: false, lines: [String]()))
        let output = LogOutput(format: .json) { line in
            try state.withLock { state in
                if state.isFull { throw Full() }
                state.lines.append(line)
            }
        }
        let logger = output.logger("node", level: .info)
        logger.info("one")
        state.withLock { $0.isFull = true }
        for _ in 0..<7 { logger.info("lost") }
        #expect(output.linesLost == 7)
        state.withLock { $0.isFull = false }
        logger.info("two")
        logger.info("three")
        let lines = state.withLock(\.lines)
        #expect(lines.count == 4 && lines[1].contains(#""event":"log.lost","count":7"#), "\(lines)")
        #expect(lines[2].contains("two") && lines[3].contains("three") && output.linesLost == 7)
        #expect(output.ring.lines().filter { $0.text.contains("lost") }.count == 8, "the ring had room")
    }
}
