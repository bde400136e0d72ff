// SPDX-License-Identifier: Apache-2.0
// Processor time: of this thread, of this process, of the whole machine. Times on the wall are not used for what is
// measured here, because other programs of the machine would be part of them.
import Foundation
import Glibc

public enum Processor {
    /// Processor time of the calling thread so far.
    public static var threadNanoseconds: UInt64 { read(CLOCK_THREAD_CPUTIME_ID) }

    /// Processor time of all threads of this process so far.
    public static var processNanoseconds: UInt64 { read(CLOCK_PROCESS_CPUTIME_ID) }

    private static func read(_ clock: clockid_t) -> UInt64 {
        var time = timespec()
        // SAFETY: the kernel writes one timespec, and these two clocks exist on every Linux.
        let status = unsafe clock_gettime(clock, &time)
        precondition(status == 0, "no processor clock")
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }

    /// Time that all processors of the machine were busy so far, in nanoseconds, in steps of 10 ms; nil where /proc is
    /// not there.
    public static var machineNanoseconds: UInt64? {
        guard let file = FileHandle(forReadingAtPath: "/proc/stat"), let start = try? file.read(upToCount: 256),
            let line = String(decoding: start, as: UTF8.self).split(separator: "\n").first
        else { return nil }
        // "cpu  user nice system idle iowait irq softirq steal …", in ticks of 1/100 s.
        let ticks = line.split(separator: " ").dropFirst().map { UInt64($0) ?? 0 }
        guard ticks.count >= 7 else { return nil }
        return (ticks[0] + ticks[1] + ticks[2] + ticks[5] + ticks[6]) * 10_000_000
    }

    /// Waits until everything else leaves the machine alone for half a second, but at most `patience` seconds.
    public static func waitForQuiet(patience: Double) {
        let deadline = Date(timeIntervalSinceNow: patience)
        while let before = machineNanoseconds, Date() < deadline {
            Thread.sleep(forTimeInterval: 0.5)
            // 5 % of one processor.
            if let after = machineNanoseconds, after - before < 25_000_000 { return }
        }
    }

    /// Runs `body` and says how many processors other programs kept busy meanwhile; nil where that is unknown.
    public static func foreignLoad(during body: () throws -> Void) rethrows -> Double? {
        let start = (machine: machineNanoseconds, own: processNanoseconds, time: Date())
        try body()
        guard let before = start.machine, let after = machineNanoseconds else { return nil }
        let own = Double(processNanoseconds - start.own)
        return max(0, (Double(after - before) - own) / (Date().timeIntervalSince(start.time) * 1e9))
    }

    /// The processor time per operation of this thread, in nanoseconds.
    public static func nanoseconds(operations: Int, _ body: () throws -> Void) rethrows -> Double {
        let start = threadNanoseconds
        try body()
        return Double(threadNanoseconds - start) / Double(operations)
    }
}
