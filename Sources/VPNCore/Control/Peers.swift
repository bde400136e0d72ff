// SPDX-License-Identifier: Apache-2.0
// The peers of the control side by their slots, each in a place of its own: a peer has more than a kilobyte, and a dictionary of
// them would hold half as many again for nobody.

/// A table that its one owner changes in place. It is no value: whoever copies it shares what is in it.
struct Peers {
    private final class Place {
        var peer: Peer?

        init(_ peer: Peer) { self.peer = peer }
    }

    private var places: [PeerSlot: Place] = [:]

    subscript(slot: PeerSlot) -> Peer? {
        _read {
            if let place = places[slot] { yield place.peer } else { yield nil }
        }
        _modify {
            if let place = places[slot] {
                defer { if place.peer == nil { places[slot] = nil } }
                yield &place.peer
            } else {
                var peer: Peer?
                defer { if let peer { places[slot] = Place(peer) } }
                yield &peer
            }
        }
    }

    var count: Int { places.count }
    var keys: some Collection<PeerSlot> { places.keys }
    var values: some Sequence<Peer> { places.values.lazy.compactMap(\.peer) }

    @discardableResult
    mutating func removeValue(forKey slot: PeerSlot) -> Peer? { places.removeValue(forKey: slot)?.peer }
}
