// SPDX-License-Identifier: Apache-2.0
// An interface that vanished, and one of its name in its place that somebody else made: it has one queue, and is not
// taken by an engine that needs more.

import Glibc
import Testing
import VPNCore

@testable import VPNEngine

extension Threads {
    @Suite(.serialized) struct RestoreRefusalTests {
        private func restore(_ engine: Engine, _ tunnel: EngineConfiguration.Tunnel, _ host: PrivateHost) throws
            -> EngineError.Kind?
        {
            try host.run {
                do throws(EngineError) {
                    try engine.restoreTunnel(tunnel)
                    return nil
                } catch {
                    return error.kind
                }
            }
        }

        @Test func anInterfaceOfOneQueueIsNotTakenForTwoWorkers() throws {
            let name = "anInterfaceOfOneQueueIsNotTakenForTwoWorkers"
            guard let host = PrivateHost.make(name) else { return }
            let tunnel = EngineConfiguration.Tunnel(
                name: "pqt0", addresses: [try InterfaceAddress("10.77.0.1/24")], mtu: 1420, routes: [])
            let configuration = EngineConfiguration(tunnel: tunnel, listen: Fixture.loopback, workers: 2)
            let log = EventLog()
            let engine = try host.run { try Engine(configuration, onWake: log.onWake) }
            log.attach(engine)
            defer {
                log.detach()
                engine.stop()
            }
            #expect(engine.workers == 2)
            try engine.start()
            func isToldGone() -> Bool { log.next { if case .tunGone = $0 { true } else { nil } } == true }
            try host.run { try engine.interface!.remove() }
            #expect(isToldGone())
            guard try host.run({ shell("ip tuntap add dev pqt0 mode tun") }) else {
                return print("SKIPPED: \(name): it needs ip")
            }
            #expect(try restore(engine, tunnel, host) == .interfaceNameTaken)
            // With the name free it is made, and the workers have it: they see it vanish as well.
            #expect(try host.run { shell("ip link delete dev pqt0") })
            #expect(try restore(engine, tunnel, host) == nil)
            try host.run { try engine.interface!.remove() }
            #expect(isToldGone())
        }
    }
}
