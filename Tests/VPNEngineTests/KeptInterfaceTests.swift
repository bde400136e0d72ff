// SPDX-License-Identifier: Apache-2.0
// An interface that the operator made outlives the runs of a daemon, with the routes that they made: the next run must
// not take them for somebody else's, nor those of a start that failed half way.

import Glibc
import Testing
import VPNCore

@testable import VPNEngine

extension Threads {
    @Suite(.serialized) struct KeptInterfaceTests {
        /// A host with an interface of the operator's; nil, and said so, where there can be none.
        private func makeHost(_ test: String) throws -> PrivateHost? {
            guard let host = PrivateHost.make(test) else { return nil }
            guard try host.run({ shell("ip tuntap add dev pqt0 mode tun") }) else {
                print("SKIPPED: \(test): it needs ip")
                return nil
            }
            return host
        }

        private func makeConfiguration(_ routes: [String]) throws -> EngineConfiguration {
            let tunnel = EngineConfiguration.Tunnel(
                name: "pqt0", addresses: [try InterfaceAddress("10.77.0.1/24"), try InterfaceAddress("fd77::1/64")],
                mtu: 1420, routes: try routes.map { try IPPrefix($0) })
            return EngineConfiguration(tunnel: tunnel, listen: Fixture.loopback)
        }

        /// Opens and closes an engine there; why it could not be opened.
        private func run(_ host: PrivateHost, _ configuration: EngineConfiguration) throws -> EngineError? {
            try host.run {
                do throws(EngineError) {
                    _ = try Engine(configuration, onWake: {})
                    return nil
                } catch {
                    return error
                }
            }
        }

        @Test func theNextRunHasTheRoutesOfTheOneBefore() throws {
            guard let host = try makeHost("theNextRunHasTheRoutesOfTheOneBefore") else { return }
            let configuration = try makeConfiguration(["10.99.0.0/16", "fd99::/64"])
            for number in 1...2 {
                let failure = try run(host, configuration)
                #expect(failure == nil, "run \(number): \(failure?.description ?? "")")
            }
        }

        @Test func aStartThatFailedIsInNobodysWay() throws {
            guard let host = try makeHost("aStartThatFailedIsInNobodysWay") else { return }
            #expect(try host.run { shell("ip route add 10.98.0.0/16 dev lo") })
            let configuration = try makeConfiguration(["10.99.0.0/16", "10.98.0.0/16"])
            // That one is somebody else's, however often it is tried.
            for _ in 0..<2 {
                let failure = try run(host, configuration)
                #expect(failure?.kind == .routeTaken && failure?.subject == "10.98.0.0/16", "\(failure?.subject ?? "")")
            }
            #expect(try host.run { shell("ip route delete 10.98.0.0/16 dev lo") })
            let failure = try run(host, configuration)
            #expect(failure == nil, "\(failure?.description ?? "")")
        }
    }
}
