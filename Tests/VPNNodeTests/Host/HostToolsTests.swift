// SPDX-License-Identifier: Apache-2.0
// How programs of the host are run: what they read and say, which of their failures are none, and that nothing is left.
import Foundation
import Testing

@testable import VPNNode

@Suite(.threads(.programs)) struct HostToolsTests {
    private struct Place {
        let scratch = try! Scratch()

        init(_ programs: [String: String]) throws {
            for directory in ["bin", "state"] {
                try FileManager.default.createDirectory(
                    atPath: scratch.file(directory), withIntermediateDirectories: false,
                    attributes: [.posixPermissions: 0o700])
            }
            for (name, script) in programs {
                try scratch.write("#!/bin/sh\n\(script)\n", to: "bin/\(name)", mode: 0o755)
            }
        }

        var tools: HostTools { HostTools(path: scratch.file("bin"), scratch: scratch.file("state")) }
        /// What a run has left.
        var left: [String] {
            (try? FileManager.default.contentsOfDirectory(atPath: scratch.file("state"))) ?? ["no directory"]
        }
    }

    @Test func aToolReadsWhatItIsToldAndItsWordsComeBack() throws {
        let place = try Place(["say": "cat; echo \"$1|$2|$LC_ALL\"; echo oops >&2; exit 3", "die": "kill -9 $$"])
        let said = try place.tools.run(HostCommand("say", ["a b", "$HOME"], input: "line\n"))
        #expect(said.status == 3 && said.output == "line\na b|$HOME|C\n" && said.errors == "oops\n")
        // Without anything to read there is an end at once.
        #expect(try place.tools.run(HostCommand("say", [])).output == "||C\n")
        #expect(try place.tools.run(HostCommand("die", [])).status == 128 + 9)
        #expect(place.left == [])
    }

    @Test func wordsThatMeanGoneAreNoFailure() throws {
        let place = try Place([
            "gone": "echo 'RTNETLINK answers: No such process' >&2; exit 2", "well": "echo fine",
            "dumb": "echo 'on standard output'; exit 1",
        ])
        #expect(try place.tools.perform(HostCommand("well", [])) == "fine\n")
        #expect(try place.tools.perform(HostCommand("gone", ["x"], gone: ["nothing", "No such process"])) == "")
        for gone in [[], ["File exists"]] {
            let refused = failure { _ = try place.tools.perform(HostCommand("gone", ["x"], gone: gone)) }
            #expect(refused?.message == "`gone x` ended with status 2: RTNETLINK answers: No such process")
        }
        let dumb = failure { _ = try place.tools.perform(HostCommand("dumb", [])) }
        #expect(dumb?.message == "`dumb` ended with status 1: on standard output")
    }

    @Test func whatIsMissingIsNamedBeforeAnythingIsDone() throws {
        let place = try Place(["well": "exit 0"])
        try place.tools.require(["well"])
        let missing = failure { try place.tools.require(["well", "no-such-a", "no-such-b"]) }
        #expect(missing?.message.contains("missing: no-such-a, no-such-b") == true)
        #expect(missing?.message.contains("nothing was changed") == true)
        let one = failure { _ = try place.tools.run(HostCommand("no-such-a", ["x"])) }
        #expect(one?.message.contains("there is no no-such-a in PATH") == true, "\(one?.message ?? "run")")
        // A relative entry of PATH is none.
        #expect(!HostTools.directories("bin:/opt/tools:").contains("bin"))
        #expect(HostTools.directories("bin:/opt/tools:").first == "/opt/tools")
    }

    /// Two profiles may want the same rule; nobody else's is taken for one.
    @Test func whatIsThereAlreadyIsGoodEnoughWhereItIsShared() throws {
        let place = try Place(["ip": "echo 'RTNETLINK answers: File exists' >&2; exit 2"])
        let step = HostStep("rule -4 1", .commands(apply: [HostCommand("ip", ["rule", "add"])], revert: []))
        try step.perform(place.tools, isShared: true)
        let refused = failure { try step.perform(place.tools) }
        #expect(refused?.message.hasPrefix("rule -4 1: `ip rule add` ended with status 2") == true)
    }

    @Test func commandsAreShownAsSomebodyWouldTypeThem() {
        #expect("\(HostCommand("ip", ["-4", "a/b:c=1,2@x%y+z_"]))" == "ip -4 a/b:c=1,2@x%y+z_")
        #expect("\(HostCommand("ip", ["a b", "it's", "", "~."]))" == "ip 'a b' 'it'\\''s' '' '~.'")
    }
}
