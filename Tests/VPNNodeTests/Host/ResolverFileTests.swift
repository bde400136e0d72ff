// SPDX-License-Identifier: Apache-2.0
// /etc/resolv.conf: replaced and put back byte for byte, and never taken from somebody who keeps it.
import Foundation
import Testing

@testable import VPNNode

@Suite struct ResolverFileTests {
    private static let before = "# mine \u{e4}\nnameserver 192.0.2.1\n\n"
    private static let after = "nameserver 10.77.0.2\n"

    private func mode(_ scratch: Scratch) throws -> Int? {
        try FileManager.default.attributesOfItem(atPath: scratch.file("r"))[.posixPermissions] as? Int
    }

    @Test func contentAndModeComeBack() throws {
        let scratch = try Scratch()
        try scratch.write(Self.before, to: "r", mode: 0o640)
        let saved = try ResolverFile.save(scratch.file("r"), for: Self.after)
        try ResolverFile.write(scratch.file("r"), Self.after)
        #expect(try scratch.read("r") == Self.after && mode(scratch) == 0o644)
        // As it lies on disk between the two commands.
        let read = try JSONDecoder().decode(ResolverFile.self, from: JSONEncoder().encode(saved))
        #expect(try read.restore() == nil)
        #expect(try scratch.read("r") == Self.before && mode(scratch) == 0o640)
        #expect(scratch.names == ["r"])
        // Again, as after a crash in the midst of it.
        #expect(try read.restore() == nil && scratch.read("r") == Self.before)
    }

    @Test func noFileIsNoFileAgain() throws {
        let scratch = try Scratch()
        let saved = try ResolverFile.save(scratch.file("r"), for: Self.after)
        #expect(try saved.restore() == nil && scratch.names.isEmpty)
        try ResolverFile.write(scratch.file("r"), Self.after)
        #expect(try saved.restore() == nil && scratch.names.isEmpty)
    }

    @Test func aFileThatSomebodyChangedStays() throws {
        let scratch = try Scratch()
        try scratch.write(Self.before, to: "r")
        let saved = try ResolverFile.save(scratch.file("r"), for: Self.after)
        try scratch.write("nameserver 203.0.113.1\n", to: "r")
        #expect(try saved.restore()?.contains("changed by somebody else") == true)
        #expect(try scratch.read("r") == "nameserver 203.0.113.1\n")
        try FileManager.default.removeItem(atPath: scratch.file("r"))
        try scratch.write("x", to: "other")
        try scratch.link("r", to: "other")
        #expect(try saved.restore()?.contains("is a link by now") == true)
        #expect(try scratch.read("other") == "x")
    }

    @Test(arguments: [
        ("/run/systemd/resolve/stub-resolv.conf", "set dns.mode to resolvectl"),
        ("/run/resolvconf/resolv.conf", "set dns.mode to resolvconf or resolvectl"),
    ])
    func aLinkIsRefused(_ target: String, _ words: String) throws {
        let scratch = try Scratch()
        try scratch.link("r", to: target)
        let refused = failure { _ = try ResolverFile.save(scratch.file("r"), for: Self.after) }
        #expect(refused?.message.contains(words) == true && refused?.message.contains(target) == true)
    }

    @Test func aDirectoryIsRefused() throws {
        let scratch = try Scratch()
        try FileManager.default.createDirectory(atPath: scratch.file("r"), withIntermediateDirectories: false)
        #expect(
            failure { _ = try ResolverFile.save(scratch.file("r"), for: "") }?.message.contains("no plain file") == true
        )
    }
}
