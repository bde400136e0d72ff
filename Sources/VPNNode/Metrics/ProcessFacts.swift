// SPDX-License-Identifier: Apache-2.0
// What Linux says of this process, from /proc/self. Where it is not to be had, it is left out rather than told as zero.
internal import Foundation
internal import Glibc

struct ProcessFacts: Equatable, Sendable {
    /// User and system time.
    var cpuSeconds: Double
    var residentBytes: Int
    /// Without the one that counting takes.
    var openFiles: Int
    /// Since 1970.
    var startSeconds: Double

    /// This process, now; nil without /proc.
    static func current() -> ProcessFacts? {
        guard let stat = text("/proc/self/stat"), let uptime = text("/proc/uptime"),
            let directory = try? OpenFile.directory("/proc/self/fd"), let names = try? directory.names()
        else { return nil }
        return ProcessFacts(
            stat: stat, uptime: uptime, now: Date().timeIntervalSince1970,
            // The directory itself, and the second descriptor that its names are read by.
            openFiles: max(0, names.count - 2), ticks: Double(sysconf(Int32(_SC_CLK_TCK))),
            pageSize: Int(sysconf(Int32(_SC_PAGESIZE))))
    }

    init?(stat: String, uptime: String, now: Double, openFiles: Int, ticks: Double, pageSize: Int) {
        // The name of the program comes second, in parentheses, and may hold anything, parentheses and blanks included.
        guard let end = stat.lastIndex(of: ")") else { return nil }
        let fields = stat[stat.index(after: end)...].split(whereSeparator: \.isWhitespace)
        guard fields.count > 21, let user = Double(fields[11]), let system = Double(fields[12]),
            let started = Double(fields[19]), let pages = Int(fields[21]),
            let running = uptime.split(separator: " ").first.flatMap({ Double($0) }), ticks > 0
        else { return nil }
        cpuSeconds = (user + system) / ticks
        residentBytes = pages * pageSize
        startSeconds = now - running + started / ticks
        self.openFiles = openFiles
    }

    private static func text(_ path: String) -> String? {
        guard let file = try? OpenFile(path, O_RDONLY), let bytes = try? file.read(limit: 4096) else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }
}
