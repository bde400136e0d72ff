// SPDX-License-Identifier: Apache-2.0
// What `up` and `down` refuse, each before anything is told to a tool, and what is not refused beside it. Root only, as
// the commands are.
import Foundation
import Testing
import VPNCore

@testable import VPNNode

@Suite struct HostRefusalTests {
    @Test func ofSeveralOneMustBeNamed() throws {
        try FakeHost.perform { host in
            try host.profile("x")
            try host.profile("y", "enabled: false")
            _ = try host.up("x")
            _ = try host.up("y")
            _ = host.told()
            let refused = failure { _ = try host.host.down(nil) }
            #expect(refused?.status == .usage && refused?.message.contains("name one of x, y") == true)
            let unknown = failure { _ = try host.host.down("z") }
            #expect(unknown?.status == .daemonNotRunning && unknown?.message.contains("x, y are") == true)
            #expect(host.told() == [] && host.states == ["profile-x.json", "profile-y.json"])
            _ = try host.host.down("y")
            _ = try host.host.down(nil)
            #expect(host.states == [])
        }
    }

    @Test func aProfileThatIsGoneIsTakenDownByTheNameOfItsFile() throws {
        try FakeHost.perform { host in
            try host.profile("x")
            let file = host.scratch.file("profiles/x.yaml")
            _ = try host.up(file)
            try FileManager.default.removeItem(atPath: file)
            #expect(try host.host.down(file).profile == "x")
            #expect(host.states == [])
        }
    }

    @Test func whoeverWaitsNeedsADaemonThatCanBeAsked() throws {
        try FakeHost.perform { host in
            try host.profile("x", "", "control: { enabled: false }")
            var order = HostSwitch.Order(profile: "x")
            order.startsDaemon = false
            order.wait = 1
            let refused = failure { _ = try host.host.up(order) }
            #expect(refused?.status == .usage && refused?.message.contains("--wait asks the daemon") == true)
            #expect(host.told() == [] && host.states == [])
            order.wait = nil
            _ = try host.host.up(order)
            _ = try host.host.down("x")
        }
    }

    @Test func theNamesOfAHostAreOneProfiles() throws {
        try FakeHost.perform { host in
            try host.profile("x", "", FakeHost.names)
            _ = try host.up("x")
            _ = host.told()
            let other = "tunnel: { interface: other0 }\nnetwork: { fwmark: 28786 }\n"
            try host.scratch.write(other + FakeHost.names + "\n", to: "profiles/y.yaml")
            let refused = failure { _ = try host.up("y") }
            #expect(refused?.message.contains("'x' has set the name servers") == true, "\(refused?.message ?? "up")")
            #expect(host.told() == [] && host.states == ["profile-x.json"])
            // It is the names alone that are in the way; then comes its interface, which is missing.
            try host.scratch.write(other + "dns: { mode: \"off\", servers: [10.77.0.2] }\n", to: "profiles/y.yaml")
            #expect(failure { _ = try host.up("y") }?.message.contains("no interface other0") == true)
            _ = try host.host.down("x")
            #expect(host.resolver == "nameserver 192.0.2.1\n")
        }
    }

    @Test func aRecordOfAnotherVersionIsNotGuessed() throws {
        try FakeHost.perform { host in
            try host.profile("x")
            _ = try host.up("x")
            _ = host.told()
            let text = try host.scratch.read("state/profile-x.json")
            var fields = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
            fields["version"] = HostState.version + 1
            let newer = try JSONSerialization.data(withJSONObject: fields)
            try host.scratch.write(String(decoding: newer, as: UTF8.self), to: "state/profile-x.json")
            for refused in [failure { _ = try host.host.down("x") }, failure { _ = try host.up("x") }] {
                #expect(refused?.message.contains("of another version") == true, "\(refused?.message ?? "done")")
            }
            #expect(host.told() == [])
            try host.scratch.write(text, to: "state/profile-x.json")
            _ = try host.host.down("x")
        }
    }

    /// Whoever wants to come needs to know of others; whoever goes is kept by nobody.
    @Test func aRecordOfAnothersThatCannotBeReadKeepsNobodyFromGoing() throws {
        try FakeHost.perform { host in
            try host.profile("x")
            _ = try host.up("x")
            try host.scratch.write("{", to: "state/profile-y.json")
            _ = try host.host.down("x")
            #expect(host.states == ["profile-y.json"])
            _ = host.told()
            #expect(failure { _ = try host.up("x") }?.message.contains("cannot be read") == true)
            #expect(host.told() == [])
        }
    }

    @Test func aRecordThatIsAnothersIsNotBelieved() throws {
        try FakeHost.perform { host in
            try host.profile("x")
            try host.scratch.giveAway("state")
            let refused = failure { _ = try host.up("x") }
            #expect(refused?.status == .permission && refused?.message.contains("must be root's alone") == true)
            #expect(host.told() == [])
        }
    }

    /// Around a daemon of the unit's nobody is there who would take them back with it.
    @Test func leasedNamesAreForTheDaemonsOfUp() throws {
        try FakeHost.perform { host in
            try host.profile("x")
            _ = try host.up("x")
            _ = host.told()
            let names = LeasedNames(places: host.places, profile: "x", path: host.scratch.file("bin"))
            let wish = LeasedNames.Wish(
                resolver: .init(mode: .file, servers: [], search: []), interface: "lo", mark: 28785)
            let refused = failure { try names.tell([IPAddress("10.66.0.1")!], wish) }
            #expect(refused?.status == .daemonNotRunning)
            #expect(host.told() == [] && host.resolver == "nameserver 192.0.2.1\n")
            let kept = try HostKeeper(host.places).state(of: "x")
            var state = try #require(kept)
            state.pidFile = "/nowhere/x.pid"
            try HostKeeper(host.places).save(state)
            try names.tell([IPAddress("10.66.0.1")!], wish)
            #expect(host.resolver.contains("nameserver 10.66.0.1"))
            _ = try host.host.down("x")
            #expect(host.resolver == "nameserver 192.0.2.1\n" && host.states == [])
        }
    }
}
