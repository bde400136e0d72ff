// SPDX-License-Identifier: Apache-2.0
// Noticing within seconds that a path leads nowhere any more (§8): questions in the session with its farthest hop, which only that
// one can answer; and who is to blame. When to ask is CircuitVigil's.
internal import VPNCrypto

extension NodeStateMachine {
    /// A question of the vigil stands for no size.
    private static var nothing: Int { 0 }

    mutating func watchCircuits(now: Instant) {
        for number in circuits.paths.keys.sorted() {
            guard let path = circuits.paths[number], var vigil = path.vigil, vigil.due <= now,
                let farthest = path.farthest, let peer = peers[path.slots[farthest]], let held = peer.ring.current
            else { continue }
            let session = held.session
            // What is being built is wanted now.
            let used =
                path.machine.isBuilding
                ? now : max(session.lastPayloadSent ?? .origin, session.lastPayloadReceived ?? .origin)
            let step = vigil.step(
                now: now, heard: session.lastReceived ?? held.installed, used: used, roundTrip: peer.roundTrip,
                random: cryptography.randomBytes(1)[0])
            circuits.paths[number]?.vigil = vigil
            switch step {
            case .wait: continue
            case .ask:
                let nonce = question(to: path.slots[farthest], now: now)
                circuits.paths[number]?.question = (path.slots[farthest], nonce, now)
                if vigil.doubted != nil { for slot in path.slots[..<farthest] { question(to: slot, now: now) } }
            case .failed: fallSilent(path, farthest, since: vigil.doubted ?? now, now: now)
            }
        }
    }

    @discardableResult
    private mutating func question(to slot: PeerSlot, now: Instant) -> UInt64 {
        let nonce = cryptography.randomBytes(8).u64(at: 0)
        say(.probe, ProbeMessage(packet: Self.nothing, nonce: nonce).encoded, to: slot, now: now)
        return nonce
    }

    /// The farthest hop answers no more. The first that does not is where the way ends: itself, or the one before, which may not
    /// have handed on.
    private mutating func fallSilent(_ path: CircuitPath, _ farthest: Int, since: Instant, now: Instant) {
        let first = path.slots[..<farthest].firstIndex { slot in
            (peers[slot]?.ring.current?.session.lastReceived ?? .origin) < since
        }
        let hop = first ?? farthest
        if hop == 0 {
            // It may have restarted, and tokens died with its secrets.
            peers[path.slots[0]]?.token = nil
            peers[path.slots[0]]?.suspected = now
        }
        pathFailed(path.number, hop: hop, hop == 0 ? .lost : .silent, tells: true, now: now)
    }

    /// The answer to a question of the vigil; false where it is none. That something came is known already, here is how long it took.
    mutating func heardAnswer(_ message: ProbeMessage, slot: PeerSlot, now: Instant) -> Bool {
        guard Int(message.packet) == Self.nothing else { return false }
        if peers[slot]?.suspected != nil {
            peers[slot]?.suspected = nil
            // Paths may wait for it.
            touch(slot)
            return true
        }
        let asking = circuits.paths.values.filter { $0.vigil != nil && $0.slots.contains(slot) }
        for path in asking {
            guard let question = path.question, question.slot == slot, question.nonce == message.nonce else { continue }
            peers[slot]?.roundTrip = now.since(question.sent)
        }
        return !asking.isEmpty
    }

    // MARK: - Entries

    /// Gets a session with a peer that circuits are to go by: a new one, or the one that there is, if it answers.
    mutating func enter(_ slot: PeerSlot, now: Instant) {
        if peers[slot]?.isSuspect == true { question(to: slot, now: now) }
        initiate(slot, now: now)
    }
}
