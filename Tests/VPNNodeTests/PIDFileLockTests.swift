// SPDX-License-Identifier: Apache-2.0
// The lock of a pid file is the daemon's alone. Everybody may read the file, and flock asks for no more than that.
import Foundation
import Glibc
import Testing

@testable import VPNNode

@Suite struct PIDFileLockTests {
    /// docs/commands.md: a file that a killed daemon left is no obstacle, whoever of this host has it open meanwhile.
    @Test func aReadersLockIsNoRunningDaemon() throws {
        let scratch = try Scratch()
        let path = try scratch.write("999999999\n", to: "p.pid", mode: 0o644)
        let reader = try OpenFile(path, O_RDONLY)
        let status = flock(reader.descriptor, LOCK_EX | LOCK_NB)
        #expect(status == 0)
        let failed = failure(of: { _ = try PIDFile(path: path) })
        #expect(failed == nil, "\(failed?.message ?? "")")
        let held = reader.path
        #expect(held == path, "held until here")
    }
}
