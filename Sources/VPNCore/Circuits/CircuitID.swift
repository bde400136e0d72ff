// SPDX-License-Identifier: Apache-2.0
// Who picked a circuit id (§8). The ids themselves are random: none tells how many there are.
internal import VPNCrypto

/// The highest bit is 0 where the smaller peer_id picked, so that the two ends of a link never pick the same id.
enum CircuitID {
    private static var side: UInt32 { 0x8000_0000 }

    static func isPicked(_ id: UInt32, by picker: PeerID, for other: PeerID) -> Bool {
        (id & side == 0) == (picker < other)
    }

    /// An id from 32 random bits; nil in the one case of 2^31 where they make none.
    static func make(_ random: UInt32, by picker: PeerID, for other: PeerID) -> UInt32? {
        let id = picker < other ? random & ~side : random | side
        return RelayMessage.isValid(id) ? id : nil
    }
}
