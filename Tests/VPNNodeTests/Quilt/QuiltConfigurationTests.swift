// SPDX-License-Identifier: Apache-2.0
// What a configuration says of several paths to a peer: what is made of it, and each way in which it can be wrong.
import Foundation
import Testing
import VPNCore

@testable import VPNNode

@Suite struct QuiltConfigurationTests {
    private static let id = String(repeating: "ab", count: 32)

    private func file(_ quilt: String, endpoint: String? = "192.0.2.1:9000", more: String = "") -> String {
        let place = endpoint.map { "endpoint: \"\($0)\", " } ?? ""
        return "peers:\n  - { name: bob, peer_id: \"\(Self.id)\", \(place)\(more)quilt: \(quilt) }\n"
    }

    private func read(_ text: String) throws -> NodeConfiguration.Peer {
        try #require(LoadedConfiguration(text: text, file: "n.yaml").configuration.peers.first)
    }

    private func issues(_ text: String) -> [String] {
        do {
            return try LoadedConfiguration(text: text, file: "n").warnings.map { $0.description(file: "n") }
        } catch let error as ConfigurationError {
            return error.issues.map { $0.description(file: "n") }
        } catch { return ["\(error)"] }
    }

    @Test func theKeysArrive() throws {
        let all = """
            { scheduler: redundant, double: small, paths: 4, deadline_ms: 40, relax_disjointness: true, \
            endpoints: ["192.0.2.2:9000", "bob.example.org:9000"], interfaces: [eth0, wwan0] }
            """
        let quilt = try #require(read(file(all)).quilt)
        #expect(quilt.scheduler == .redundant && quilt.doublesSmallOnly && quilt.deadline == 40)
        #expect(quilt.relaxesDisjointness && quilt.paths == 4 && quilt.interfaces == ["eth0", "wwan0"])
        #expect(quilt.endpoints.map(\.description) == ["192.0.2.2:9000", "bob.example.org:9000"])
        let least = try #require(read(file("{ endpoints: [\"192.0.2.2:9000\"] }")).quilt)
        #expect(least.scheduler == .edpf && !least.doublesSmallOnly && least.deadline == nil && least.paths == nil)
        let auto = try #require(read(file("{ interfaces: [a, b], deadline_ms: auto, double: all }")).quilt)
        #expect(auto.deadline == nil && !auto.doublesSmallOnly)
        for none in ["false", "null"] { #expect(try read(file(none)).quilt == nil, "\(none)") }
        #expect(try read("peers: [{ name: bob, peer_id: \(Self.id) }]\n").quilt == nil)
        // A peer that calls brings its paths; how this end sends is its own.
        let guest = try #require(read(file("{ scheduler: fec, deadline_ms: 7 }", endpoint: nil)).quilt)
        #expect(guest.scheduler == .fec && guest.deadline == 7)
        #expect(try read(file("true", endpoint: nil)).quilt == NodeConfiguration.Quilt())
        for kind in QuiltScheduler.allCases {
            #expect(try read(file("{ scheduler: \(kind.rawValue) }", endpoint: nil)).quilt?.scheduler == kind)
        }
    }

    @Test(arguments: [
        ("true", ["n:2:130: error: peers[0].quilt: names one path alone, to 192.0.2.1:9000: add other addresses"]),
        ("{}", ["peers[0].quilt: names one path alone"]),
        ("{ endpoints: [] }", ["names one path alone"]),
        ("{ endpoints: [\"192.0.2.1:9000\"] }", ["names one path alone"]),
        ("{ interfaces: [eth0] }", ["names one path alone"]),
        ("{ paths: 3, interfaces: [a, b] }", ["quilt.paths: asks for 3 paths, and endpoints and interfaces make 2"]),
        // The third would be the first again.
        (
            "{ paths: 3, endpoints: [\"192.0.2.2:9\"], interfaces: [a, b] }",
            ["asks for 3 paths, and endpoints and interfaces make 2 that differ: list more of them, or set relax"]
        ),
        ("{ interfaces: [a, a] }", ["interfaces[1]: 'a' stands in the list already", "names one path alone"]),
        (
            "{ endpoints: [\"192.0.2.2:9\", \"192.0.2.2:9\"] }",
            ["endpoints[1]: '192.0.2.2:9' stands in the list already"]
        ),
        ("{ interfaces: [eth0, pqvpn0] }", ["interfaces[1]: is the tunnel itself"]),
        ("{ paths: 1 }", ["paths: must be a whole number in 2…8, is 1"]),
        ("{ paths: 9 }", ["paths: must be a whole number in 2…8, is 9"]),
        ("{ deadline_ms: 0 }", ["deadline_ms: must be auto or a whole number in 1…120, is 0"]),
        ("{ deadline_ms: 121 }", ["in 1…120, is 121"]),
        ("{ deadline_ms: soon }", ["deadline_ms: must be auto"]),
        ("{ scheduler: edfp }", ["'edfp' is none of minrtt, edpf, weighted, redundant, fec", "edpf"]),
        ("{ schedular: edpf }", ["peers[0].quilt.schedular: unknown key", "scheduler"]),
        ("{ interfaces: [\"a/b\"] }", ["'a/b' is not an interface name"]),
        ("{ endpoints: [\"192.0.2.2\"] }", ["has no port"]),
        ("{ double: most }", ["'most' is none of all, small"]),
        ("edpf", ["must be true, false or a map"]),
        ("[eth0]", ["must be true, false or a map"]),
        ("3", ["must be true, false or a map"]),
    ])
    func whatIsWrongIsSaid(_ quilt: String, _ words: [String]) {
        let found = issues(file(quilt)).joined(separator: "\n")
        #expect(found.contains("error: "), "\(quilt)")
        for word in words { #expect(found.contains(word), "\(quilt): \(found)") }
    }

    @Test func fewerWillDoWhereThatIsSaid() throws {
        for quilt in [
            "{ paths: 3, interfaces: [a, b], relax_disjointness: true }",
            "{ interfaces: [a, a], relax_disjointness: true }",
            "{ relax_disjointness: true }",
        ] {
            let found = issues(file(quilt))
            #expect(!found.isEmpty && found.allSatisfy { $0.contains("warning: ") }, "\(found)")
        }
    }

    @Test func circuitsHaveNoQuiltYet() {
        let peers = """
            peers:
              - { name: r1, peer_id: "\(String(repeating: "1", count: 64))", endpoint: "192.0.2.1:9000" }
              - { name: exit, peer_id: "\(Self.id)", via: [r1], quilt: { interfaces: [a, b] } }

            """
        let found = issues(peers)
        #expect(found.count == 1 && found[0].contains("peers[1].quilt: cannot be with via or exit"), "\(found)")
    }

    @Test func whoIsCalledChoosesNoPaths() {
        for (quilt, key) in [
            ("{ endpoints: [\"192.0.2.2:9000\"] }", "endpoints"), ("{ interfaces: [a, b] }", "interfaces"),
            ("{ paths: 2 }", "paths"),
        ] {
            let found = issues(file(quilt, endpoint: nil))
            #expect(found.count == 1 && found[0].contains("quilt.\(key): needs peers[0].endpoint"), "\(found)")
        }
    }

    @Test func whatHasNoEffectIsSaid() {
        let found = issues(file("{ interfaces: [a, b], double: small }"))
        #expect(found.count == 1 && found[0].contains("warning: peers[0].quilt.double: has no effect"), "\(found)")
    }

    @Test func changesAreTakenWhileTheNodeRuns() throws {
        let (a, b) = (file("{ interfaces: [a, b] }"), file("{ interfaces: [a, c], scheduler: minrtt }"))
        let change = try ConfigurationChange(
            from: LoadedConfiguration(text: a, file: "n"), to: LoadedConfiguration(text: b, file: "n"))
        #expect(change.live.map(\.key) == ["peers.bob.quilt"] && change.restart.isEmpty)
        #expect(change.live.first?.new == "{ interfaces: [a, c], scheduler: minrtt }")
    }

    @Test func theFileIsDocumented() {
        for key in ["endpoints", "interfaces", "paths", "scheduler", "deadline_ms", "double", "relax_disjointness"] {
            #expect(DefaultConfiguration.text.contains("peers[].quilt.\(key): "), "\(key)")
        }
    }
}
