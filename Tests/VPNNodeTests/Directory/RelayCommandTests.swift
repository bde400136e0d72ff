// SPDX-License-Identifier: Apache-2.0
// `pqvpn relay` and `pqvpn relays`: from a relay's keys to a line in another node's directory, and what is refused on the way.
import Foundation
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

@Suite(.serialized, .timeLimit(.minutes(1))) struct RelayCommandTests {
    private func keys(_ scratch: Scratch, _ name: String) throws {
        let made = try Program.run(["keygen", "--out", "\(name)-keys", "--nickname", name], in: scratch)
        #expect(made.status == 0, "\(made.errors)")
        try scratch.write(
            "peer: { nickname: \(name) }\nkeys: { runtime_temp_keys: false, dir: \(name)-keys }\n"
                + "directory: { file: \(name)-relays.yaml, own_file: \(name).pub }\n", to: "\(name).yaml")
    }

    @Test func aRelayIsPublishedImportedListedAndRemoved() throws {
        let scratch = try Scratch()
        try keys(scratch, "a")
        try keys(scratch, "b")
        let published = try Program.run(
            [
                "relay", "publish", "--config", "a.yaml", "--address", "20.1.0.1:4433", "--operator", "Ann", "--family",
                "hill", "--exit", "--capacity", "1000", "--json",
            ], in: scratch)
        #expect(published.status == 0, "\(published.errors)")
        #expect(try JSONSchema("relay-publish").faults(in: published.output) == [])
        let text = try #require(published.json?["descriptor"] as? String)
        try scratch.write(text, to: "a.txt")
        let file = try scratch.read("a.pub")
        #expect(file == text)
        // Without a terminal nobody says yes.
        let asked = try Program.launch(
            ["/usr/bin/setsid", "--wait", Program.path, "relay", "import", "a.txt", "--config", "b.yaml"], in: scratch)
        #expect(asked.status != 0 && !FileManager.default.fileExists(atPath: scratch.file("b-relays.yaml")))
        let imported = try Program.run(
            ["relay", "import", "a.txt", "--yes", "--config", "b.yaml", "--json"], in: scratch)
        #expect(imported.status == 0, "\(imported.errors)")
        #expect(try JSONSchema("relay").faults(in: imported.output) == [])
        #expect(imported.json?["action"] as? String == "added")
        let listed = try Program.run(["relays", "--config", "b.yaml", "--json"], in: scratch)
        #expect(try JSONSchema("relays").faults(in: listed.output) == [])
        let relay = try #require((listed.json?["relays"] as? [[String: Any]])?.first)
        #expect(relay["operator"] as? String == "Ann" && relay["family"] as? String == "hill")
        #expect(relay["exit"] as? Bool == true && relay["guard"] as? Bool == false)
        #expect((900_000_000...1_000_000_000).contains(relay["capacity_bits_per_second"] as? Int ?? 0))
        #expect(try Program.run(["relays", "--config", "b.yaml"], in: scratch).output.contains("20.1.0.1:4433"))
        // The next one has a greater serial, and the older one is refused then.
        let again = try Program.run(
            ["relay", "publish", "--config", "a.yaml", "--address", "20.1.0.1:4433", "--json"], in: scratch)
        let next = (again.json?["relay"] as? [String: Any])?["serial"] as? Int ?? 0
        #expect(next > relay["serial"] as? Int ?? .max)
        let newer = try Program.run(
            ["relay", "import", "a.pub", "--yes", "--config", "b.yaml", "--json"], in: scratch)
        #expect(newer.json?["action"] as? String == "newer")
        let older = try Program.run(["relay", "import", "a.txt", "--yes", "--config", "b.yaml"], in: scratch)
        #expect(older.status == 7 && older.errors.contains("a newer one"), "\(older.errors)")
        let removed = try Program.run(["relay", "remove", "a", "--config", "b.yaml", "--json"], in: scratch)
        #expect(removed.status == 0 && removed.json?["action"] as? String == "removed")
        #expect(try Program.run(["relays", "--config", "b.yaml"], in: scratch).output.contains("no relays are known"))
    }

    /// `relay import -`, with a file of the scratch directory for what somebody pastes.
    private func paste(_ file: String, _ more: [String] = ["--yes"], in scratch: Scratch) throws -> Program.Outcome {
        try Program.launch(
            [
                "/bin/sh", "-c", "program=$1 file=$2; shift 2; exec \"$program\" relay import - \"$@\" <\"$file\"",
                "sh",
                Program.path, file,
            ] + more, in: scratch)
    }

    @Test func whatIsPastedIsTakenAndNothingElse() throws {
        let scratch = try Scratch()
        try keys(scratch, "a")
        let published = try Program.run(
            ["relay", "publish", "--config", "a.yaml", "--address", "20.1.0.1:4433", "--json"], in: scratch)
        let text = try #require(published.json?["descriptor"] as? String)
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        for (name, content, status, part) in [
            ("empty", "", 2, "standard input"), ("blanks", " \n\t\n", 2, "standard input"),
            ("zeros", String(repeating: "\0", count: 70_000), 2, "longer than any descriptor"),
            (
                "endless", String(repeating: text, count: 1 + (64 << 10) / text.utf8.count), 2,
                "longer than any descriptor"
            ),
            ("words", "rm -rf /\n", 2, "standard input"),
            ("cut", lines.dropLast(3).joined(separator: "\n"), 2, "standard input"),
            ("half", String(text.prefix(text.count / 2)), 2, "standard input"),
            ("escape", "\u{1B}]0;title\u{07}" + text, 2, "standard input"),
        ] as [(String, String, Int32, String)] {
            try scratch.write(content, to: "paste-\(name)")
            let outcome = try paste("paste-\(name)", in: scratch)
            #expect(outcome.status == status && outcome.errors.contains(part), "\(name): \(outcome)")
            #expect(!outcome.errors.contains("\u{1B}"), "\(name)")
            let json = try paste("paste-\(name)", ["--yes", "--json"], in: scratch)
            #expect(try JSONSchema("error").faults(in: json.output) == [], "\(name): \(json)")
        }
        #expect(!FileManager.default.fileExists(atPath: scratch.file("relays.yaml")))
        // As mail and terminals leave it.
        try scratch.write(lines.joined(separator: "\r\n") + "\r\n\r\n", to: "good")
        let taken = try paste("good", ["--yes", "--json"], in: scratch)
        #expect(taken.status == 0 && taken.json?["action"] as? String == "added", "\(taken)")
        #expect(try Program.run(["relays"], in: scratch).output.contains("20.1.0.1:4433"))
        // Who is not asked does not say yes.
        let unasked = try Program.launch(
            [
                "/usr/bin/setsid", "--wait", "/bin/sh", "-c", "exec \"$1\" relay import - --relays other.yaml <good",
                "sh",
                Program.path,
            ], in: scratch)
        #expect(unasked.status == 2 && unasked.errors.contains("no terminal to ask at"), "\(unasked)")
        #expect(!FileManager.default.fileExists(atPath: scratch.file("other.yaml")))
    }

    @Test func theUnfitAreRefused() throws {
        let scratch = try Scratch()
        try keys(scratch, "a")
        func publish(_ arguments: [String]) throws -> Program.Outcome {
            try Program.run(["relay", "publish", "--config", "a.yaml"] + arguments, in: scratch)
        }
        for address in ["127.0.0.1:4433", "10.0.0.1:4433", "relay.example:4433", "20.1.0.1", "20.1.0.1:0", "[::1]:1"] {
            let outcome = try publish(["--address", address])
            #expect(outcome.status == 2 && outcome.errors.contains(address), "\(address): \(outcome.errors)")
        }
        #expect(try publish([]).status == 2)
        #expect(try publish(["--address", "20.1.0.1:4433", "--days", "91"]).status == 2)
        #expect(!FileManager.default.fileExists(atPath: scratch.file("a.pub")))
        #expect(try publish(["--address", "20.1.0.1:4433"]).status == 0)
        let text = try scratch.read("a.pub")
        // A descriptor of no relay, and one that somebody changed.
        let plain = try Program.run(["relay", "import", "a-keys/identity.pub", "--yes"], in: scratch)
        #expect(plain.status == 7 && plain.errors.contains("relay publish"), "\(plain.errors)")
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        let middle = lines.count / 2
        lines[middle] = String(lines[middle].reversed())
        try scratch.write(lines.joined(separator: "\n"), to: "forged.txt")
        let forged = try Program.run(["relay", "import", "forged.txt", "--yes"], in: scratch)
        #expect(forged.status == 7, "\(forged.errors)")
        // Revoked by this node's operator.
        let id = try PersistentIdentity.load(
            directory: scratch.file("a-keys"), unlocker: Unlocker(PassphraseSource())
        ).publicKeys.peerID
        #expect(try Program.run(["peers", "revoke", id.hex, "--revoked", "revoked.yaml"], in: scratch).status == 0)
        let revoked = try Program.run(["relay", "import", "a.pub", "--yes"], in: scratch)
        #expect(revoked.status == 7 && revoked.errors.contains("revoked"), "\(revoked.errors)")
        #expect(!FileManager.default.fileExists(atPath: scratch.file("relays.yaml")))
    }
}
