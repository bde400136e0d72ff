// SPDX-License-Identifier: Apache-2.0
// What a bug report tells of the host: system, rights, and those rules, routes and filters that are ours.
internal import Foundation

enum BugReportHost {
    static func facts() -> String {
        func read(_ path: String) -> String {
            ((try? String(contentsOfFile: path, encoding: .utf8)) ?? "").trimmingCharacters(in: .whitespacesAndNewlines)
        }
        let release = read("/etc/os-release").split(separator: "\n").first { $0.hasPrefix("PRETTY_NAME=") }
        let system = release?.dropFirst("PRETTY_NAME=".count).filter { $0 != "\"" } ?? "unknown"
        let rights = read("/proc/self/status").split(separator: "\n").filter {
            $0.hasPrefix("Uid:") || $0.hasPrefix("CapEff:") || $0.hasPrefix("NoNewPrivs:")
        }
        let versions = [
            VersionReport().text, "system: \(system)",
            "kernel: \(read("/proc/sys/kernel/ostype")) \(read("/proc/sys/kernel/osrelease")) \(architecture)",
            "processors: \(ProcessInfo.processInfo.activeProcessorCount)",
        ]
        return (versions + rights.map { $0.split(separator: "\t").joined(separator: " ") }).joined(separator: "\n")
    }

    private static var architecture: String {
        #if arch(x86_64)
            "x86_64"
        #elseif arch(arm64)
            "arm64"
        #else
            "another architecture"
        #endif
    }

    /// - Parameter marks: numbers of routing tables that are ours.
    static func tables(marks: [UInt32]) -> [(title: String, text: String)] {
        let scratch = NSTemporaryDirectory() + "/pqvpn-report-\(UInt64.random(in: .min ... .max))"
        do {
            try FileManager.default.createDirectory(
                atPath: scratch, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        } catch {
            return [("routes", "(no temporary directory: \(scratch))")]
        }
        defer { try? FileManager.default.removeItem(atPath: scratch) }
        let tools = HostTools(scratch: scratch)
        func ask(_ tool: String, _ arguments: [String], _ gone: [String] = []) -> String {
            do { return try tools.perform(HostCommand(tool, arguments, gone: gone)) } catch {
                return "(\(NodeFailure(error).message))"
            }
        }
        let priorities = [HostNumbers.excludedPriority, HostNumbers.lanPriority, HostNumbers.tunnelPriority]
        let rules = ["-4", "-6"].flatMap { family in
            ask("ip", [family, "rule", "show"]).split(separator: "\n").filter { line in
                line.hasPrefix("(") || priorities.contains { line.hasPrefix("\($0):") }
            }.map { "\(family) \($0)" }
        }
        let noTable = ["FIB table does not exist", "No such file or directory"]
        let routes = marks.flatMap { mark in
            ["-4", "-6"].flatMap { family in
                ask("ip", [family, "route", "show", "table", "\(mark)"], noTable).split(separator: "\n").map {
                    "\(family) table \(mark): \($0)"
                }
            }
        }
        let tables = [HostNumbers.lockdownTable] + marks.map { HostNumbers.marksTable + String($0, radix: 16) }
        let filters = tables.map {
            ask("nft", ["-s", "list", "table", "inet", $0], ["No such file or directory"])
        }
        return [
            ("rules", rules.joined(separator: "\n")), ("routes", routes.joined(separator: "\n")),
            ("filters", filters.joined(separator: "\n")),
        ]
    }
}
