// SPDX-License-Identifier: Apache-2.0
// What an exit says where its host refuses something, and that nothing of its own is left then.
import Foundation
import Testing
import VPNCore

@testable import VPNNode

@Suite(.threads(.programs)) struct ExitHostRefusalTests {
    private static let table = ExitTable(
        policy: .allowAll, surroundings: ExitSurroundings(addresses: [], port: 9000, closed: []), interface: "t0",
        networks: [IPPrefix(containing: IPAddress("10.66.0.0")!, length: 16)], masquerades: true,
        newConnectionsPerSecond: 50, connections: 2048)

    private func host(_ scratch: Scratch, _ script: String) throws -> ExitHost {
        try FileManager.default.createDirectory(atPath: scratch.file("bin"), withIntermediateDirectories: true)
        try scratch.write("#!/bin/sh\n\(script)\n", to: "bin/nft", mode: 0o755)
        return try ExitHost(path: scratch.file("bin"), settings: scratch.file("net"))
    }

    @Test func aTableThatTheKernelRefusesIsToldWithItsWords() throws {
        let scratch = try Scratch()
        let log = "readlink /proc/self/fd/0 >> \(scratch.file("log"))"
        let refusing = try host(scratch, "\(log); echo 'Operation not supported' >&2; exit 1")
        let refused = failure { try refusing.load(Self.table) }
        #expect(refused?.message.contains("an exit needs its table in the kernel") == true)
        #expect(refused?.message.contains("Operation not supported") == true)
        #expect(failure { try refusing.close() } != nil)
        let taking = try host(scratch, log)
        try taking.load(Self.table)
        try taking.close()
        let places = try scratch.read("log").split(separator: "\n").map { ProtectedFile.split(String($0)).directory }
        #expect(places.count == 4)
        for place in places { #expect(!FileManager.default.fileExists(atPath: place), "\(place)") }
    }

    @Test func whatNftReadsIsTheTableAndThenItsRemoval() throws {
        let scratch = try Scratch()
        let exit = try host(scratch, "cat > \(scratch.file("told"))")
        try exit.load(Self.table)
        #expect(try scratch.read("told") == Self.table.replacement)
        try exit.close()
        #expect(try scratch.read("told") == ExitTable.removal)
    }

    @Test func aSettingThatCannotBeSetIsNamedAndKeepsNoOtherFromBeingSet() throws {
        let scratch = try Scratch()
        let exit = try host(scratch, "exit 0")
        for family in ["ipv4", "ipv6"] {
            try FileManager.default.createDirectory(
                atPath: scratch.file("net/\(family)/conf/t0"), withIntermediateDirectories: true)
            try scratch.write("1\n", to: "net/\(family)/conf/t0/accept_redirects")
        }
        // Nobody writes to a directory, root neither.
        try FileManager.default.createDirectory(
            atPath: scratch.file("net/ipv4/conf/t0/forwarding"), withIntermediateDirectories: false)
        let complaints = exit.forward(on: "t0")
        #expect(complaints.count == 1, "\(complaints)")
        #expect(complaints.first?.hasPrefix("net.ipv4.conf.t0.forwarding cannot be set to 1") == true)
        for family in ["ipv4", "ipv6"] {
            #expect(try scratch.read("net/\(family)/conf/t0/accept_redirects").hasPrefix("0"), "\(family)")
        }
    }

    @Test func waysThatAreClosedAreToldOf() throws {
        let scratch = try Scratch()
        for directory in ["ipv4", "ipv6/conf/all"] {
            try FileManager.default.createDirectory(
                atPath: scratch.file("net/\(directory)"), withIntermediateDirectories: true)
        }
        // A kernel without IPv6 has no such file, and nothing to tell.
        #expect(ExitHost.closedWays(scratch.file("net")) == [])
        for (forwards4, forwards6, count) in [("1", "1", 0), ("0", "1", 1), ("1", "0", 1), ("0", "0", 2)] {
            try scratch.write("\(forwards4)\n", to: "net/ipv4/ip_forward")
            try scratch.write("\(forwards6)\n", to: "net/ipv6/conf/all/forwarding")
            let closed = ExitHost.closedWays(scratch.file("net"))
            #expect(closed.count == count, "\(closed)")
            #expect(closed.contains { $0.contains("sysctl -w net.ipv4.ip_forward=1") } == (forwards4 == "0"))
        }
    }
}
