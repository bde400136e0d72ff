// SPDX-License-Identifier: Apache-2.0
// What is installed: units that systemd finds well formed and well locked, and a Debian package that lintian has nothing to say
// about, that comes out the same twice, and that goes as it came.
import Foundation
import Glibc
import Testing

@testable import VPNNode

@Suite(.serialized, .threads(.programs)) struct PackagingTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().path
    private static let units = ["pqvpn@.service", "pqvpn-lockdown.service"]

    /// The path of a program; nil, having said so loudly, where there is none.
    private static func find(_ tool: String) -> String? {
        let path = HostTools(scratch: "/").find(tool)
        if path == nil { print("SKIPPED: \(Test.current?.name ?? ""): there is no \(tool)") }
        return path
    }

    private static func unit(_ name: String) throws -> String {
        try String(contentsOfFile: "\(root)/packaging/systemd/\(name)", encoding: .utf8)
    }

    // MARK: Units

    @Test(arguments: units) func theUnitIsWellFormed(_ name: String) throws {
        guard let analyze = Self.find("systemd-analyze") else {
            return print("SKIPPED: \(Test.current?.name ?? ""): it needs systemd-analyze")
        }
        let scratch = try Scratch()
        // The program is not installed where it is built.
        let text = try Self.unit(name).replacingOccurrences(of: "/usr/bin/pqvpn", with: Program.path)
        try scratch.write(text, to: name.replacingOccurrences(of: "@", with: "@x"), mode: 0o644)
        let file = scratch.file(name.replacingOccurrences(of: "@", with: "@x"))
        let outcome = try Program.launch([analyze, "verify", "--man=no", file], in: scratch)
        #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.output)\(outcome.errors)")
        // What the silence above is worth.
        try scratch.write(text + "\n[Service]\nNoNewPrivilege=yes\n", to: "bad.service", mode: 0o644)
        let bad = try Program.launch([analyze, "verify", "--man=no", scratch.file("bad.service")], in: scratch)
        #expect(bad.errors.contains("NoNewPrivilege"))
    }

    @Test(arguments: units + ["relay", "exit"]) func theUnitIsLocked(_ name: String) throws {
        guard let analyze = Self.find("systemd-analyze") else {
            return print("SKIPPED: \(Test.current?.name ?? ""): it needs systemd-analyze")
        }
        let scratch = try Scratch()
        let (isRelay, isRole) = (name == "relay", name == "relay" || name == "exit")
        let text = isRole ? try Self.unit("pqvpn@.service") + Self.unit("\(name).conf") : try Self.unit(name)
        let file = isRole ? "\(name)@.service" : name
        try scratch.write(text, to: file, mode: 0o644)
        let outcome = try Program.launch(
            [analyze, "security", "--offline=true", "--threshold=25", scratch.file(file)], in: scratch)
        #expect(outcome.status == 0, "\(outcome.output.split(separator: "\n").last ?? "")\(outcome.errors)")
        let capabilities = text.split(separator: "\n").filter { $0.hasPrefix("CapabilityBoundingSet=") }
        #expect(capabilities.last == (isRelay ? "CapabilityBoundingSet=" : "CapabilityBoundingSet=CAP_NET_ADMIN"))
        // What a daemon needs to give up more by itself is in no group of systemd's for services.
        let calls = text.split(separator: "\n").filter { $0.hasPrefix("SystemCallFilter=") }
            .flatMap { $0.dropFirst("SystemCallFilter=".count).split(separator: " ") }
        let needed: Set<Substring> = [
            "seccomp", "landlock_create_ruleset", "landlock_add_rule", "landlock_restrict_self",
        ]
        #expect(name == "pqvpn-lockdown.service" || needed.isSubset(of: calls), "\(calls)")
    }

    @Test(arguments: ["relay.conf", "exit.conf"]) func aDropInIsWellFormed(_ dropIn: String) throws {
        guard let analyze = Self.find("systemd-analyze") else {
            return print("SKIPPED: \(Test.current?.name ?? ""): it needs systemd-analyze")
        }
        let scratch = try Scratch()
        func text(_ name: String) throws -> String {
            try Self.unit(name).replacingOccurrences(of: "/usr/bin/pqvpn", with: Program.path)
        }
        try scratch.write(try text("pqvpn@.service"), to: "pqvpn@r.service", mode: 0o644)
        try FileManager.default.createDirectory(
            atPath: scratch.file("pqvpn@r.service.d"), withIntermediateDirectories: false)
        try scratch.write(try text(dropIn), to: "pqvpn@r.service.d/\(dropIn)", mode: 0o644)
        func verify() throws -> Program.Outcome {
            try Program.launch(
                [
                    "/usr/bin/env", "SYSTEMD_UNIT_PATH=\(scratch.path):", analyze, "verify", "--man=no",
                    scratch.file("pqvpn@r.service"),
                ], in: scratch)
        }
        let outcome = try verify()
        #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.output)\(outcome.errors)")
        // That the drop-in was looked at.
        try scratch.write("[Service]\nAmbientCapabilitys=\n", to: "pqvpn@r.service.d/\(dropIn)", mode: 0o644)
        #expect(try verify().errors.contains("AmbientCapabilitys"))
    }

    /// What the drop-in leaves a relay: a user, and nothing else. The node is up, and says how it is.
    @Test func aNodeWithoutATunnelNeedsNoCapability() throws {
        guard isRoot else { return print("SKIPPED: \(Test.current?.name ?? ""): this user is not root") }
        guard let setpriv = Self.find("setpriv") else { return }
        let scratch = try Scratch()
        try scratch.write(
            "peer: { nickname: r }\ntunnel: { enabled: false }\nnetwork: { listen_port: 0, bind_host: 127.0.0.1 }\n",
            to: "r.yaml", mode: 0o644)
        try scratch.giveAway("r.yaml")
        try scratch.giveAway(".")
        let process = try Program.start(
            [
                setpriv, "--reuid=65534", "--regid=65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all",
                "--ambient-caps=-all", "--no-new-privs", Program.path, "run", "--config", "r.yaml",
            ], in: scratch, output: "r.out", errors: "r.log")
        defer { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
        for _ in 0..<300 where try process.isRunning && !scratch.read("r.log").contains("node.ready") {
            usleep(100_000)
        }
        let log = try scratch.read("r.log")
        #expect(log.contains("node.ready"), "\(log)")
        let rights = try String(contentsOfFile: "/proc/\(process.processIdentifier)/status", encoding: .utf8)
        for name in ["CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            #expect(rights.contains("\(name):\t0000000000000000"), "\(rights)")
        }
        kill(process.processIdentifier, SIGTERM)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
    }

    @Test func theUnitsCommandsAreOnesThatThereAre() throws {
        let scratch = try Scratch()
        for name in Self.units + ["relay.conf"] {
            for line in try Self.unit(name).split(separator: "\n")
            where line.contains("=") && line.contains("/usr/bin/pqvpn") {
                let words = line.split(separator: "/usr/bin/pqvpn ", maxSplits: 1)[1].split(separator: " ").map(
                    String.init)
                let help = try Program.run(
                    words.filter { !$0.hasPrefix("-") && !$0.contains("%") && !$0.contains("/") } + ["--help"],
                    in: scratch)
                #expect(help.status == 0, "\(line)")
                for flag in words where flag.hasPrefix("--") { #expect(help.output.contains(flag), "\(line)") }
            }
        }
    }

    // MARK: The Debian package

    /// The package of the program that is tested.
    private func package(_ scratch: Scratch, _ directory: String) throws -> String? {
        guard Self.find("dpkg-deb") != nil, Self.find("strip") != nil else {
            print("SKIPPED: \(Test.current?.name ?? ""): it needs dpkg-deb and strip")
            return nil
        }
        let outcome = try Program.launch(
            [
                "\(Self.root)/scripts/make-deb", "--needs-swift", "--program", Program.path, "--out",
                scratch.file(directory),
            ], in: scratch)
        #expect(outcome.status == 0, "\(outcome.errors)")
        return outcome.output.split(separator: "\n").last.map(String.init)
    }

    @Test func thePackageIsTheSameTwiceAndLintianIsContent() throws {
        let scratch = try Scratch()
        guard let first = try package(scratch, "one"), let second = try package(scratch, "two") else { return }
        #expect(FileManager.default.contentsEqual(atPath: first, andPath: second))
        guard let lintian = Self.find("lintian") else {
            return print("SKIPPED: \(Test.current?.name ?? ""): it needs lintian")
        }
        // The program of the tests looks for the Swift runtime, which that of `make` has inside.
        let outcome = try Program.launch(
            [
                lintian, "--allow-root", "--fail-on", "warning,error", "--suppress-tags", "custom-library-search-path",
                first,
            ], in: scratch)
        #expect(outcome.status == 0, "\(outcome.output)\(outcome.errors)")
    }

    @Test func aProgramThatNeedsSwiftIsRefused() throws {
        guard Self.find("readelf") != nil, Self.find("strip") != nil, Self.find("dpkg-deb") != nil else {
            return print("SKIPPED: \(Test.current?.name ?? ""): it needs readelf, strip and dpkg-deb")
        }
        let scratch = try Scratch()
        let needs = try Program.launch(["/usr/bin/env", "readelf", "-d", Program.path], in: scratch)
        guard needs.output.contains("libswift") else {
            return print("SKIPPED: \(Test.current?.name ?? ""): this program has the runtime inside")
        }
        let outcome = try Program.launch(
            ["\(Self.root)/scripts/make-deb", "--program", Program.path, "--out", scratch.file("o")], in: scratch)
        #expect(outcome.status == 1 && outcome.errors.contains("needs the Swift runtime: build it with make"))
        #expect(!FileManager.default.fileExists(atPath: scratch.file("o")))
    }

    @Test func thePackageComesAndGoes() throws {
        guard isRoot else { return print("SKIPPED: \(Test.current?.name ?? ""): this user is not root") }
        guard let dpkg = Self.find("dpkg"), Self.find("systemd-sysusers") != nil else {
            return print("SKIPPED: \(Test.current?.name ?? ""): it needs dpkg and systemd-sysusers")
        }
        let scratch = try Scratch()
        guard let package = try package(scratch, "one") else { return }
        for directory in ["info", "updates", "triggers", "parts", "alternatives"] {
            try FileManager.default.createDirectory(
                atPath: scratch.file("root/var/lib/dpkg/\(directory)"), withIntermediateDirectories: true)
        }
        try FileManager.default.createDirectory(atPath: scratch.file("root/etc"), withIntermediateDirectories: true)
        for (name, text) in [
            ("var/lib/dpkg/status", ""), ("var/lib/dpkg/available", ""), ("etc/group", "root:x:0:\n"),
            ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
        ] { try scratch.write(text, to: "root/\(name)", mode: 0o644) }
        func run(_ arguments: String...) throws {
            // The scripts run here with the root that is to be changed in DPKG_ROOT: there is no shell in it.
            let outcome = try Program.launch(
                [
                    dpkg, "--root=\(scratch.file("root"))", "--force-script-chrootless", "--force-depends",
                    "--log=/dev/null",
                ] + arguments, in: scratch)
            #expect(outcome.status == 0, "\(arguments): \(outcome.errors)")
        }
        func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: scratch.file("root/\(path)")) }

        try run("--install", package)
        #expect(exists("usr/bin/pqvpn") && exists("usr/lib/systemd/system/pqvpn@.service"))
        let group = try scratch.read("root/etc/group").split(separator: "\n").first { $0.hasPrefix("pqvpn:") }
        let number = try #require(group?.split(separator: ":").dropFirst(2).first.flatMap { Int($0) })
        let attributes = try FileManager.default.attributesOfItem(atPath: scratch.file("root/etc/pqvpn"))
        #expect(attributes[.posixPermissions] as? Int == 0o750)
        #expect((attributes[.groupOwnerAccountID] as? NSNumber)?.intValue == number)

        for directory in ["pqvpn", "pqvpn-host"] {
            try FileManager.default.createDirectory(
                atPath: scratch.file("root/var/lib/\(directory)"), withIntermediateDirectories: false)
            try scratch.write("state", to: "root/var/lib/\(directory)/file")
        }
        try scratch.write("profile", to: "root/etc/pqvpn/home.yaml")
        try run("--remove", "pqvpn")
        #expect(!exists("usr") && exists("var/lib/pqvpn/file") && exists("var/lib/pqvpn-host/file"))
        try run("--purge", "pqvpn")
        #expect(!exists("var/lib/pqvpn") && !exists("var/lib/pqvpn-host"))
        // Somebody wrote it.
        #expect(exists("etc/pqvpn/home.yaml"))
    }
}
