// SPDX-License-Identifier: Apache-2.0
// What `pqvpn up` does to a host's routes and names, and that `pqvpn down` leaves it byte for byte as it was, also after the
// daemon was killed.
//
//     host a: routes, names, pqvpn0 ══ outer0 ───── outer0 ══ pqvpn0: host b, where all traffic goes
import Foundation
import Glibc
import Testing

@testable import VPNNode

extension NamespaceTests {
    @Suite("Host")
    struct Host {
        struct Way: Sendable, CustomTestStringConvertible {
            let testDescription: String
            var allowed = ["0.0.0.0/0", "::/0"]
            var tunnel = ""
            /// Destinations, and whether they go into the tunnel.
            var into: [String: Bool]
        }

        static let ways: [Way] = [
            Way(
                testDescription: "full tunnel",
                into: ["203.0.113.7": true, "2001:db8::7": true, "10.99.0.2": true, "fd99::2": true, "10.77.0.2": true]),
            Way(
                testDescription: "full tunnel for one family", allowed: ["0.0.0.0/0"],
                into: ["203.0.113.7": true, "2001:db8::7": false]),
            Way(
                testDescription: "split tunnel", allowed: ["10.77.0.2/32", "203.0.113.0/24", "2001:db8:1::/48"],
                into: [
                    "203.0.113.7": true, "198.51.100.1": false, "2001:db8:1::7": true, "2001:db8:2::7": false,
                    "10.99.0.2": false,
                ]),
            // The endpoint itself is in it: its own datagrams must not be.
            Way(
                testDescription: "split tunnel with the endpoint inside", allowed: ["10.77.0.2/32", "10.99.0.0/16"],
                into: ["10.99.0.2": true, "198.51.100.1": false]),
            Way(
                testDescription: "full tunnel beside the LAN", tunnel: "allow_lan: true",
                into: [
                    "203.0.113.7": true, "10.99.0.2": false, "fd99::2": false, "192.168.1.1": true, "10.77.0.2": true,
                ]),
            Way(
                testDescription: "full tunnel beside one network", tunnel: "allow_lan: [10.99.0.0/24]",
                into: ["203.0.113.7": true, "10.99.0.2": false, "fd99::2": true]),
            Way(
                testDescription: "full tunnel but for a network",
                tunnel: "exclude_routes: [203.0.113.0/24, \"2001:db8::/32\"], lockdown: true",
                into: ["203.0.113.7": false, "203.0.114.7": true, "2001:db8::7": false, "2001:db9::7": true]),
        ]

        private func prepare(_ stage: Stage, _ way: Way) throws -> (StageClient, StageNode) {
            let (a, b) = (try stage.node(on: stage.hosts[0]), try stage.node(on: stage.hosts[1]))
            try a.befriend(b, endpoint: b.host.endpoint(.ipv4), allowedIPs: way.allowed)
            try b.befriend(a)
            a.configuration.extraTunnelKeys = way.tunnel
            try b.start()
            try a.host.ip("-n", a.host.namespace, "route", "add", "default", "via", b.host.outerIPv4)
            try a.host.ip("-n", a.host.namespace, "-6", "route", "add", "default", "via", b.host.outerIPv6)
            let client = try StageClient(a, on: stage)
            // Link-local addresses, which come by themselves, are part of what is compared.
            try DemoProcess.wait(10, for: "all addresses") {
                try client.tool(["ip", "-6", "address", "show", "tentative"]).isEmpty
            }
            return (client, b)
        }

        @Test("Each kind of tunnel leads there and nowhere else, and is gone without a trace", arguments: ways)
        func routes(_ way: Way) throws {
            try Stage.perform { stage in
                let (client, b) = try prepare(stage, way)
                defer { client.clear() }
                let before = try client.snapshot()
                for isKilled in [false, true] {
                    try client.up()
                    for (address, isInside) in way.into.sorted(by: { $0.key < $1.key }) {
                        let route = try client.tool(["ip", "route", "get", address])
                        let device = isInside ? DemoHost.interface : DemoHost.cable
                        #expect(route.contains("dev \(device) "), "\(address): \(route)")
                    }
                    let marked = try client.tool(["ip", "route", "get", b.host.outerIPv4, "mark", "0x7071"])
                    #expect(marked.contains("dev \(DemoHost.cable) "))
                    #expect(try stage.answers(b.host.innerIPv4, from: client.node.host))
                    #expect(try client.snapshot() != before)
                    if isKilled { try client.signal(SIGKILL) }
                    try client.run("down")
                    let after = try client.snapshot()
                    #expect(after == before, "\(isKilled ? "after SIGKILL" : "after down")")
                    #expect(try FileManager.default.contentsOfDirectory(atPath: client.state) == ["lock"])
                }
            }
        }

