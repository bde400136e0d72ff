// SPDX-License-Identifier: Apache-2.0
// Ways back: settings that somebody else has changed since, settings that two profiles want, and the resolver's file by
// its text.
import Foundation
import Testing

@testable import VPNNode

@Suite struct HostUndoTests {
    private let tools = HostTools(path: "/nowhere", scratch: "/nowhere")

    @Test func aSettingThatSomebodyChangedStays() throws {
        let scratch = try Scratch()
        let path = try scratch.write("0\n", to: "setting")
        let step = HostStep("filter", .setting(path, "1"))
        let undo = try step.undo()
        try step.perform(tools)
        #expect(try scratch.read("setting") == "1\n")
        try scratch.write("2\n", to: "setting")
        #expect(try undo.perform(tools) == nil && scratch.read("setting") == "2\n")
        // As we left it, it goes back; and again, as after a crash in the midst of it.
        try scratch.write("1\n", to: "setting")
        #expect(try undo.perform(tools) == nil && scratch.read("setting") == "0\n")
        #expect(try undo.perform(tools) == nil && scratch.read("setting") == "0\n")
        // What cannot be looked at is no success, and is named.
        try FileManager.default.removeItem(atPath: path)
        #expect(failure { _ = try undo.perform(tools) }?.message.hasPrefix("filter: ") == true)
        #expect(failure { _ = try step.undo() } != nil)
    }

    private func setting(_ path: String = "/s", was: String, wrote: String = "1") -> HostUndo {
        HostUndo(title: "filter", way: .setting(path: path, was: was, wrote: wrote))
    }

    @Test func whoStaysLeadsBackToWhereTheFirstBegan() {
        let first = setting(was: "0")
        var second = setting(was: "1")
        second.inherit(first)
        #expect(second == first)
        // Whoever was there before keeps its own way.
        var own = first
        own.inherit(setting(was: "1"))
        #expect(own == first)
        var other = HostUndo(title: "rule", way: .commands([]))
        other.inherit(first)
        #expect(other.way == .commands([]))
    }

    @Test func oneThingIsOneSettingOrTheSameCommands() {
        #expect(setting(was: "0").isOfSame(as: setting(was: "1")))
        #expect(!setting(was: "0").isOfSame(as: setting("/t", was: "0")))
        let rule = HostUndo(title: "a", way: .commands([HostCommand("ip", ["rule", "del"])]))
        #expect(rule.isOfSame(as: HostUndo(title: "b", way: rule.way)))
        #expect(!rule.isOfSame(as: HostUndo(title: "a", way: .commands([HostCommand("ip", ["rule"])]))))
        #expect(!rule.isOfSame(as: setting(was: "0")))
        // A file of names is one profile's alone.
        let names = HostUndo(title: "n", way: .resolverFile(ResolverFile(path: "/r", before: nil, wrote: "x")))
        #expect(!names.isOfSame(as: names))
    }

    @Test func aResolversFileIsOursByItsText() throws {
        let scratch = try Scratch()
        try scratch.write("before\n", to: "r")
        let first = try ResolverFile.save(scratch.file("r"), for: "one\n")
        let second = first.rewritten("two\n")
        #expect(try !first.isOurs && !second.isOurs)
        for text in ["one\n", "two\n"] {
            try scratch.write(text, to: "r")
            #expect(try second.isOurs, "\(text)")
        }
        #expect(try !first.isOurs)
        #expect(try second.restore() == nil && scratch.read("r") == "before\n")
        try FileManager.default.removeItem(atPath: scratch.file("r"))
        #expect(try !second.isOurs)
        try scratch.write("two\n", to: "other")
        try scratch.link("r", to: scratch.file("other"))
        #expect(try !second.isOurs)
    }

    @Test func whatIsNoResolversFileIsNotReplaced() throws {
        let scratch = try Scratch()
        try scratch.write(String(repeating: "#", count: 1 << 20), to: "r")
        _ = try ResolverFile.save(scratch.file("r"), for: "")
        try scratch.write(String(repeating: "#", count: 1 << 20 + 1), to: "r")
        scratch.makeFIFO("f")
        for name in ["r", "f"] {
            let refused = failure { _ = try ResolverFile.save(scratch.file(name), for: "") }
            #expect(refused?.message.contains("no plain file") == true, "\(refused?.message ?? name)")
        }
    }
}
