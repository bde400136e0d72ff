// SPDX-License-Identifier: Apache-2.0
// What an exit does to its host's settings, on files that stand for the kernel's.
import Foundation
import Testing

@testable import VPNNode

@Suite struct ExitHostTests {
    private func host(_ scratch: Scratch) throws -> ExitHost {
        try FileManager.default.createDirectory(atPath: scratch.file("bin"), withIntermediateDirectories: false)
        try scratch.write("#!/bin/sh\nexit 0\n", to: "bin/nft", mode: 0o755)
        return try ExitHost(path: scratch.file("bin"), settings: scratch.file("net"))
    }

    /// As under systemd's ProcSubset=pid.
    @Test func settingsThatAreHiddenAreToldOf() throws {
        let scratch = try Scratch()
        let complaints = try host(scratch).forward(on: "t0")
        #expect(complaints.count == 1 && complaints[0].contains("exit.conf"), "\(complaints)")
    }

    @Test func theInterfaceForwardsAndTheHostIsLookedAt() throws {
        let scratch = try Scratch()
        for family in ["ipv4", "ipv6"] {
            for name in ["t0", "all"] {
                try FileManager.default.createDirectory(
                    atPath: scratch.file("net/\(family)/conf/\(name)"), withIntermediateDirectories: true)
            }
            try scratch.write("0\n", to: "net/\(family)/conf/t0/forwarding")
            try scratch.write("1\n", to: "net/\(family)/conf/t0/accept_redirects")
        }
        try scratch.write("1\n", to: "net/ipv4/conf/t0/send_redirects")
        try scratch.write("0\n", to: "net/ipv4/ip_forward")
        try scratch.write("1\n", to: "net/ipv6/conf/all/forwarding")
        let host = try host(scratch)
        let complaints = host.forward(on: "t0")
        #expect(complaints.count == 1 && complaints[0].hasPrefix("net.ipv4.ip_forward is 0"), "\(complaints)")
        for (name, value) in [
            ("ipv4/conf/t0/forwarding", "1"), ("ipv6/conf/t0/forwarding", "1"), ("ipv4/conf/t0/send_redirects", "0"),
            ("ipv4/conf/t0/accept_redirects", "0"), ("ipv6/conf/t0/accept_redirects", "0"),
        ] { #expect(try scratch.read("net/\(name)").first.map(String.init) == value, "\(name)") }
    }
}