        @Test("A reverse path filter that is strict lets the peers' answers in")
        func strictFilter() throws {
            try Stage.perform { stage in
                let (client, b) = try prepare(stage, Way(testDescription: "", into: [:]))
                defer { client.clear() }
                for name in ["all", DemoHost.cable] {
                    try client.tool(["sysctl", "-qw", "net.ipv4.conf.\(name).rp_filter=1"])
                }
                let before = try client.snapshot()
                try client.up()
                #expect(try client.tool(["cat", "/proc/sys/net/ipv4/conf/all/src_valid_mark"]) == "1\n")
                #expect(try stage.answers(b.host.innerIPv4, from: client.node.host))
                try client.run("down")
                #expect(try client.snapshot() == before)
            }
        }

        /// Both want the same rules around the tunnel and the same settings of the host; whichever goes first leaves them to the other.
        @Test("Two tunnels on one host take nothing from each other", arguments: [true, false])
        func twoTunnels(_ firstGoesFirst: Bool) throws {
            try Stage.perform { stage in
                let tunnel = "allow_lan: [10.99.0.0/24], exclude_routes: [203.0.113.0/24, \"2001:db8::/32\"]"
                let (client, b) = try prepare(stage, Way(testDescription: "", tunnel: tunnel, into: [:]))
                defer { client.clear() }
                for name in ["all", DemoHost.cable] {
                    try client.tool(["sysctl", "-qw", "net.ipv4.conf.\(name).rp_filter=1"])
                }
                try client.tool(["sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=0"])
                try client.tool(["ip", "tuntap", "add", "dev", "second0", "mode", "tun"])
                func settings() throws -> String {
                    try ["arp_ignore", "src_valid_mark"].map {
                        try client.tool(["cat", "/proc/sys/net/ipv4/conf/all/\($0)"])
                    }.joined()
                }
                let before = try client.snapshot()
                try #require(try settings() == "0\n0\n")
                try client.up()
                let one = try client.snapshot()
                let second = "\(client.node.directory)/second.yaml"
                let text = """
                    tunnel: { interface: second0, \(tunnel) }
                    network: { fwmark: 28786 }
                    circuit: { allowed_ips: ["0.0.0.0/0", "::/0"] }

                    """
                try ProtectedFile.replace(second, with: [UInt8](text.utf8))
                try client.run("up", "--no-daemon", second)
                #expect(try stage.answers(b.host.innerIPv4, from: client.node.host))
                // Once each, though both have them on record.
                let rules = try client.tool(["ip", "rule"]).split(separator: "\n")
                #expect(rules.count { $0.contains("to 203.0.113.0/24") } == 1, "\(rules)")
                try client.run("down", firstGoesFirst ? "config" : "second")
                let left = try client.tool(["ip", "rule"])
                #expect(left.contains("to 203.0.113.0/24") && left.contains("to 10.99.0.0/24"), "\(left)")
                #expect(try settings() == "1\n1\n")
                if !firstGoesFirst {
                    #expect(try client.snapshot() == one)
                    #expect(try stage.answers(b.host.innerIPv4, from: client.node.host))
                }
                try client.run("down", firstGoesFirst ? "second" : "config")
                #expect(try client.snapshot() == before)
                #expect(try settings() == "0\n0\n")
                // What fails takes nothing of the other's along: its last rule is there already, by somebody's hand.
                try client.up()
                try client.tool(["ip", "rule", "add", "pref", "28785", "not", "fwmark", "0x7072", "lookup", "28786"])
                try client.run("up", "--no-daemon", second, status: 1)
                #expect(try client.snapshot() == one)
                try client.run("down")
            }
        }

        @Test("Routes that come with a reload go where the rules lead")
        func reload() throws {
            try Stage.perform { stage in
                let (client, b) = try prepare(stage, Way(testDescription: "", allowed: ["10.77.0.2/32"], into: [:]))
                defer { client.clear() }
                let before = try client.snapshot()
                try client.up()
                #expect(try client.tool(["ip", "route", "get", "203.0.113.7"]).contains("dev \(DemoHost.cable) "))
                client.node.configuration.peers[0].allowedIPs = ["0.0.0.0/0"]
                try client.node.writeConfiguration()
                try client.signal(SIGHUP)
                try DemoProcess.wait(10, for: "the route of the reload") {
                    try client.tool(["ip", "route", "get", "203.0.113.7"]).contains("dev \(DemoHost.interface) ")
                }
                #expect(try stage.answers(b.host.innerIPv4, from: client.node.host))
                try client.run("down")
                #expect(try client.snapshot() == before)
            }
        }

        // MARK: Names

        /// Fakes of resolvectl and resolvconf that keep what they are told in a directory, as the services do.
        private func fakes(_ client: StageClient) throws -> (path: String, kept: String) {
            // Where the daemon, which starts them too, may write for what it knows.
            let (path, kept) = ("\(client.node.directory)/fakes", "\(client.node.directory)/kept")
            for directory in [path, kept] {
                try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
            }
            let resolvectl = """
                #!/bin/sh
                verb=$1; link=$2; shift 2
                [ -e /sys/class/net/$link ] || { echo "Failed to resolve interface \\"$link\\": No such device" >&2; exit 1; }
                case $verb in
                    revert) rm -f \(kept)/$link.* ;;
                    *) echo "$*" > \(kept)/$link.$verb ;;
                esac
                """
            let resolvconf = """
                #!/bin/sh
                case $1 in
                    -a) cat > "\(kept)/$2" ;;
                    -d) rm -f "\(kept)/$2" ;;
                esac
                """
            for (name, text) in [("resolvectl", resolvectl), ("resolvconf", resolvconf)] {
                try Data(text.utf8).write(to: URL(filePath: "\(path)/\(name)"))
                try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: "\(path)/\(name)")
            }
            return (path, kept)
        }

