// SPDX-License-Identifier: Apache-2.0
// Steps that fail: everything before them is taken back, and the words name the step, the tool and what mends it. The tools are
// fakes that write down what they are told; the loopback interface stands for the tunnel's. Root only, as the commands are.
import Foundation
import Testing

@testable import VPNNode

@Suite struct HostSwitchTests {
    /// A host of fakes.
    private final class Host {
        let scratch: Scratch
        let log: String

        init() throws {
            scratch = try Scratch()
            log = scratch.file("log")
            for directory in ["bin", "state", "profiles"] {
                try FileManager.default.createDirectory(
                    atPath: scratch.file(directory), withIntermediateDirectories: false,
                    attributes: [.posixPermissions: 0o700])
            }
            for tool in ["ip", "nft", "resolvectl", "resolvconf"] { try fake(tool) }
            try scratch.write("nameserver 192.0.2.1\n", to: "resolv.conf", mode: 0o644)
        }

        /// Writes down what it is told; fails, with words, where a file of its name has a word of it.
        func fake(_ tool: String) throws {
            let text = """
                #!/bin/sh
                echo "\(tool) $*" >> \(log)
                if [ -f \(scratch.file("fail")) ] && echo "\(tool) $*" | grep -q -f \(scratch.file("fail")); then
                    echo "the kernel says no" >&2; exit 2
                fi
                [ "$2" != -f ] || cat >/dev/null
                exit 0

                """
            try scratch.write(text, to: "bin/\(tool)", mode: 0o755)
        }

        func profile(_ name: String, _ text: String) throws {
            try scratch.write("tunnel: { interface: lo, \(text) }\n" + dns, to: "profiles/\(name).yaml")
        }

        var dns = "dns: { servers: [10.77.0.2], mode: file }\n"

        var places: HostPlaces {
            var places = HostPlaces(
                state: scratch.file("state"), resolverFile: scratch.file("resolv.conf"),
                profiles: scratch.file("profiles"))
            places.patience = patience
            // Where a test wants none of it, there is no such file.
            places.arpSetting = scratch.file("arp_ignore")
            return places
        }

        var patience = 30.0

        var host: HostSwitch { HostSwitch(places: places, path: scratch.file("bin")) }

        func up(_ name: String) throws -> UpReport {
            var order = HostSwitch.Order(profile: name)
            order.startsDaemon = false
            return try host.up(order)
        }

        func failing(_ pattern: String?) throws {
            if let pattern {
                try scratch.write(pattern + "\n", to: "fail")
            } else {
                try? FileManager.default.removeItem(atPath: scratch.file("fail"))
            }
        }

        /// What the tools were told since the last time.
        func told() -> [String] {
            let text = (try? scratch.read("log")) ?? ""
            try? FileManager.default.removeItem(atPath: log)
            // Which addresses loopback has is this machine's matter.
            return text.split(separator: "\n").map(String.init).filter { !$0.hasPrefix("nft add element ") }
        }

        var resolver: String { (try? scratch.read("resolv.conf")) ?? "absent" }
        var states: [String] {
            let names = (try? FileManager.default.contentsOfDirectory(atPath: scratch.file("state"))) ?? []
            return names.filter { $0 != "lock" }.sorted()
        }
    }

    private func withHost(_ body: (Host) throws -> Void) throws {
        guard isRoot else { return print("SKIPPED: \(Test.current?.name ?? ""): this user is not root") }
        try body(Host())
    }

