// SPDX-License-Identifier: Apache-2.0
// Inner addresses that an exit gave this node: on the tunnel interface as long as their circuit lives.
internal import Logging
internal import VPNCore
internal import VPNEngine

extension Node {
    /// Puts a circuit's leased addresses on the interface, and takes them off when it is gone.
    func followLease(_ event: CircuitEvent) {
        switch event {
        case .leased(let number, let name, let lease):
            dropLease(of: number)
            guard let interface = engine.interface else { return }
            if lease.mtu < mtu {
                logger.warning(
                    "the exit carries packets of \(lease.mtu) bytes, the interface \(mtu): set tunnel.mtu",
                    metadata: ["event": "circuit.mtu", "circuit": "\(name)"])
            }
            for address in lease.addresses.map({ InterfaceAddress($0, length: $0.family.bits) }) {
                do throws(EngineError) {
                    try interface.addAddress(address)
                    leases[number, default: []].append(address)
                } catch {
                    logger.error(
                        "\(address), which the exit gave, cannot be set: \(error)",
                        metadata: ["event": "circuit.address", "circuit": "\(name)"])
                }
            }
        case .failed(let number, _, _, _), .closed(let number, _): dropLease(of: number)
        default: break
        }
    }

    /// The interface is a new one: what an exit, or its guest, had on it.
    func settleInterface() {
        if let exit {
            for complaint in exit.host.forward(on: exit.interface) {
                logger.warning("\(complaint)", metadata: ["event": "exit.host"])
            }
        }
        guard let interface = engine.interface else { return }
        for address in leases.values.joined() { try? interface.addAddress(address) }
    }

    private func dropLease(of number: OwnCircuit.Number) {
        guard let addresses = leases.removeValue(forKey: number), let interface = engine.interface else { return }
        // One that is gone already was taken by somebody else, or with the interface.
        for address in addresses { try? interface.removeAddress(address) }
    }
}
