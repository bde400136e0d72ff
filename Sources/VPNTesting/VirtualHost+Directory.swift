// SPDX-License-Identifier: Apache-2.0
// What tests of the directory of relays look at and do.
public import VPNCore
public import VPNCrypto

extension VirtualHost {
    public var relays: [RelayDirectory.Entry] { machine.relays }
    public var guardList: GuardList { machine.guardList }
    public func restoreGuards(_ list: GuardList) { machine.restoreGuards(list) }
    /// Whether it waits for a relay's answer, and bytes of descriptors that are not whole.
    public var isAsking: Bool { machine.footprint.exchanges > 0 }
    public var exchangeBytes: Int { machine.footprint.exchangeBytes }

    @discardableResult
    public func addRelays(
        _ descriptors: [(Descriptor, RelaySource)], now: Instant
    ) -> [(PeerID, DirectoryRefusal)] { machine.addRelays(descriptors, now: now) }

    public func setClock(unixSeconds: UInt64, now: Instant) { machine.setClock(unixSeconds: unixSeconds, now: now) }

    public func publish(_ descriptor: Descriptor?) { machine.publish(descriptor) }

    public func choosePath(_ wish: PathWish, now: Instant) throws(SelectionFailure) -> [PeerID] {
        try machine.choosePath(wish, now: now)
    }

    /// The slot of whoever has this identity.
    public func slot(of id: PeerID) -> PeerSlot? {
        machine.snapshot(now: .origin).first { $0.identity == id }?.slot
    }
}