        private func kept(_ directory: String) throws -> [String: String] {
            var files: [String: String] = [:]
            for name in try FileManager.default.contentsOfDirectory(atPath: directory) {
                files[name] = try String(contentsOfFile: "\(directory)/\(name)", encoding: .utf8)
            }
            return files
        }

        @Test("Each system of name resolution is told, and forgets", arguments: ["resolvectl", "resolvconf", "file"])
        func names(_ mode: String) throws {
            try Stage.perform { stage in
                let (client, _) = try prepare(stage, Way(testDescription: "", into: [:]))
                defer { client.clear() }
                let fake = try fakes(client)
                client.path = fake.path
                client.node.configuration.extraLines = [
                    "dns: { mode: \(mode), servers: [10.77.0.2], search: [a.example] }"
                ]
                let before = try client.snapshot()
                let told = [
                    "pqvpn0.dns": "10.77.0.2\n", "pqvpn0.domain": "a.example ~.\n", "pqvpn0.default-route": "yes\n",
                ]
                for isKilled in [false, true] {
                    try client.up()
                    let resolver = try String(contentsOfFile: client.resolverFile, encoding: .utf8)
                    switch mode {
                    case "resolvectl":
                        #expect(
                            try kept(fake.kept) == told)
                        // Whoever deletes the interface takes from resolved what it knew of it.
                        guard !isKilled else { break }
                        for name in told.keys {
                            try FileManager.default.removeItem(atPath: "\(fake.kept)/\(name)")
                        }
                        try client.tool(["ip", "link", "delete", DemoHost.interface])
                        try DemoProcess.wait(10, for: "the names of the new interface") {
                            try kept(fake.kept) == told
                        }
                    case "resolvconf":
                        #expect(try kept(fake.kept).values.map { $0 } == ["nameserver 10.77.0.2\nsearch a.example\n"])
                    default: #expect(resolver.hasSuffix("nameserver 10.77.0.2\nsearch a.example\n"))
                    }
                    if isKilled {
                        try client.signal(SIGKILL)
                        // resolved forgets with the interface; the fake cannot see it go.
                        if mode == "resolvectl" {
                            for name in try kept(fake.kept).keys {
                                try FileManager.default.removeItem(atPath: "\(fake.kept)/\(name)")
                            }
                        }
                    }
                    try client.run("down")
                    #expect(try kept(fake.kept).isEmpty)
                    #expect(try client.snapshot() == before)
                }
            }
        }

        @Test("A tool that fails takes everything back, the daemon too")
        func failure() throws {
            try Stage.perform { stage in
                let (client, _) = try prepare(stage, Way(testDescription: "", tunnel: "lockdown: true", into: [:]))
                defer { client.clear() }
                let fake = try fakes(client)
                client.path = fake.path
                try Data("#!/bin/sh\necho the service is not there >&2; exit 3\n".utf8)
                    .write(to: URL(filePath: "\(fake.path)/resolvectl"))
                client.node.configuration.extraLines = ["dns: { mode: resolvectl, servers: [10.77.0.2] }"]
                try client.node.writeConfiguration()
                let before = try client.snapshot()
                let outcome = try client.run("up", client.node.configurationPath, status: 1)
                #expect(
                    outcome.errors.contains(
                        "`resolvectl dns pqvpn0 10.77.0.2` ended with status 3: the service is not there"))
                // It was revert that failed as well, and it is tried again.
                #expect(outcome.errors.contains("not all could be taken back"))
                try Data("#!/bin/sh\nexit 0\n".utf8).write(to: URL(filePath: "\(fake.path)/resolvectl"))
                try client.run("down")
                #expect(try client.snapshot() == before)
            }
        }

        @Test("A wait in vain has its status, and leaves the tunnel up and locked")
        func waiting() throws {
            try Stage.perform { stage in
                let (client, b) = try prepare(stage, Way(testDescription: "", tunnel: "lockdown: true", into: [:]))
                defer { client.clear() }
                try b.end(SIGTERM)
                try client.node.writeConfiguration()
                let before = try client.snapshot()
                let outcome = try client.run("up", client.node.configurationPath, "--wait", "1", status: 5)
                #expect(outcome.errors.contains("no session with node-b within 1 s"))
                #expect(try client.run("lockdown", "status").output.contains("lockdown is on"))
                #expect(
                    try client.run("up", client.node.configurationPath, status: 1).errors.contains("is up, process"))
                try client.run("down")
                #expect(try client.snapshot() == before)
            }
        }
    }
}
