// SPDX-License-Identifier: Apache-2.0
// Name servers that an exit gave, on the record of `pqvpn up`: set, changed and taken back with fakes of the tools. Root only, as the
// record is.
import Foundation
import Testing
import VPNCore

@testable import VPNNode

@Suite struct LeasedNamesTests {
    private static func servers(_ texts: String...) -> [IPAddress] { texts.compactMap { IPAddress($0) } }

    private static func wish(_ mode: ResolverMode = .file, mark: UInt32? = 28785) -> LeasedNames.Wish {
        LeasedNames.Wish(
            resolver: .init(mode: mode, servers: [], search: ["a.example"]), interface: "pqvpn0", mark: mark)
    }

    /// A profile that is up, with tools that write down what they are told.
    private final class Host {
        let scratch: Scratch
        let places: HostPlaces
        let names: LeasedNames

        init(before: String? = "nameserver 192.0.2.1\n") throws {
            scratch = try Scratch()
            for directory in ["bin", "state"] {
                try FileManager.default.createDirectory(
                    atPath: scratch.file(directory), withIntermediateDirectories: false,
                    attributes: [.posixPermissions: 0o700])
            }
            try scratch.write("RTNETLINK answers: File exists\n", to: "words")
            if let before { try scratch.write(before, to: "resolv.conf", mode: 0o644) }
            places = HostPlaces(state: scratch.file("state"), resolverFile: scratch.file("resolv.conf"))
            names = LeasedNames(places: places, profile: "x", path: scratch.file("bin"))
            for tool in ["ip", "resolvectl", "resolvconf"] {
                let text = """
                    #!/bin/sh
                    echo "\(tool) $*" >> \(scratch.file("log"))
                    if [ -f \(scratch.file("fail")) ] && echo "$*" | grep -q -f \(scratch.file("fail")); then
                        cat \(scratch.file("words")) >&2; exit 2
                    fi

                    """
                try scratch.write(text, to: "bin/\(tool)", mode: 0o755)
            }
            try save(HostState(profile: "x", configuration: "/x.yaml", interface: "pqvpn0", pidFile: "/x.pid"))
        }

        func save(_ state: HostState) throws { try HostKeeper(places).save(state) }
        func state(_ profile: String = "x") throws -> HostState? { try HostKeeper(places).state(of: profile) }
        var resolver: String { (try? scratch.read("resolv.conf")) ?? "absent" }

        func told() -> [String] {
            let text = (try? scratch.read("log")) ?? ""
            try? FileManager.default.removeItem(atPath: scratch.file("log"))
            return text.split(separator: "\n").map(String.init)
        }

        /// As `pqvpn down` does.
        func down() throws -> [String] {
            let tools = HostTools(path: scratch.file("bin"), scratch: places.state)
            return try #require(try state()).undo.reversed().compactMap { try $0.perform(tools) }
        }
    }

    private func withHost(_ before: String? = "nameserver 192.0.2.1\n", _ body: (Host) throws -> Void) throws {
        guard isRoot else { return print("SKIPPED: \(Test.current?.name ?? ""): this user is not root") }
        try body(Host(before: before))
    }

    /// The ways to a name server, and those back in the opposite order.
    private static func ways(_ verb: String, _ server: String) -> [String] {
        let family = server.contains(":") ? "-6" : "-4"
        let ways = ["udp dport 53", "tcp dport 53", "tcp dport 853", "udp dport 853"].map {
            "ip \(family) rule \(verb) pref 28779 to \(server) fwmark 0x0/0xffffffff ipproto \($0) lookup 28785"
        }
        return verb == "del" ? ways.reversed() : ways
    }

    @Test func namesComeAndGo() throws {
        try withHost { host in
            try host.names.tell(Self.servers("10.66.0.1"), Self.wish())
            #expect(host.resolver.hasSuffix("nameserver 10.66.0.1\nsearch a.example\n"))
            #expect(host.told() == Self.ways("add", "10.66.0.1"))
            // A rule that is there is good enough.
            try host.scratch.write("add.*10.66.0.1\n", to: "fail")
            try host.names.tell(Self.servers("10.66.0.1"), Self.wish())
            #expect(host.told() == Self.ways("add", "10.66.0.1") && host.resolver.contains("nameserver 10.66.0.1"))
            try host.names.tell([], Self.wish())
            #expect(host.resolver == "nameserver 192.0.2.1\n")
            #expect(host.told() == Self.ways("del", "10.66.0.1"))
            #expect(try host.state()?.undo == [])
        }
    }

