// SPDX-License-Identifier: Apache-2.0
// What a thread behind a fence may still do with files, as the kernel says: a thread of its own for each test, since there is no way back.

import CLinux
import Foundation
import Glibc
import Testing

@testable import VPNEngine

extension Threads {
    @Suite struct FileFenceTests {
        /// errno of what was tried, 0 where it worked.
        private typealias Attempts = [String: Int32]

        /// A directory with `open/` and `closed/`, each with a file and a program.
        private final class Place {
            let path: String

            init() throws {
                path = NSTemporaryDirectory() + "/fence-\(UInt64.random(in: .min ... .max))"
                for name in ["open", "closed"] {
                    try FileManager.default.createDirectory(
                        atPath: "\(path)/\(name)", withIntermediateDirectories: true)
                    try Data("x".utf8).write(to: URL(filePath: "\(path)/\(name)/file"))
                    try FileManager.default.copyItem(atPath: "/bin/true", toPath: "\(path)/\(name)/program")
                }
            }

            deinit { try? FileManager.default.removeItem(atPath: path) }
        }

        /// Runs the body in a thread behind the fence, and waits for its end.
        private func behind(
            _ rules: [(String, FileFence.Access)], _ body: @escaping @Sendable () -> Attempts
        ) throws -> Attempts {
            guard let fence = FileFence() else { throw EngineError(.system, "no Landlock") }
            for (path, access) in rules { fence.allow(path, access) }
            let descriptor = fence.descriptor
            let result = Box()
            let end = DispatchSemaphore(value: 0)
            let thread = Thread {
                result.entered = clinux_fence_enter(descriptor)
                result.attempts = body()
                end.signal()
            }
            thread.start()
            end.wait()
            try #require(result.entered == 0)
            return result.attempts
        }

        private final class Box: @unchecked Sendable {
            var entered: Int32 = -1
            var attempts: Attempts = [:]
        }

        private static func opened(_ path: String, _ flags: Int32) -> Int32 {
            let descriptor = unsafe open(path, flags | O_CLOEXEC, 0o600)
            guard descriptor >= 0 else { return errno }
            close(descriptor)
            return 0
        }

        private static func run(_ path: String) -> Int32 {
            var child = pid_t()
            let name = unsafe strdup(path)
            defer { unsafe free(name) }
            var arguments = unsafe [name, nil]
            let status = unsafe posix_spawn(&child, path, nil, nil, &arguments, nil)
            if status == 0 { waitpid(child, nil, 0) }
            return status
        }

        private static func attempts(_ place: String, _ name: String) -> Attempts {
            let path = "\(place)/\(name)"
            return [
                "read": opened("\(path)/file", O_RDONLY), "list": opened(path, O_RDONLY | O_DIRECTORY),
                "write": opened("\(path)/file", O_WRONLY), "make": opened("\(path)/new", O_WRONLY | O_CREAT),
                "rename": unsafe rename("\(path)/file", "\(path)/other") == 0 ? 0 : errno,
                "put back": unsafe rename("\(path)/other", "\(path)/file") == 0 ? 0 : errno,
                "remove": unsafe unlink("\(path)/new") == 0 ? 0 : errno, "run": run("\(path)/program"),
            ]
        }

        private static let libraries: [(String, FileFence.Access)] =
            ["/usr", "/lib", "/lib64"].map { ($0, [.read, .run]) }

        private func expect(
            _ attempts: Attempts, allowed: Set<String>, _ comment: Comment, at place: SourceLocation = #_sourceLocation
        ) {
            for (name, error) in attempts.sorted(by: { $0.key < $1.key }) {
                #expect(
                    (error == 0) == allowed.contains(name), "\(comment): \(name), errno \(error)", sourceLocation: place
                )
            }
        }

        private static let isMissing = FileFence.version == nil

        @Test(.disabled(if: isMissing, "this kernel has no Landlock"))
        func onlyWhatARuleNames() throws {
            let place = try Place()
            let path = place.path
            let table: [(FileFence.Access, Set<String>)] = [
                (.read, ["read", "list"]), ([.read, .run], ["read", "list", "run"]),
                ([.read, .write], ["read", "list", "write", "make", "rename", "put back", "remove"]),
            ]
            for (access, allowed) in table {
                let inside = try behind(Self.libraries + [("\(path)/open", access)]) { Self.attempts(path, "open") }
                expect(inside, allowed: allowed, "\(access)")
                // What a directory allows says nothing of the one beside it.
                let outside = try behind(Self.libraries + [("\(path)/open", access)]) { Self.attempts(path, "closed") }
                expect(outside, allowed: [], "beside")
                for (name, error) in outside where name != "put back" && name != "remove" {
                    #expect(error == EACCES, "\(name)")
                }
            }
            // Without a fence all of that works.
            expect(Self.attempts(path, "closed"), allowed: Set(Self.attempts(path, "open").keys), "no fence")
        }

        @Test(.disabled(if: isMissing, "this kernel has no Landlock"))
        func whatARunAndAThreadStartIsBehindItToo() throws {
            let place = try Place()
            let path = place.path
            let seen = try behind(Self.libraries) {
                // A thread that a fenced one starts.
                let result = Box()
                let end = DispatchSemaphore(value: 0)
                Thread.detachNewThread {
                    result.attempts = ["read": Self.opened("\(path)/open/file", O_RDONLY)]
                    end.signal()
                }
                end.wait()
                return result.attempts
            }
            #expect(seen == ["read": EACCES])
        }

        @Test(.disabled(if: isMissing, "this kernel has no Landlock"))
        func aRuleOfNothingIsNoRule() throws {
            let place = try Place()
            let path = place.path
            let seen = try behind(
                Self.libraries + [("\(path)/nowhere", .read), ("\(path)/open/file", [.read, .write])]
            ) {
                Self.attempts(path, "open")
            }
            // Of a file alone: neither its directory nor its name.
            expect(seen, allowed: ["read", "write"], "a file")
        }
    }
}
