// SPDX-License-Identifier: Apache-2.0
// `pqvpn invite --qr`: the link goes to qrencode by a pipe and nowhere else, and without qrencode no invitation is made.
import Foundation
import Testing

@testable import VPNNode

@Suite struct InvitationQRTests {
    private func server() throws -> Scratch {
        let scratch = try Scratch()
        let made = try Program.run(
            ["init", "--role", "server", "--dir", ".", "--endpoint", "192.0.2.1:9000", "--non-interactive"], in: scratch
        )
        #expect(made.status == 0, "\(made.errors)")
        try FileManager.default.createDirectory(atPath: scratch.file("bin"), withIntermediateDirectories: false)
        return scratch
    }

    private func invite(_ scratch: Scratch, _ more: [String] = ["--qr"], path: String? = nil) throws -> Program.Outcome
    {
        let tools = path ?? "\(scratch.file("bin")):/usr/bin:/bin"
        return try Program.launch(
            ["/usr/bin/env", "PATH=\(tools)", Program.path, "invite", "--config", "pqvpn.yaml"] + more, in: scratch)
    }

    @Test func theLinkGoesByAPipeAlone() throws {
        let scratch = try server()
        try scratch.write(
            "#!/bin/sh\necho \"$@\" > \(scratch.file("arguments"))\ncat > \(scratch.file("input"))\necho PICTURE\n",
            to: "bin/qrencode", mode: 0o755)
        let outcome = try invite(scratch)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let link = try #require(outcome.output.split(separator: "\n").first)
        #expect(link.hasPrefix("pqvpn://join/") && outcome.output.hasSuffix("PICTURE\n"), "\(outcome.output)")
        // About 120 characters, and to the last one of them what qrencode has read.
        #expect(link.count < 140)
        #expect(try scratch.read("input") == link)
        #expect(try scratch.read("arguments") == "--type UTF8 --level L --margin 2 --output -\n")
        try scratch.write("#!/bin/sh\nexit 3\n", to: "bin/qrencode", mode: 0o755)
        let failed = try invite(scratch)
        #expect(failed.status == 1 && failed.errors.contains("status 3: the link above is good"))
        #expect(failed.output.hasPrefix("pqvpn://join/"))
        #expect(try invite(scratch, ["--qr", "--json"]).status == 2)
    }

    @Test func theRealOneDrawsWhatItIsTold() throws {
        guard let real = HostTools(scratch: "/").find("qrencode") else {
            return print("SKIPPED: \(Test.current?.name ?? ""): there is no qrencode")
        }
        let scratch = try server()
        let outcome = try invite(scratch)
        #expect(outcome.status == 0, "\(outcome.errors)")
        let link = String(try #require(outcome.output.split(separator: "\n").first))
        let picture = try Program.launch(
            [real, "--type", "UTF8", "--level", "L", "--margin", "2", "--output", "-", link], in: scratch)
        #expect(picture.output.contains("█") && outcome.output.hasSuffix(picture.output), "\(outcome.output)")
        // It fits a terminal of 80 columns.
        #expect(picture.output.split(separator: "\n").allSatisfy { $0.count <= 80 })
    }

    @Test func withoutItNothingIsMade() throws {
        let scratch = try server()
        guard
            !["/usr/bin", "/bin", "/usr/sbin", "/sbin"].contains(where: {
                FileManager.default.isExecutableFile(atPath: "\($0)/qrencode")
            })
        else { return print("SKIPPED: \(Test.current?.name ?? ""): this machine has qrencode") }
        let outcome = try invite(scratch)
        #expect(outcome.status == 1 && outcome.errors.contains("apt install qrencode"), "\(outcome.errors)")
        #expect(!scratch.names.contains("pqvpn.invites.yaml"))
    }
}
