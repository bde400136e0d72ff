// SPDX-License-Identifier: Apache-2.0
// The manual pages: one for each command, with all that its help has, and clean for those who format them.
import Foundation
import Testing

@Suite(.serialized)
struct ManualTests {
    private static var mandoc: String? {
        (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map { "\($0)/mandoc" }
            .first(where: FileManager.default.isExecutableFile)
    }

    private func pages() throws -> (Scratch, [String]) {
        let scratch = try Scratch()
        let made = try Program.run(["man", "--out", "man/man1", "--date", "2026-11-25"], in: scratch)
        #expect(made.status == 0, "\(made.errors)")
        return (scratch, try FileManager.default.contentsOfDirectory(atPath: scratch.file("man/man1")).sorted())
    }

    @Test func everyCommandHasAPage() throws {
        let (scratch, names) = try pages()
        #expect(names.contains("pqvpn.1") && names.contains("pqvpn-peers-add.1") && names.count > 30, "\(names)")
        #expect(!names.contains { $0.hasPrefix("pqvpn-man") || $0.contains("help") }, "what is hidden stays so")
        // What the help lists is what there is.
        let help = try Program.run(["help"], in: scratch).output
        let listed = try #require(help.range(of: "SUBCOMMANDS:")).upperBound
        for line in help[listed...].split(separator: "\n") where line.hasPrefix("  ") && !line.hasPrefix("   ") {
            let command = try #require(line.split(separator: " ").first)
            if command == "See" || command == "help" { continue }
            #expect(names.contains("pqvpn-\(command).1"), "\(line)")
        }
        let logs = try scratch.read("man/man1/pqvpn-logs.1")
        for part in [
            ".Dd November 25, 2026\n.Dt PQVPN-LOGS 1\n", ".Nm pqvpn logs\n", ".Op Fl -level Ar level\n",
            ".It Fl -follow , Fl f\n", ".Xr pqvpn 1\n", ".It 3\n",
        ] { #expect(logs.contains(part), "\(part)\(logs)") }
        let bad = try Program.run(["man", "--out", "m", "--date", "yesterday"], in: scratch)
        #expect(bad.status == 2 && bad.errors.contains("YYYY-MM-DD") && !scratch.names.contains("m"))
        try scratch.write("", to: "file")
        #expect(try Program.run(["man", "--out", "file"], in: scratch).status == 1)
    }

    @Test func thePagesAreClean() throws {
        guard let mandoc = Self.mandoc else {
            print("SKIPPED: \(#function), which needs mandoc (Debian package mandoc)")
            return
        }
        let (scratch, names) = try pages()
        for name in names {
            let told = try Program.launch(
                [mandoc, "-T", "lint", "-W", "warning", "man/man1/\(name)"], in: scratch)
            #expect(told.status == 0 && told.output.isEmpty, "\(told.output)\(told.errors)")
        }
        // The checker checks.
        try scratch.write(".Dt X 1\n.Sh NAME\n.Bl\n", to: "bad.1")
        #expect(try Program.launch([mandoc, "-T", "lint", "-W", "warning", "bad.1"], in: scratch).status != 0)
    }
}
