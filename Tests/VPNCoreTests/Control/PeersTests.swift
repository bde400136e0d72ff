// SPDX-License-Identifier: Apache-2.0
// The table of peers: who is due, whatever came and went.

import Testing

@testable import VPNCore

@Suite struct PeersTests {
    private func peer(_ slot: PeerSlot, due: Instant?) -> Peer {
        let configuration = PeerConfiguration(name: "p\(slot)", peerID: nil, endpoint: nil, allowedIPs: [])
        var peer = Peer(slot: slot, configuration: configuration, isConfigured: true, identity: nil)
        peer.retry = due
        return peer
    }

    private func at(_ seconds: Int) -> Instant { .origin + .seconds(seconds) }

    @Test func whoeverIsDueIsFound() {
        var peers = Peers()
        var (first, due) = (peers.deadline, peers.due(by: at(1_000_000)))
        #expect(first == Instant(nanoseconds: .max) && due.isEmpty)
        for slot in 1...5 { peers[slot] = peer(slot, due: at(slot * 10)) }
        (first, due) = (peers.deadline, peers.due(by: at(30)))
        #expect(first == at(10) && due == [1, 2, 3])
        // They stay due until something is done about it.
        due = peers.due(by: at(30))
        #expect(due == [1, 2, 3])
        peers[1]?.retry = at(100)
        peers[2]?.retry = nil
        (first, due) = (peers.deadline, peers.due(by: at(40)))
        #expect(first == at(30) && due == [3, 4])
        peers[3] = nil
        let gone = peers.removeValue(forKey: 4)?.slot
        first = peers.deadline
        #expect(gone == 4 && first == at(50) && peers.count == 3)
    }

    /// One changes, goes, and another takes its place before anybody asks: nothing of the first is left.
    @Test func aPlaceThatIsTakenAgainHasTheDeadlineOfItsNewPeer() {
        var peers = Peers()
        peers[1] = peer(1, due: at(10))
        peers[2] = peer(2, due: at(20))
        let before = peers.deadline
        peers[1]?.retry = at(5)
        peers.removeValue(forKey: 1)
        peers[7] = peer(7, due: at(30))
        let (after, due) = (peers.deadline, peers.due(by: at(30)))
        #expect(before == at(10) && after == at(20) && due == [2, 7])
        #expect(peers.slot { $0.name == "p7" } == 7 && peers.slot { $0.name == "p1" } == nil)
    }

    /// Against a plain dictionary, over many random changes.
    @Test func deadlinesAgreeWithThoseOfADictionary() {
        var generator = SeededGenerator(20_261_126)
        var (peers, model) = (Peers(), [PeerSlot: Instant?]())
        for _ in 0..<20_000 {
            let slot = Int.random(in: 0..<40, using: &generator)
            let due: Instant? = Bool.random(using: &generator) ? at(Int.random(in: 0..<100, using: &generator)) : nil
            switch Int.random(in: 0..<4, using: &generator) {
            case 0:
                peers[slot] = peer(slot, due: due)
                model[slot] = due
            case 1:
                peers[slot]?.retry = due
                if model[slot] != nil { model[slot] = due }
            case 2:
                peers.removeValue(forKey: slot)
                model[slot] = nil
            default:
                let now = at(Int.random(in: 0..<100, using: &generator))
                let wanted = model.filter { $0.value.map { $0 <= now } ?? false }.keys.sorted()
                let least = model.values.compactMap { $0 }.min() ?? Instant(nanoseconds: .max)
                let (due, first) = (peers.due(by: now), peers.deadline)
                #expect(due == wanted && first == least)
            }
        }
        #expect(peers.count == model.count)
    }
}