    @Test func anotherExitTakesOverAndDownBringsBackWhatWas() throws {
        for before in ["nameserver 192.0.2.1\n", nil] {
            try withHost(before) { host in
                try host.names.tell(Self.servers("10.66.0.1", "fd66::1"), Self.wish())
                _ = host.told()
                try host.names.tell(Self.servers("10.67.0.1", "fd66::1"), Self.wish())
                #expect(host.resolver.contains("nameserver 10.67.0.1\nnameserver fd66::1"))
                // The new ways before the old one goes.
                #expect(
                    host.told() == Self.ways("add", "10.67.0.1") + Self.ways("add", "fd66::1")
                        + Self.ways("del", "10.66.0.1"))
                #expect(try host.down() == [])
                #expect(host.resolver == before ?? "absent")
            }
        }
    }

    /// Between what is written down and what is done, in either order of the two texts of ours.
    @Test func aCrashInTheMidstOfAChangeIsTakenBack() throws {
        try withHost { host in
            try host.names.tell(Self.servers("10.66.0.1"), Self.wish())
            let text = host.resolver
            try host.names.tell(Self.servers("10.67.0.1"), Self.wish())
            try host.scratch.write(text, to: "resolv.conf", mode: 0o644)
            #expect(try host.down() == [])
            #expect(host.resolver == "nameserver 192.0.2.1\n")
        }
    }

    @Test func whatSomebodyElseWroteIsWhatComesBack() throws {
        try withHost { host in
            try host.names.tell(Self.servers("10.66.0.1"), Self.wish())
            try host.scratch.write("nameserver 198.51.100.53\n", to: "resolv.conf", mode: 0o644)
            try host.names.tell(Self.servers("10.67.0.1"), Self.wish())
            #expect(host.resolver.contains("nameserver 10.67.0.1"))
            #expect(try host.down() == [])
            #expect(host.resolver == "nameserver 198.51.100.53\n")
        }
    }

    @Test func resolvectlIsToldAndForgets() throws {
        try withHost { host in
            for server in ["10.66.0.1", "10.67.0.1"] {
                try host.names.tell(Self.servers(server), Self.wish(.resolvectl, mark: nil))
                #expect(
                    host.told() == [
                        "resolvectl dns pqvpn0 \(server)", "resolvectl domain pqvpn0 a.example ~.",
                        "resolvectl default-route pqvpn0 yes",
                    ])
            }
            try host.names.tell([], Self.wish(.resolvectl, mark: nil))
            #expect(host.told() == ["resolvectl revert pqvpn0"] && host.resolver == "nameserver 192.0.2.1\n")
        }
    }

    @Test func nobodyIsToldAgainstTheOperatorsWill() throws {
        try withHost { host in
            try host.names.tell(Self.servers("10.66.0.1"), Self.wish(.off))
            #expect(host.told() == [] && host.resolver == "nameserver 192.0.2.1\n")
            // Another profile has them.
            var other = HostState(profile: "y", configuration: "/y.yaml", interface: "pqvpn1", pidFile: "/y.pid")
            other.undo = [HostUndo(title: "name servers (resolvectl)", way: .commands([]))]
            try host.save(other)
            let refusal = failure { try host.names.tell(Self.servers("10.66.0.1"), Self.wish()) }
            #expect(refusal?.message.contains("'y' has set the name servers") == true)
            #expect(host.told() == [] && host.resolver == "nameserver 192.0.2.1\n")
        }
    }

    @Test func withoutARecordNothingIsDone() throws {
        try withHost { host in
            try HostKeeper(host.places).forget("x")
            #expect(
                failure { try host.names.tell(Self.servers("10.66.0.1"), Self.wish()) }?.status == .daemonNotRunning)
            #expect(host.told() == [] && host.resolver == "nameserver 192.0.2.1\n")
        }
    }

    @Test func aToolThatFailsLeavesItsWayBackOnRecord() throws {
        try withHost { host in
            try host.scratch.write("10.66.0.1\n", to: "fail")
            try host.scratch.write("the kernel says no\n", to: "words")
            #expect(
                failure { try host.names.tell(Self.servers("10.66.0.1"), Self.wish()) }?.message
                    .contains("the kernel says no") == true)
            // The way could not be had, so nobody is asked by another one.
            #expect(host.resolver == "nameserver 192.0.2.1\n")
            #expect(try host.state()?.undo.map(\.title) == ["rule of a name server 10.66.0.1, udp 53"])
            try FileManager.default.removeItem(atPath: host.scratch.file("fail"))
            _ = host.told()
            try host.names.tell(Self.servers("10.66.0.1"), Self.wish())
            #expect(host.told().count == 4 && host.resolver.contains("nameserver 10.66.0.1"))
        }
    }
}
