// SPDX-License-Identifier: Apache-2.0
// A node as an exit's guest (§8): asking for a lease in the innermost session of a circuit, and what comes of it. The exit is not
// believed blindly: what no host can have, or what is a peer's, is refused, and a second word ends its session.
internal import VPNCrypto

/// How far a circuit is with its lease.
enum LeaseProgress {
    /// Asked so many times, at first then.
    case asking(repeats: Int, since: Instant)
    case leased(ExitLease)
    /// Asked whether it still is, since the exit may have forgotten.
    case confirming(ExitLease, repeats: Int, since: Instant)
    case refused

    /// The same question once more.
    func again(since: Instant, repeats: Int) -> LeaseProgress {
        if case .confirming(let lease, _, _) = self { return .confirming(lease, repeats: repeats, since: since) }
        return .asking(repeats: repeats, since: since)
    }

    /// The one that waits for an answer.
    var question: (repeats: Int, since: Instant)? {
        switch self {
        case .asking(let repeats, let since), .confirming(_, let repeats, let since): (repeats, since)
        case .leased, .refused: nil
        }
    }

    /// When it is asked again, or given up.
    var deadline: Instant? {
        guard let (repeats, since) = question else { return nil }
        return since + (repeats < Limits.leaseRepeats.count ? Limits.leaseRepeats[repeats] : Limits.leaseWait)
    }
}

extension NodeStateMachine {
    /// The circuit carries packets: time to ask what its end has for us.
    mutating func askForLease(_ number: OwnCircuit.Number, now: Instant) {
        guard let circuit = circuits.all[number], circuit.request.wantsLease else { return }
        circuits.all[number]?.lease = .asking(repeats: 0, since: now)
        say(.configRequest, ExitLeaseMessage.request, to: circuit.destination, now: now)
    }

    /// Repeats that are due, and the end of waiting.
    mutating func advanceLeases(now: Instant) {
        for number in circuits.all.keys.sorted() {
            guard let circuit = circuits.all[number], let progress = circuit.lease, let due = progress.deadline,
                due <= now, let (repeats, since) = progress.question
            else { continue }
            if repeats < Limits.leaseRepeats.count {
                circuits.all[number]?.lease = progress.again(since: since, repeats: repeats + 1)
                say(.configRequest, ExitLeaseMessage.request, to: circuit.destination, now: now)
            } else if case .confirming = progress {
                leaseLost(circuit, now: now)
            } else {
                circuits.all[number]?.lease = .refused
                emit(.circuit(.leaseRefused(number, name: circuit.request.name, .noAnswer)))
            }
        }
    }

    /// Another path leads to the last hop: time to ask whether that still knows what it gave.
    mutating func confirmLease(_ number: OwnCircuit.Number, now: Instant) {
        guard let circuit = circuits.all[number], case .leased(let lease)? = circuit.lease else { return }
        circuits.all[number]?.lease = .confirming(lease, repeats: 0, since: now)
        say(.configRequest, ExitLeaseMessage.request, to: circuit.destination, now: now)
    }

    /// The exit knows nothing of the addresses that this node uses: whoever wants the circuit builds another.
    private mutating func leaseLost(_ circuit: OwnCircuit, now: Instant) {
        remove(circuit, now: now)
        emit(
            .circuit(
                .failed(circuit.number, name: circuit.request.name, hop: circuit.request.hops.count - 1, .lost)))
    }

    /// The exit's answer, or what somebody would like to be taken for one.
    mutating func receive(lease payload: [UInt8], _ held: HeldSession, slot: PeerSlot, now: Instant) {
        guard let circuit = circuits.all.values.first(where: { $0.destination == slot && $0.request.wantsLease }),
            let progress = circuit.lease, let message = ExitLeaseMessage(payload)
        else { return sessionViolated(held.session, now: now) }
        let (number, name) = (circuit.number, circuit.request.name)
        switch (progress, message) {
        case (.asking, .granted(let lease)) where lease.isSane && !isOurs(lease):
            circuits.all[number]?.lease = .leased(lease)
            push(.dataPlane(.sources(slot, lease.addresses)))
            emit(.circuit(.leased(number, name: name, lease)))
        case (.asking, .refused(let refusal)):
            circuits.all[number]?.lease = .refused
            emit(.circuit(.leaseRefused(number, name: name, refusal)))
        case (.asking, .granted):
            circuits.all[number]?.lease = .refused
            emit(.circuit(.leaseRefused(number, name: name, .nonsense)))
            sessionViolated(held.session, now: now)
        case (.confirming(let lease, _, _), .granted(let repeated)) where lease == repeated:
            circuits.all[number]?.lease = .leased(lease)
        case (.confirming, _): leaseLost(circuit, now: now)
        // It was asked more than once, and says the same as often.
        case (.leased(let lease), .granted(let repeated)) where lease == repeated: break
        case (.refused, _): break
        default: sessionViolated(held.session, now: now)
        }
    }

    /// Whether an address of the lease is one that a configured peer answers for: packets for that peer would be taken for our own.
    private func isOurs(_ lease: ExitLease) -> Bool {
        peers.values.contains { peer in
            peer.isConfigured
                && peer.configuration.allowedIPs.contains { network in
                    network.length > 1 && lease.addresses.contains(where: network.contains)
                }
        }
    }
}
