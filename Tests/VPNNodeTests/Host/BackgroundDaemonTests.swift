// SPDX-License-Identifier: Apache-2.0
// A daemon is known by the lock on its pid file: a number that a dead one left is nobody who is sent a signal.
import Foundation
import Glibc
import Testing

@testable import VPNNode

@Suite(.threads(.programs)) struct BackgroundDaemonTests {
    @Test func aNumberWithoutALockIsNobody() throws {
        let scratch = try Scratch()
        let daemon = BackgroundDaemon(pidFile: scratch.file("p.pid"))
        #expect(daemon.process == nil)
        // It may be anybody's by now, such as this very process's, which goes on.
        try scratch.write("\(getpid())\n", to: "p.pid")
        #expect(daemon.process == nil)
        #expect(try !daemon.stop())
        daemon.forget()
        #expect(scratch.names.isEmpty)
        #expect(try !daemon.stop())
    }

    @Test func aFileThatIsHeldStays() throws {
        let scratch = try Scratch()
        let daemon = BackgroundDaemon(pidFile: scratch.file("p.pid"))
        let file = try PIDFile(path: scratch.file("p.pid"))
        #expect(daemon.process == getpid())
        daemon.forget()
        #expect(scratch.names == ["p.pid"])
        file.remove()
        #expect(daemon.process == nil && scratch.names.isEmpty)
    }

    @Test func whatIsNoNumberIsNobody() throws {
        let scratch = try Scratch()
        for text in ["", "no number\n", "99999999999\n"] {
            try scratch.write(text, to: "p.pid")
            let held = try OpenFile(scratch.file("p.pid"), O_RDWR)
            let isHeld = try held.tryLock()
            #expect(isHeld)
            #expect(BackgroundDaemon(pidFile: scratch.file("p.pid")).process == nil, "\(text)")
            _ = consume held
        }
    }

    @Test func aDaemonIsAskedToEnd() throws {
        guard HostTools(scratch: "/").find("flock") != nil else {
            return print("SKIPPED: \(Test.current?.name ?? ""): there is no flock")
        }
        let scratch = try Scratch()
        let script = "exec 9<>p.pid; flock 9 || exit 1; echo $$ > p.pid; exec sleep 600"
        let process = try Program.start(["/bin/sh", "-c", script], in: scratch, output: "o", errors: "e")
        defer { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
        let daemon = BackgroundDaemon(pidFile: scratch.file("p.pid"))
        for _ in 0..<1000 where daemon.process == nil { usleep(20_000) }
        #expect(daemon.process == process.processIdentifier)
        // It was not killed, and is gone.
        #expect(try !daemon.stop())
        process.waitUntilExit()
        #expect(process.terminationReason == .uncaughtSignal && process.terminationStatus == SIGTERM)
        daemon.forget()
        #expect(!scratch.names.contains("p.pid"))
    }
}
