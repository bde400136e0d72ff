// SPDX-License-Identifier: Apache-2.0
// The doctor finds planted faults by their codes, each with what mends it, and nothing in a healthy place.
import Foundation
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

@Suite(.serialized, .threads(.programs)) struct DoctorTests {
    /// A machine on which nothing is wrong.
    private static let healthy = Surroundings(
        hasAESHardware: true, tunDevice: .usable, hasNetAdmin: true, largestReceiveBuffer: 1 << 30,
        largestSendBuffer: 1 << 30, openFiles: 1024, lockedMemory: 8 << 20, unixSeconds: 1_790_000_000,
        interfaces: ["lo"], freeBytes: { _ in 1 << 34 })

    private static let text = """
        network: { listen_port: 0, bind_host: 127.0.0.1, udp_recv_buffer_size: 4096 }
        keys: { runtime_temp_keys: false }
        logging: { file: node.log }
        peers: [{ name: bob, peer_id: "BOB", endpoint: "127.0.0.1:9000", allowed_ips: [10.77.0.2/32] }]

        """

    /// A directory with keys, a pin and a configuration, as an operator makes it.
    private func place() throws -> Scratch {
        let scratch = try Scratch()
        _ = try PersistentIdentity.generate(into: scratch.file("keys"), nickname: "alice")
        try KnownPeersStore(path: scratch.file("known_peers.yaml")).add(Identities.pin(Identities.bob, "bob"))
        try configure(scratch) { $0 }
        return scratch
    }

    private func configure(_ scratch: Scratch, _ edit: (String) -> String) throws {
        let text = Self.text.replacingOccurrences(of: "BOB", with: Identities.bob.publicKeys.peerID.hex)
        try scratch.write(edit(text), to: "c.yaml")
    }

    private func examine(_ scratch: Scratch, _ edit: (inout Surroundings) -> Void = { _ in }) -> [Finding] {
        var surroundings = Self.healthy
        edit(&surroundings)
        return Doctor.examine(file: scratch.file("c.yaml"), surroundings: surroundings, measures: false)
    }

    private func bad(_ findings: [Finding]) -> [Finding] { findings.filter { $0.verdict != .ok } }

    /// Exactly one complaint: this code, this verdict, and a command that has these words.
    private func expect(
        _ findings: [Finding], _ code: String, _ verdict: Finding.Verdict, _ command: String,
        _ place: SourceLocation = #_sourceLocation
    ) {
        let complaints = bad(findings)
        #expect(complaints.map(\.code) == [code], "\(complaints)", sourceLocation: place)
        #expect(complaints.first?.verdict == verdict, sourceLocation: place)
        #expect(complaints.first?.fix?.contains(command) == true, "\(complaints)", sourceLocation: place)
    }

    @Test func aHealthyPlaceHasNoComplaint() throws {
        let scratch = try place()
        let findings = examine(scratch)
        #expect(bad(findings).isEmpty, "\(bad(findings))")
        for code in [
            "crypto.selftest", "crypto.aes", "limits.files", "limits.memlock", "clock", "tun.device", "tun.privilege",
            "config", "udp.port", "udp.offload", "udp.buffers", "endpoint.mtu", "keys", "pins", "log.file",
            "disk.space",
        ] { #expect(findings.contains { $0.code == code }, "\(code)") }
        #expect(!scratch.names.contains("node.log"), "it makes nothing")
    }

    @Test func invitationsAreLookedAt() throws {
        let scratch = try place()
        #expect(examine(scratch).contains { $0.code == "invites" && $0.message.contains("nobody was invited") })
        let store = try InvitationStore(path: scratch.file("invites.yaml"))
        _ = try store.create(name: "uncle", seconds: 3600, uses: 1, now: UnixTime.now)
        #expect(bad(examine(scratch)).isEmpty)
        #expect(
            examine(scratch).contains { $0.code == "invites" && $0.message.contains("has 1 invitations and 0 guests") })
        try scratch.setMode(0o640, of: "invites.yaml")
        let open = bad(examine(scratch))
        #expect(
            open.contains { $0.code == "invites.file" && $0.fix == "chmod 600 \(scratch.file("invites.yaml"))" },
            "\(open)")
        try scratch.write("version: 1\ninvitations: [oops]\n", to: "invites.yaml")
        let broken = bad(examine(scratch))
        #expect(broken.contains { $0.verdict == .fail && $0.message.contains("invites.yaml") }, "\(broken)")
    }

    @Test func faultsOfTheMachine() throws {
        let scratch = try place()
        expect(examine(scratch) { $0.tunDevice = .missing }, "tun.device", .fail, "modprobe tun")
        expect(examine(scratch) { $0.tunDevice = .forbidden }, "tun.device", .fail, "chmod")
        expect(examine(scratch) { $0.hasNetAdmin = false }, "tun.privilege", .fail, "setcap cap_net_admin+ep")
        expect(examine(scratch) { $0.interfaces = ["pqvpn0"] }, "tun.name", .fail, "ip link show pqvpn0")
        expect(examine(scratch) { $0.openFiles = 32 }, "limits.files", .fail, "ulimit -n")
        expect(examine(scratch) { $0.openFiles = 128 }, "limits.files", .warn, "ulimit -n")
        expect(examine(scratch) { $0.lockedMemory = 65536 }, "limits.memlock", .warn, "ulimit -l")
        expect(examine(scratch) { $0.unixSeconds = 3600 }, "clock", .warn, "timedatectl")
        expect(examine(scratch) { $0.freeBytes = { _ in 100 } }, "disk.space", .fail, "df -h")
        expect(examine(scratch) { $0.hasAESHardware = false }, "crypto.aes", .warn, "lscpu")
        expect(
            examine(scratch) {
                $0.largestReceiveBuffer = 1000
                $0.hasNetAdmin = true
            }.filter { $0.code != "udp.buffers" }
                + examine(scratch) {
                    $0.largestReceiveBuffer = 1000
                    $0.hasNetAdmin = false
                }.filter { $0.code == "udp.buffers" }, "udp.buffers", .warn, "sysctl -w net.core.rmem_max=4096")
    }

    @Test func faultsOfFiles() throws {
        let scratch = try place()
        try scratch.setMode(0o644, of: "keys/mldsa87.key")
        expect(examine(scratch), "keys.file", .fail, "chmod 600 \(scratch.file("keys/mldsa87.key"))")
        try scratch.setMode(0o600, of: "keys/mldsa87.key")

        try FileManager.default.moveItem(atPath: scratch.file("keys/ed25519.key"), toPath: scratch.file("keys/x"))
        expect(examine(scratch), "keys.file", .fail, "pqvpn keygen --out")
        // Another identity's key in its place.
        _ = try PersistentIdentity.generate(into: scratch.file("other"), nickname: "other")
        try FileManager.default.copyItem(
            atPath: scratch.file("other/ed25519.key"), toPath: scratch.file("keys/ed25519.key"))
        expect(examine(scratch), "keys", .fail, "pqvpn peerid")
        try FileManager.default.removeItem(atPath: scratch.file("keys/ed25519.key"))
        try FileManager.default.moveItem(atPath: scratch.file("keys/x"), toPath: scratch.file("keys/ed25519.key"))
        #expect(bad(examine(scratch)).isEmpty)

        try scratch.setMode(0o640, of: "known_peers.yaml")
        expect(examine(scratch), "pins.file", .fail, "chmod 600")
        try scratch.setMode(0o600, of: "known_peers.yaml")
        let pins = try scratch.read("known_peers.yaml")
        try scratch.write(pins.replacingOccurrences(of: "bob", with: "bib"), to: "known_peers.yaml")
        expect(examine(scratch), "pins", .fail, "pqvpn peers list --known-peers")
        try FileManager.default.removeItem(atPath: scratch.file("known_peers.yaml"))
        expect(examine(scratch), "trust", .fail, "pqvpn peers add")
        try scratch.write(pins, to: "known_peers.yaml")

        try scratch.write("", to: "node.log", mode: 0o666)
        expect(examine(scratch), "log.file", .fail, "chmod 600")
        try scratch.setMode(0o600, of: "node.log")
        try configure(scratch) { $0.replacingOccurrences(of: "node.log", with: "none/node.log") }
        expect(examine(scratch), "log.file", .fail, "install -d")
    }

    /// What root runs may be for a daemon that is not root's: it must not be advised to take its files from it.
    @Test func aDaemonsOwnFilesAreLeftToIt() throws {
        guard geteuid() == 0 else { return print("SKIPPED: \(Test.current?.name ?? ""): this user is not root") }
        let scratch = try place()
        let key = scratch.file("keys/ed25519.key")
        try FileManager.default.setAttributes([.ownerAccountID: 65534], ofItemAtPath: key)
        expect(examine(scratch), "keys.file", .warn, "sudo -u '#65534' pqvpn doctor")
        try FileManager.default.setAttributes([.ownerAccountID: 0], ofItemAtPath: key)
        #expect(bad(examine(scratch)).isEmpty)
    }

    @Test func aProfileThatIsThereIsNotMadeAnew() throws {
        let scratch = try place()
        try FileManager.default.removeItem(atPath: scratch.file("c.yaml"))
        try FileManager.default.createDirectory(
            atPath: scratch.file("c.yaml"), withIntermediateDirectories: false)
        expect(examine(scratch), "config", .fail, "ls -l \(scratch.file("c.yaml"))")
    }

    @Test func faultsOfTheConfiguration() throws {
        let scratch = try place()
        try configure(scratch) { $0.replacingOccurrences(of: "listen_port", with: "listen_prt") }
        expect(examine(scratch), "config", .fail, "pqvpn config check")
        try FileManager.default.removeItem(atPath: scratch.file("c.yaml"))
        expect(examine(scratch), "config", .fail, "pqvpn config default")

        try configure(scratch) { $0 + "security: { tofu: true }\n" }
        expect(examine(scratch), "security.first_use", .warn, "strict_tofu: true")
        try configure(scratch) { $0 + "security: { strict_sig_verify: false }\n" }
        let signatures = bad(examine(scratch)).filter { $0.code != "config.doubt" }
        expect(signatures, "security.signatures", .warn, "strict_sig_verify: true")
        try configure(scratch) {
            $0.replacingOccurrences(of: "runtime_temp_keys: false", with: "runtime_temp_keys: true")
        }
        expect(examine(scratch), "keys.temporary", .warn, "pqvpn keygen")

        try configure(scratch) { $0.replacingOccurrences(of: "10.77.0.2/32", with: "127.0.0.0/8") }
        expect(examine(scratch), "routes.swallow", .warn, "ip route get 127.0.0.1")
        try configure(scratch) { $0.replacingOccurrences(of: "127.0.0.1:9000", with: "no-such-host.invalid:9000") }
        expect(examine(scratch), "endpoint.name", .warn, "getent ahosts no-such-host.invalid")
        try configure(scratch) { $0.replacingOccurrences(of: "127.0.0.1:9000", with: "[::1]:9000") }
        expect(examine(scratch), "endpoint.family", .warn, "bind_host")

        try configure(scratch) { $0.replacingOccurrences(of: "bind_host: 127.0.0.1", with: "bind_host: 192.0.2.77") }
        expect(examine(scratch), "udp.port", .fail, "ip address show")
    }

    @Test func aPortInUseIsNamedAndTheProgramTells() throws {
        let scratch = try Scratch()
        let quiet = "network: { listen_port: 0, bind_host: 127.0.0.1 }\ntunnel: { enabled: false }\n"
        try scratch.write(quiet, to: "c.yaml")
        let daemon = try RunningDaemon(["--config", "c.yaml"], in: scratch)
        let address = try #require(daemon.event("node.listening")?["address"] as? String)
        let port = try #require(address.split(separator: ":").last)
        try scratch.write(quiet.replacingOccurrences(of: "listen_port: 0", with: "listen_port: \(port)"), to: "d.yaml")
        let told = try Program.run(["doctor", "--config", "d.yaml", "--json"], in: scratch)
        #expect(told.status == 1, "\(told.errors)")
        let report = try #require(told.json)
        #expect(report["schema"] as? String == "pqvpn.doctor/1" && report["ok"] as? Bool == false)
        let findings = try #require(report["findings"] as? [[String: Any]])
        let complaint = try #require(findings.first { $0["code"] as? String == "udp.port" })
        #expect(complaint["verdict"] as? String == "fail")
        #expect(complaint["fix"] as? String == "ss -ulpn 'sport = :\(port)'")
        let words = try Program.run(["doctor", "--config", "d.yaml"], in: scratch)
        #expect(words.status == 1 && words.output.contains("FAIL  udp.port"), "\(words.output)")
        #expect(daemon.end(with: SIGTERM) == 0)
        // No tunnel is wanted, and the port is free now: warnings at most.
        let well = try Program.run(["doctor", "--config", "d.yaml"], in: scratch)
        #expect(well.status == 0, "\(well.output)")
    }

    /// What is printed has the fields that the schema names, and no others.
    @Test func theSchemaSaysWhatIsPrinted() throws {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("docs/schemas/doctor.json")
        let schema = try #require(
            try JSONSerialization.jsonObject(with: Data(contentsOf: file)) as? [String: Any])
        let properties = try #require(schema["properties"] as? [String: [String: Any]])
        #expect(properties["schema"]?["const"] as? String == DoctorReport.schema)
        let item = try #require(properties["findings"]?["items"] as? [String: Any])
        let fields = try #require(item["properties"] as? [String: [String: Any]])
        let report = DoctorReport([.ok("a.b", "c"), .warn("d", "e", fix: "f"), .fail("g", "h", fix: "i")])
        let printed = try #require(try JSONSerialization.jsonObject(with: Data(report.json.utf8)) as? [String: Any])
        #expect(Set(printed.keys) == Set(properties.keys))
        #expect(Set(printed.keys) == Set((schema["required"] as? [String]) ?? []))
        for finding in try #require(printed["findings"] as? [[String: Any]]) {
            #expect(Set(finding.keys).isSubset(of: fields.keys))
            #expect((fields["verdict"]?["enum"] as? [String])?.contains(finding["verdict"] as? String ?? "") == true)
            #expect((finding["fix"] == nil) == (finding["verdict"] as? String == "ok"))
        }
        #expect(printed["failures"] as? Int == 1 && printed["warnings"] as? Int == 1)
    }
}
