// SPDX-License-Identifier: Apache-2.0
// How an engine comes by its TUN interface: at the start, and anew where somebody deleted it.

import VPNCore
import VPNLock

extension Engine {
    /// Makes the interface with its MTU, addresses and routes. Whatever fails leaves nothing behind.
    static func makeTunnel(
        _ tunnel: EngineConfiguration.Tunnel, offloads: Offloads, workers: Int, needsQueues: Bool = false,
        _ interface: inout NetworkInterface?
    ) throws(EngineError) -> TunDevice {
        let device = try TunDevice.open(name: tunnel.name, offloads: offloads, wantsQueues: workers > 1)
        // Somebody may have made one of that name before us, which has one queue: nothing is set on it.
        guard !needsQueues || workers == 1 || device.hasQueues else {
            throw EngineError(.interfaceNameTaken, tunnel.name)
        }
        let made = try NetworkInterface(name: tunnel.name)
        try made.configure(mtu: tunnel.mtu, addresses: tunnel.addresses)
        for route in tunnel.routes where !tunnel.connected.contains(route) {
            try made.addRoute(route, table: tunnel.table)
        }
        interface = made
        return device
    }

    /// Makes an interface that vanished anew and gives it to the workers, whose sessions go on. For who was told `tunGone`.
    /// It takes some milliseconds, with IPv6 addresses up to a second each.
    ///
    /// - Parameter tunnel: as at the start but for its routes, which may be others by now.
    public func restoreTunnel(_ tunnel: EngineConfiguration.Tunnel) throws(EngineError) {
        var interface: NetworkInterface?
        let device = try Engine.makeTunnel(
            tunnel, offloads: wantedOffloads, workers: workers, needsQueues: true, &interface)
        var queues: [TunnelOffer] = []
        let number = expectTunnel(interface)
        for _ in 1..<workers { queues.append(TunnelOffer(try device.queue(name: tunnel.name), number: number)) }
        offer([TunnelOffer(device, number: number)] + queues)
    }
}