    @Test func twoProfilesWithOneMarkAreToldApart() throws {
        try withHost { host in
            try host.profile("x", "")
            _ = try host.up("x")
            try host.scratch.write("tunnel: { interface: other0 }\n", to: "profiles/y.yaml")
            _ = host.told()
            let refusal = failure { _ = try host.up("y") }
            #expect(refusal?.status == .failure)
            #expect(
                refusal?.message.contains("'x' is up with the mark and routing table 28785") == true
                    && refusal?.message.contains("network.fwmark, such as 28786") == true, "\(refusal?.message ?? "")")
            #expect(host.told() == [] && host.states == ["profile-x.json"])
            // Another mark is not in the way; what is missing then is its interface.
            try host.scratch.write(
                "tunnel: { interface: other0 }\nnetwork: { fwmark: 28786 }\n", to: "profiles/y.yaml")
            #expect(failure { _ = try host.up("y") }?.message.contains("no interface other0") == true)
            _ = try host.host.down("x")
        }
    }

    @Test func upAndDownAreMirrors() throws {
        try withHost { host in
            try host.profile("x", "lockdown: true")
            try host.scratch.write("0\n", to: "arp_ignore")
            func arpSetting() throws -> String {
                try String(contentsOfFile: host.scratch.file("arp_ignore"), encoding: .utf8)
            }
            let report = try host.up("x")
            #expect(try JSONSchema("up").faults(in: report.json) == [])
            #expect(
                report.lockdown
                    && report.changes.prefix(3) == ["fence of inner addresses", "answers to ARP", "rule -4 28785"])
            #expect(try arpSetting() == "1\n")
            #expect(host.states == ["lockdown.json", "profile-x.json"])
            #expect(host.resolver.contains("nameserver 10.77.0.2"))
            let told = host.told()
            #expect(told.first == "nft -f -" && told.last?.hasPrefix("ip -") == true)
            let former = try host.host.down(nil)
            #expect(try JSONSchema("down").faults(in: former.json) == [])
            #expect(host.states == [] && host.resolver == "nameserver 192.0.2.1\n")
            #expect(try arpSetting() == "0\n")
            let back = host.told()
            #expect(back.last == "nft -f -" && told[1] == "nft -f -")
            #expect(
                back.dropLast()
                    == told.dropFirst().reversed().map { $0.replacingOccurrences(of: " add ", with: " del ") }[...])
        }
    }

    @Test func aStepThatFailsTakesAllBack() throws {
        try withHost { host in
            try host.profile("x", "lockdown: true, exclude_routes: [203.0.113.0/24]")
            try host.failing("rule add pref 28785")
            let refused = failure { _ = try host.up("x") }
            let words = try #require(refused?.message)
            #expect(words.contains("rule -4 28785: `ip -4 rule add pref 28785 not fwmark 0x7071 lookup 28785`"))
            #expect(words.contains("the kernel says no") && words.contains("everything was taken back"))
            #expect(host.states == [] && host.resolver == "nameserver 192.0.2.1\n")
            let told = host.told()
            #expect(told.contains("ip -4 rule del pref 28780 to 203.0.113.0/24 lookup main"))
            // Of the lockdown and of the fence, on and off each.
            #expect(told.filter { $0 == "nft -f -" }.count == 4)
        }
    }

    @Test func aLockdownThatCannotBeHadStopsAllElse() throws {
        try withHost { host in
            try host.profile("x", "lockdown: true")
            try host.failing("nft -f")
            let refused = failure { _ = try host.up("x") }
            #expect(refused?.message.contains("`nft -f -` ended with status 2: the kernel says no") == true)
            #expect(!host.told().contains { $0.hasPrefix("ip") })
            #expect(host.resolver == "nameserver 192.0.2.1\n")
            // Taking away what was never there failed as well, and is still on record.
            #expect(host.states == ["profile-x.json"])
            try host.failing(nil)
            _ = try host.host.down("x")
            #expect(host.states == [])
        }
    }

    @Test func whatCannotBeTakenBackStaysOnRecord() throws {
        try withHost { host in
            try host.profile("x", "exclude_routes: [203.0.113.0/24]")
            _ = try host.up("x")
            try host.failing("rule del pref 28780")
            let refused = failure { _ = try host.host.down("x") }
            #expect(refused?.message.contains("rule -4 28780") == true)
            #expect(refused?.message.contains("run `pqvpn down x` again") == true)
            #expect(host.resolver == "nameserver 192.0.2.1\n" && host.states == ["profile-x.json"])
            _ = host.told()
            try host.failing(nil)
            // Even when the configuration is gone by then.
            try FileManager.default.removeItem(atPath: host.scratch.file("profiles/x.yaml"))
            _ = try host.host.down("x")
            #expect(host.told() == ["ip -4 rule del pref 28780 to 203.0.113.0/24 lookup main"] && host.states == [])
        }
    }

    @Test func theNextUpTakesBackWhatACrashLeftAndKeepsTheLockdown() throws {
        try withHost { host in
            try host.profile("x", "lockdown: true")
            _ = try host.up("x")
            _ = host.told()
            try host.profile("x", "lockdown: true, exclude_routes: [203.0.113.0/24]")
            _ = try host.up("x")
            let told = host.told()
            #expect(told.first?.contains(" rule del ") == true)
            // One transaction that replaces the lockdown, and none that takes it away; the others are the fence's, back and forth.
            let kept = try #require(try? host.scratch.read("state/lockdown.json"))
            #expect(kept.contains("203.0.113.0") && told.filter { $0 == "nft -f -" }.count == 3)
            _ = try host.host.down("x")
            #expect(host.states == [] && host.resolver == "nameserver 192.0.2.1\n")
        }
    }

    @Test func aFailedSecondUpLeavesTheLockdownOn() throws {
        try withHost { host in
            try host.profile("x", "lockdown: true")
            _ = try host.up("x")
            try host.failing("rule add")
            let refused = failure { _ = try host.up("x") }
            #expect(refused?.message.contains("but the lockdown, which was on before") == true)
            #expect(host.states == ["lockdown.json", "profile-x.json"] && host.resolver == "nameserver 192.0.2.1\n")
            try host.failing(nil)
            _ = try host.host.down("x")
            #expect(host.states == [])
        }
    }

    @Test func aLockdownByHandOutlivesDown() throws {
        try withHost { host in
            try host.profile("x", "lockdown: true")
            let lockdown = Lockdown(
                tools: HostTools(path: host.scratch.file("bin"), scratch: host.scratch.file("state")),
                places: host.places)
            try lockdown.hold(for: LockdownRecord.byHand, .plain)
            _ = try host.up("x")
            let report = try host.host.down("x")
            #expect(report.notes == ["the lockdown stays on: see `pqvpn lockdown status`"])
            #expect(lockdown.record.holders.keys.sorted() == [LockdownRecord.byHand])
            try lockdown.off()
            #expect(host.states == [])
        }
    }

    // MARK: Refused before anything is changed

    @Test func aMissingToolIsNamed() throws {
        try withHost { host in
            host.dns = "dns: { servers: [10.77.0.2], mode: resolvectl }\n"
            try host.profile("x", "")
            try FileManager.default.removeItem(atPath: host.scratch.file("bin/resolvectl"))
            guard HostTools(path: "", scratch: "/").find("resolvectl") == nil else {
                return print("SKIPPED: \(Test.current?.name ?? ""): this machine has resolvectl")
            }
            let refused = failure { _ = try host.up("x") }
            #expect(refused?.message.contains("missing: resolvectl") == true)
            #expect(refused?.message.contains("apt-get install systemd-resolved") == true)
            #expect(host.told().isEmpty && host.states == [])
        }
    }

    @Test func aLinkedResolverFileStopsItAtOnce() throws {
        try withHost { host in
            try host.profile("x", "lockdown: true")
            try FileManager.default.removeItem(atPath: host.scratch.file("resolv.conf"))
            try host.scratch.link("resolv.conf", to: "/run/systemd/resolve/stub-resolv.conf")
            #expect(failure { _ = try host.up("x") }?.message.contains("set dns.mode to resolvectl") == true)
            #expect(host.told().isEmpty && host.states == [])
        }
    }

    @Test func profilesThatShareAnInterfaceAreRefused() throws {
        try withHost { host in
            try host.profile("x", "")
            try host.profile("y", "")
            _ = try host.up("x")
            #expect(failure { _ = try host.up("y") }?.message.contains("'x' has the interface lo") == true)
            #expect(failure { _ = try host.host.down("y") }?.status == .daemonNotRunning)
            _ = try host.host.down(nil)
            #expect(failure { _ = try host.host.down(nil) }?.message == "nothing is up")
        }
    }

    @Test func profilesAreNamedWell() throws {
        try withHost { host in
            try host.profile("work", "")
            #expect(failure { _ = try host.up("wrok") }?.message.contains("did you mean 'work'?") == true)
            for name in ["-x", ".x", "a b", "x;y", String(repeating: "a", count: 65)] {
                #expect(
                    failure { _ = try host.up(name) }?.message.contains("is no name for a profile") == true, "\(name)")
            }
            #expect(try HostProfile(host.scratch.file("profiles/work.yaml"), host.places).name == "work")
        }
    }

    @Test func aDaemonOfSomebodyElsesIsNotStartedTwice() throws {
        try withHost { host in
            try host.profile("x", "")
            _ = try host.up("x")
            _ = host.told()
            let refused = failure { _ = try host.host.up(HostSwitch.Order(profile: "x")) }
            #expect(refused?.message.contains("such as the unit pqvpn@x: stop that") == true)
            #expect(host.told().isEmpty && host.states == ["profile-x.json"])
            _ = try host.host.down("x")
        }
    }

    @Test func oneCommandAtATime() throws {
        try withHost { host in
            try host.profile("x", "")
            let keeper = try HostKeeper(host.places)
            host.patience = 0
            #expect(failure { _ = try host.up("x") }?.message.contains("is at work") == true)
            _ = consume keeper
        }
    }

    @Test func aStateThatCannotBeReadIsNotGuessed() throws {
        try withHost { host in
            try host.profile("x", "")
            try host.scratch.write("{", to: "state/profile-x.json")
            for refused in [failure { _ = try host.up("x") }, failure { _ = try host.host.down("x") }] {
                #expect(refused?.message.contains("cannot be read") == true)
            }
            #expect(host.told().isEmpty)
            try host.scratch.setMode(0o755, of: "state")
            #expect(failure { _ = try host.host.down("x") }?.message.contains("must be root's alone") == true)
        }
    }
}
