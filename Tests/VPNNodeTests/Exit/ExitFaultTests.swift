// SPDX-License-Identifier: Apache-2.0
// Where an exit says to nft what its table is: in a directory that nobody else has made, whatever became of the former
// one.
import Foundation
import Testing
import VPNCore

@testable import VPNNode

@Suite(.threads(.programs)) struct ExitFaultTests {
    private static let table = ExitTable(
        policy: .allowAll, surroundings: ExitSurroundings(addresses: [], port: 9000, closed: []), interface: "pqvpn0",
        networks: [IPPrefix(containing: IPAddress("10.66.0.0")!, length: 16)], masquerades: true,
        newConnectionsPerSecond: 50, connections: 2048)

    /// A cleaner of temporary files takes directories that nobody used for days. Whoever makes one of that name could
    /// put rules of his own in the place of ours.
    @Test func nothingIsReadFromADirectoryOfSomebodyElses() throws {
        let scratch = try Scratch()
        try FileManager.default.createDirectory(atPath: scratch.file("bin"), withIntermediateDirectories: false)
        try scratch.write(
            "#!/bin/sh\nreadlink /proc/self/fd/0 >> \(scratch.file("log"))\n", to: "bin/nft", mode: 0o755)
        let host = try ExitHost(path: scratch.file("bin"), settings: scratch.file("net"))
        /// What nft read from, each time.
        func places() throws -> [String] { try scratch.read("log").split(separator: "\n").map(String.init) }

        try host.load(Self.table)
        // One that is gone is made anew.
        let first = ProtectedFile.split(try #require(try places().last)).directory
        try? FileManager.default.removeItem(atPath: first)
        try host.load(Self.table)
        #expect(try places().count == 2)

        let place = ProtectedFile.split(try #require(try places().last)).directory
        try? FileManager.default.removeItem(atPath: place)
        try FileManager.default.createDirectory(atPath: place, withIntermediateDirectories: false)
        defer { try? FileManager.default.removeItem(atPath: place) }
        try FileManager.default.setAttributes([.posixPermissions: 0o777], ofItemAtPath: place)
        if isRoot { try FileManager.default.setAttributes([.ownerAccountID: 65534], ofItemAtPath: place) }
        // Refused, or told in another place.
        try? host.load(Self.table)
        try? host.close()
        let later = try places().dropFirst(2)
        #expect(!later.contains { $0.hasPrefix(place + "/") }, "\(later)")
    }
}
