// SPDX-License-Identifier: Apache-2.0
// The programs that the demonstration needs, found before anything is built, and the Debian packages that hold them.
internal import Foundation

struct DemoTools: Sendable {
    let ip: String
    let ping: String
    let iperf3: String
    let tcpdump: String
    let unshare: String
    /// This very program.
    let pqvpn: String

    /// Names every program that is missing, and how to get it.
    init(searching directories: [String] = Self.searchPath) throws {
        var missing: [(tool: String, package: String)] = []
        func find(_ tool: String, _ package: String) -> String {
            for directory in directories where FileManager.default.isExecutableFile(atPath: "\(directory)/\(tool)") {
                return "\(directory)/\(tool)"
            }
            missing.append((tool, package))
            return tool
        }
        ip = find("ip", "iproute2")
        ping = find("ping", "iputils-ping")
        iperf3 = find("iperf3", "iperf3")
        tcpdump = find("tcpdump", "tcpdump")
        unshare = find("unshare", "util-linux")
        guard let own = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe") else {
            throw NodeFailure(.failure, "/proc is not mounted, so that the program cannot find itself")
        }
        pqvpn = own
        guard missing.isEmpty else {
            let tools = missing.map(\.tool).joined(separator: ", ")
            let packages = missing.map(\.package).joined(separator: " ")
            throw NodeFailure(
                .failure, "missing: \(tools). On Debian: sudo apt-get install --no-install-recommends \(packages)")
        }
    }

    /// Where a program is; nil where it is not.
    static func path(of tool: String) -> String? {
        searchPath.map { "\($0)/\(tool)" }.first { FileManager.default.isExecutableFile(atPath: $0) }
    }

    /// PATH, and the directories of system programs, which PATH of an ordinary user may lack.
    private static var searchPath: [String] {
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        return path.split(separator: ":").map(String.init) + ["/usr/sbin", "/sbin", "/usr/bin", "/bin"]
    }
}
