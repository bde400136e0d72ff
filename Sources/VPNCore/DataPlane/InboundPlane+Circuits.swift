// SPDX-License-Identifier: Apache-2.0
// RELAY frames on the packet path (§8): what goes on to the next node, and what lies in a layer that was taken off. Nothing is
// copied and nothing queues: datagrams are opened where they lie.

extension InboundPlane {
    /// What a RELAY frame carries: for the next node, or a datagram that has come on a circuit.
    @inline(never)
    mutating func unwrap(
        _ buffer: inout MutableSpan<UInt8>, _ payload: Range<Int>, from session: SessionReference, now: Instant
    ) -> InboundVerdict {
        relayed(&buffer, payload, from: session.withObject { $0.peer }, hasNews: confirmed(session), now: now)
    }

    /// The same of a payload that a peer's session brought.
    mutating func relayed(
        _ buffer: inout MutableSpan<UInt8>, _ payload: Range<Int>, from slot: PeerSlot, hasNews: Bool = false,
        now: Instant
    ) -> InboundVerdict {
        guard payload.count >= Limits.circuitID + OuterHeader.size else {
            return InboundVerdict(outcome: drop(.circuitMalformed), hasNews: hasNews)
        }
        let id = buffer.load(UInt32.self, at: payload.lowerBound)
        let place = CircuitPlace(outer: slot, id: id)
        if let onward = relays[place] {
            guard onward.traffic.admit(payload.count, now: now) else {
                return InboundVerdict(outcome: drop(.circuitQuota), hasNews: hasNews)
            }
            buffer.store(onward.place.id, at: payload.lowerBound)
            return InboundVerdict(outcome: .relay(payload, to: onward.place.outer), hasNews: hasNews)
        }
        let datagram = payload.lowerBound + Limits.circuitID..<payload.upperBound
        if hasNews {
            // Two sessions may have their first datagram in one: told one by one.
            peeling = (datagram, place)
            return InboundVerdict(outcome: .consumed, hasNews: hasNews)
        }
        return arrive(&buffer, datagram, on: place, now: now)
    }

    /// The verdict on a datagram that came on a circuit. As deep as circuits have hops: a patch of a session may be any circuit, that
    /// session's own as well, and all of a datagram that lies in another is opened again for each layer.
    mutating func arrive(
        _ buffer: inout MutableSpan<UInt8>, _ datagram: Range<Int>, on place: CircuitPlace, now: Instant
    ) -> InboundVerdict {
        layers += 1
        guard layers <= Limits.circuitHops else {
            return InboundVerdict(outcome: drop(.circuitMalformed), place: place)
        }
        let header: OuterHeader
        switch OuterHeader.decode(buffer, datagram) {
        case .header(let decoded): header = decoded
        case .drop(let reason): return InboundVerdict(outcome: drop(reason), place: place)
        }
        guard header.type.isData else {
            let outcome: InboundOutcome =
                datagram.count > Limits.handshakeDatagram ? drop(.tooLong) : .handshake(datagram)
            return InboundVerdict(outcome: outcome, place: place)
        }
        guard let entry = sessions.entry(header.receiverIndex), let session = entry.session else {
            return InboundVerdict(outcome: drop(.unknownIndex), place: place)
        }
        let own = session.withObject { $0.placeKey }
        // §9: a patch of a session that was made on a circuit is a circuit, too; which one, its join shows.
        guard own == place.key || (entry.patch > 0 && own != 0) else {
            return InboundVerdict(outcome: drop(.circuitSession), place: place)
        }
        // §9: the paths of a quilt come by sessions of others, each to a worker of its own. One worker puts all of it in order.
        if entry.isQuilted {
            let home = Int(header.receiverIndex % UInt32(workers))
            guard home == worker else {
                // Once is enough for what honest ends send, and often would be layers without end.
                if case .circuit? = carrier {
                    return InboundVerdict(outcome: drop(.circuitMalformed), place: place)
                }
                return InboundVerdict(
                    outcome: .passOn(datagram, to: home, trafficClass: congestion.field), place: place)
            }
        }
        let opened = session.withObject { $0.open(&buffer, datagram: datagram, header: header, now: now) }
        // The datagrams around it are of another session, and may be of a quilt, whose flags say nothing here.
        let outer = weave
        weave = -1
        defer { weave = outer }
        var verdict =
            entry.isQuilted
            ? patchVerdict(on: opened, of: session, by: Int(entry.patch), datagram, &buffer, now)
            : verdict(on: opened, of: session, &buffer, now)
        verdict.place = verdict.place ?? place
        return verdict
    }

    /// The verdict on a datagram of a quilt that came on a circuit.
    @inline(never)
    private mutating func patchVerdict(
        on opened: OpenVerdict, of session: SessionReference, by patch: Int, _ datagram: Range<Int>,
        _ buffer: inout MutableSpan<UInt8>, _ now: Instant
    ) -> InboundVerdict {
        guard let weave = quilts[session.withObject({ $0.localIndex })] else {
            return verdict(on: opened, of: session, &buffer, now)
        }
        self.weave = weave
        note(opened, bytes: datagram.count, weave: weave, patch: patch, now)
        return verdict(on: opened, of: session, weave: weave, patch: patch, &buffer, now)
    }
}
