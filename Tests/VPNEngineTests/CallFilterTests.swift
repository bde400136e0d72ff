// SPDX-License-Identifier: Apache-2.0
// What is left of the system calls behind the filter, as the kernel says to programs that want the others. A process of its own, since
// there is no way back.
import Foundation
import Testing

@testable import VPNEngine

@Suite struct CallFilterTests {
    private static let mark = "PQVPN_FILTERS_CALLS"

    /// What an ordinary service needs, and what it has no business with: namespaces, mounts, tracing, time.
    private static let wanted = ["/bin/true", "cat /proc/self/status > /dev/null", "echo text | grep -q text"]
    private static let unwanted = [
        "unshare --net true", "unshare --user true", "unshare --mount true", "mount -t tmpfs none /mnt",
    ]

    @Test func onlyAnOrdinaryServicesCallsAreLeft() throws {
        if ProcessInfo.processInfo.environment[Self.mark] != nil { try tellWhatIsLeft() }
        guard getuid() == 0 else { return print("SKIPPED: \(Test.current?.name ?? ""): this user is not root") }
        let child = Process()
        child.executableURL = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
        child.arguments = ["--testing-library", "swift-testing", "--filter", "CallFilterTests"]
        child.environment = ProcessInfo.processInfo.environment.merging([Self.mark: "1"]) { $1 }
        let output = Pipe()
        (child.standardOutput, child.standardError) = (output, output)
        try child.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        child.waitUntilExit()
        let lines = Set(text.split(separator: "\n").map(String.init))
        for line in Self.wanted {
            #expect(lines.contains("before 0: \(line)") && lines.contains("after 0: \(line)"), "\(text)")
        }
        for line in Self.unwanted { #expect(lines.contains("after refused: \(line)"), "\(line): \(text)") }
        // The refusals are the filter's: before it root may.
        #expect(lines.contains("before 0: unshare --net true") && lines.contains("before 0: unshare --mount true"))
    }

    private func tellWhatIsLeft() throws -> Never {
        for line in Self.wanted + Self.unwanted.prefix(3) { print("before \(Self.status(line)): \(line)") }
        try ProcessPrivileges.filterCalls()
        for line in Self.wanted { print("after \(Self.status(line)): \(line)") }
        for line in Self.unwanted { print("after \(Self.status(line) == 0 ? "allowed" : "refused"): \(line)") }
        fflush(nil)
        exit(0)
    }

    private static func status(_ line: String) -> Int32 {
        let process = Process()
        process.executableURL = URL(filePath: "/bin/sh")
        process.arguments = ["-c", line]
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return -1 }
        process.waitUntilExit()
        return process.terminationStatus
    }
}
