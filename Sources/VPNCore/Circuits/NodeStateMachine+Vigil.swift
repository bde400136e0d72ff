// SPDX-License-Identifier: Apache-2.0
// Noticing within seconds that a circuit in use leads nowhere any more (§8): questions in its innermost session, which only the last
// hop can answer. When to ask is CircuitVigil's.
internal import VPNCrypto

extension NodeStateMachine {
    /// A question of the vigil stands for no size.
    private static var nothing: Int { 0 }

    mutating func watchCircuits(now: Instant) {
        for circuit in circuits.all.values.sorted(by: { $0.number < $1.number }) {
            guard var vigil = circuit.vigil, vigil.due <= now, let current = circuit.current,
                let peer = peers[circuit.destination], let held = peer.ring.current
            else { continue }
            let session = held.session
            let used = max(session.lastPayloadSent ?? .origin, session.lastPayloadReceived ?? .origin)
            let step = vigil.step(
                now: now, heard: session.lastReceived ?? held.installed, used: used, roundTrip: peer.roundTrip,
                random: cryptography.randomBytes(1)[0])
            circuits.all[circuit.number]?.vigil = vigil
            switch step {
            case .wait: continue
            case .ask: askWhetherThere(circuit, now: now)
            case .failed:
                pathFailed(current, hop: circuit.request.hops.count - 1, .silent, tells: true, now: now)
            }
        }
    }

    private mutating func askWhetherThere(_ circuit: OwnCircuit, now: Instant) {
        let nonce = cryptography.randomBytes(8).u64(at: 0)
        circuits.all[circuit.number]?.question = (nonce, now)
        say(
            .probe, ProbeMessage(packet: Self.nothing, nonce: nonce).encoded, to: circuit.destination, now: now)
    }

    /// The answer to a question of the vigil; false where it is none. That something came is known already, here is how long it took.
    mutating func heardAnswer(_ message: ProbeMessage, slot: PeerSlot, now: Instant) -> Bool {
        guard Int(message.packet) == Self.nothing,
            let circuit = circuits.all.values.first(where: { $0.destination == slot && $0.vigil != nil })
        else { return false }
        if let question = circuit.question, question.nonce == message.nonce {
            peers[slot]?.roundTrip = now.since(question.sent)
        }
        return true
    }
}
