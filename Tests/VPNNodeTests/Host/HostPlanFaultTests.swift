// SPDX-License-Identifier: Apache-2.0
// Plans that must hold for more than usual: a network that is written twice, a filter that a reload meets, and what an
// exit's word on name servers may lead into the tunnel.
import Foundation
import Testing
import VPNCore

@testable import VPNNode

@Suite struct HostPlanFaultTests {
    private static func plan(
        _ tunnel: String, _ change: (inout HostSurroundings) -> Void = { _ in }
    ) throws -> HostPlan {
        let text = """
            tunnel: { addresses: [10.77.0.1/24], \(tunnel) }
            security: { tofu: true }
            peers: [{ name: b, endpoint: "198.51.100.7:9000", allowed_ips: [10.0.0.0/8] }]

            """
        var around = HostPlanTests.surroundings
        change(&around)
        let configuration = try LoadedConfiguration(text: text, file: "/etc/pqvpn/x.yaml").configuration
        return HostPlan(configuration, around, HostPlaces())
    }

    /// Those of `ip`, as somebody would type them.
    private static func rules(_ steps: [HostStep]) -> [String] {
        steps.flatMap { step -> [String] in
            guard case .commands(let apply, _) = step.change else { return [] }
            return apply.filter { $0.tool == "ip" }.map(\.description)
        }
    }

    /// The kernel refuses a rule that it has.
    @Test func aNetworkThatIsWrittenTwiceHasOneRule() throws {
        for key in ["exclude_routes", "allow_lan"] {
            let twice = Self.rules(try Self.plan("\(key): [203.0.113.0/24, 203.0.113.0/24]").steps)
            #expect(twice.count { $0.contains("to 203.0.113.0/24") } == 1, "\(key): \(twice)")
            let nested = Self.rules(try Self.plan("\(key): [203.0.113.0/24, 203.0.113.0/25]").steps)
            #expect(nested.count { $0.contains("to 203.0.113.0/2") } == 2, "\(key): \(nested)")
        }
    }

    /// A route for everything may come with a reload, and the filter would drop the peers' answers from then on.
    @Test func aStrictFilterIsProvidedForBeforeAReload() throws {
        let strict = try Self.plan("") {
            $0.hasStrictFilter = true
            $0.hasFilter = true
        }
        #expect(strict.steps.contains { $0.title == "src_valid_mark" }, "\(strict.steps.map(\.title))")
        #expect(strict.steps.contains { $0.title == "marks of answers" })
        let lax = try Self.plan("") { $0.hasFilter = true }
        #expect(!lax.steps.contains { $0.title == "src_valid_mark" || $0.title == "marks of answers" })
    }

    /// An exit may name the router of the guest's own network: questions for names go to the exit then, and nothing
    /// else does.
    @Test func anExitGetsQuestionsForNamesAlone() throws {
        let servers = ["192.168.1.1", "fd00::1"].compactMap { IPAddress($0) }
        let wish = LeasedNames.Wish(
            resolver: .init(mode: .file, servers: [], search: []), interface: "pqvpn0", mark: 28785)
        let rules = Self.rules(LeasedNames.steps(servers, wish, HostPlanTests.surroundings, HostPlaces()))
        for server in servers {
            #expect(rules.contains { $0.contains("to \(server) ") && $0.contains("dport 53") }, "\(rules)")
        }
        for rule in rules { #expect(rule.contains("dport 53") || rule.contains("dport 853"), "\(rule)") }
    }
}
