// SPDX-License-Identifier: Apache-2.0
// Files that are made or replaced together: what fails in the midst leaves each of them whole, and nothing that nobody
// asked for.
import Foundation
import Glibc
import Testing

@testable import VPNNode

@Suite struct FileReplacementTests {
    private func leftovers(_ scratch: Scratch) -> [String] { scratch.names.filter { $0.contains(".tmp-") } }

    private func makeDirectory(_ name: String, in scratch: Scratch) throws {
        try FileManager.default.createDirectory(atPath: scratch.file(name), withIntermediateDirectories: false)
    }

    private func kind(of name: String, in scratch: Scratch) throws -> FileStatus.Kind? {
        let directory = try OpenFile.directory(scratch.path)
        return try directory.status(of: name)?.kind
    }

    @Test func aWriteThatFailsLeavesAllOldFiles() throws {
        let scratch = try Scratch()
        try scratch.write("one", to: "a")
        try scratch.write("two", to: "b", mode: 0o644)
        func replace(isFull: Bool) throws {
            var replacement = FileReplacement()
            try replacement.add(scratch.file("a")) { try $0.write([UInt8]("new one".utf8)) }
            try replacement.add(scratch.file("b")) { file in
                if isFull { throw NodeFailure(.failure, "no room") }
                try file.write([UInt8]("new two".utf8))
            }
            try replacement.commit()
        }
        let failed = failure(of: { try replace(isFull: true) })
        #expect(failed?.message == "no room")
        #expect(try scratch.read("a") == "one")
        #expect(try scratch.read("b") == "two")
        #expect(leftovers(scratch) == [])
        try replace(isFull: false)
        #expect(try scratch.read("a") == "new one")
        #expect(try scratch.read("b") == "new two")
        let mode = try FileManager.default.attributesOfItem(atPath: scratch.file("b"))[.posixPermissions] as? Int
        #expect(mode == 0o600 && leftovers(scratch) == [])
    }

    /// What a crash in the midst leaves, by a name that cannot be replaced: the first is new, the second as it was.
    @Test func aNameThatCannotBeReplacedLeavesNoneHalf() throws {
        let scratch = try Scratch()
        try scratch.write("one", to: "a")
        try makeDirectory("b", in: scratch)
        func replace() throws {
            var replacement = FileReplacement()
            for name in ["a", "b"] {
                try replacement.add(scratch.file(name)) { try $0.write([UInt8]("new \(name)".utf8)) }
            }
            try replacement.commit()
        }
        #expect(failure(of: { try replace() }) != nil)
        #expect(try scratch.read("a") == "new a")
        #expect(try kind(of: "b", in: scratch) == .directory)
        #expect(leftovers(scratch) == [])
        // The same again, when it can be, finishes it.
        try FileManager.default.removeItem(atPath: scratch.file("b"))
        try replace()
        #expect(try scratch.read("b") == "new b")
    }

    @Test func newFilesAppearTogetherOrNotAtAll() throws {
        let scratch = try Scratch()
        func make(_ names: [String], meanwhile: () throws -> Void = {}) throws {
            var files = try NewFiles(in: scratch.path)
            try files.checkAbsent(names)
            for name in names { try files.add(name) { try $0.write([UInt8](name.utf8)) } }
            try meanwhile()
            try files.commit()
        }
        // Somebody takes the second name after it was found free.
        let late = failure(of: { try make(["a", "b"]) { try scratch.write("somebody's", to: "b") } })
        #expect(late?.message.contains("File exists") == true, "\(late?.message ?? "made")")
        #expect(scratch.names == ["b"])
        #expect(try scratch.read("b") == "somebody's")
        let taken = failure(of: { try make(["a", "b"]) })
        #expect(taken?.message.contains("is not overwritten") == true, "\(taken?.message ?? "made")")
        #expect(scratch.names == ["b"])
        // A link that leads nowhere is a name all the same.
        try scratch.link("c", to: scratch.file("nowhere"))
        #expect(failure(of: { try make(["c"]) })?.message.contains("is not overwritten") == true)
        try make(["d", "e"])
        #expect(scratch.names == ["b", "c", "d", "e"])
    }

    @Test func oneFileIsReplacedAsAWhole() throws {
        let scratch = try Scratch()
        let new = [UInt8]("new".utf8)
        try scratch.write("old", to: "f", mode: 0o644)
        try ProtectedFile.replace(scratch.file("f"), with: new)
        let mode = try FileManager.default.attributesOfItem(atPath: scratch.file("f"))[.posixPermissions] as? Int
        #expect(mode == 0o600)
        #expect(try scratch.read("f") == "new")
        // A link is replaced, and not what it leads to.
        try scratch.write("elsewhere", to: "target")
        try scratch.link("l", to: scratch.file("target"))
        try ProtectedFile.replace(scratch.file("l"), with: new)
        #expect(try kind(of: "l", in: scratch) == .regular)
        #expect(try scratch.read("target") == "elsewhere")
        try makeDirectory("d", in: scratch)
        #expect(failure(of: { try ProtectedFile.replace(scratch.file("d"), with: new) }) != nil)
        #expect(try kind(of: "d", in: scratch) == .directory)
        #expect(leftovers(scratch) == [])
        #expect(failure(of: { try ProtectedFile.replace(scratch.file("absent/f"), with: new) }) != nil)
    }

    /// "Absent" begins a file anew: it is said where that is certain, and nowhere else.
    @Test func onlyWhatIsCertainlyAbsentIsCalledSo() throws {
        let scratch = try Scratch()
        try scratch.write("x", to: "f")
        try scratch.link("l", to: scratch.file("nowhere"))
        for name in ["f", "l", String(repeating: "n", count: 300)] {
            #expect(ProtectedFile.exists(scratch.file(name)), "\(name)")
        }
        for name in ["g", "absent/f", "f/below"] { #expect(!ProtectedFile.exists(scratch.file(name)), "\(name)") }
    }

    /// The other side of a pid file: who is running is told by the lock, and a file that nobody holds names nobody.
    @Test func aPIDFileNamesWhoHoldsIt() throws {
        let scratch = try Scratch()
        let path = try scratch.write("999999999\n", to: "p.pid", mode: 0o644)
        #expect(BackgroundDaemon(pidFile: path).process == nil)
        let own = try PIDFile(path: path)
        #expect(BackgroundDaemon(pidFile: path).process == getpid())
        own.remove()
        #expect(BackgroundDaemon(pidFile: path).process == nil && scratch.names.isEmpty)
        let absent = failure(of: { _ = try PIDFile(path: scratch.file("absent/p.pid")) })
        #expect(absent?.status == .failure && absent?.message.contains("absent/p.pid") == true)
        // What a killed daemon left goes, and nothing else does.
        try scratch.write("999999999\n", to: "p.pid", mode: 0o644)
        let next = try PIDFile(path: path)
        BackgroundDaemon(pidFile: path).forget()
        #expect(scratch.names == ["p.pid"], "held")
        next.remove()
        try scratch.write("999999999\n", to: "p.pid", mode: 0o644)
        BackgroundDaemon(pidFile: path).forget()
        #expect(scratch.names.isEmpty)
    }
}
