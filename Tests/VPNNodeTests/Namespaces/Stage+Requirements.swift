// SPDX-License-Identifier: Apache-2.0
// What a stage needs of the machine, and the loud word where it is not there.
import Foundation
import Testing

@testable import VPNNode

extension Stage {
    /// The tools and the built program; nil, having said why, where there can be no stage.
    static func requirements() -> (tools: DemoTools, pqvpn: String)? {
        func skip(_ reason: String) {
            print("SKIPPED: \(Test.current?.name ?? "a test in network namespaces"): \(reason)")
        }
        guard geteuid() == 0 else {
            skip("this user is not root")
            return nil
        }
        guard FileHandle(forUpdatingAtPath: "/dev/net/tun") != nil else {
            skip("/dev/net/tun cannot be opened")
            return nil
        }
        guard let pqvpn = program else {
            skip("the program is not built: name it in PQVPN_BINARY")
            return nil
        }
        do {
            let tools = try DemoTools()
            let directory = FileManager.default.temporaryDirectory.path
            // Two may be tried at once, and each has files of its letter.
            let suffix = DemoPlace.randomSuffix()
            let probe = DemoHost(
                letter: "probe-\(suffix)", number: 9, suffix: suffix, tools: tools, directory: directory)
            defer {
                probe.remove()
                for name in ["ip", "remove"] {
                    for end in ["out", "err"] {
                        try? FileManager.default.removeItem(atPath: "\(directory)/\(name)-\(probe.letter).\(end)")
                    }
                }
            }
            try probe.make()
            return (tools, pqvpn)
        } catch {
            skip("\(error)")
            return nil
        }
    }

    /// PQVPN_BINARY, or what was built with these tests.
    private static var program: String? {
        if let named = ProcessInfo.processInfo.environment["PQVPN_BINARY"] {
            return FileManager.default.isExecutableFile(atPath: named) ? named : nil
        }
        let root = URL(filePath: #filePath).pathComponents.dropLast(4).dropFirst().joined(separator: "/")
        let tests = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        let beside = URL(filePath: tests).deletingLastPathComponent().path + "/pqvpn"
        return [beside, "/\(root)/.build-test/release/pqvpn"].first {
            FileManager.default.isExecutableFile(atPath: $0)
        }
    }
}
