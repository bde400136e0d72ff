// SPDX-License-Identifier: Apache-2.0
// What the path to each peer carries (§7): runs the search of each peer that packets are sent to, and tells the packet workers.
internal import VPNCrypto

extension NodeStateMachine {
    /// A peer is sent to over a carrier: looks for its MTU, unless that is known of this very carrier.
    mutating func searchPath(_ slot: PeerSlot, over carrier: Carrier, peerMTU: Int, now: Instant) {
        let room = carrier.place.map { self.room(on: $0) - Limits.layerOverhead } ?? Int.max
        let ceiling = min(Int(parameters.mtu), peerMTU, room)
        // A peer that takes no packets of any use is its own affair; nobody asks about the way to where it was, either.
        guard ceiling >= Limits.smallestInnerMTU else {
            peers[slot]?.path = nil
            return
        }
        if let path = peers[slot]?.path, path.search.ceiling == ceiling, path.leads(over: carrier) {
            peers[slot]?.path?.carrier = carrier
            return
        }
        let search = PathMTUSearch(
            ceiling: ceiling, isV4: carrier.endpoint?.isV4 ?? true, narrows: !parameters.padding.hidesSizes, now: now)
        peers[slot]?.path = PeerPath(carrier: carrier, told: search.current, search: search)
        limitPackets(slot)
        advancePath(slot, now: now)
    }

    /// The longest datagram, in bytes, that goes in RELAY frames on a circuit, as far as this node knows.
    func room(on place: CircuitPlace) -> Int {
        let outer = (peers[place.outer]?.path?.search.current ?? Int(parameters.mtu)) - Limits.frameHeader
        // A payload of RELAY is an id and a datagram, and as long as the longest inner packet of the session around it. That
        // one has a ceiling of its own where an anonymous caller named it, which is none for RELAY.
        let own = peers[place.outer]?.carrier?.place.map { room(on: $0) - Limits.circuitOverhead }
        return min(own ?? outer, circuits.largest(on: place) ?? .max)
    }

    /// Sends the probes that are due.
    mutating func advancePath(_ slot: PeerSlot, now: Instant) {
        guard var path = peers[slot]?.path, now >= path.search.deadline else { return }
        guard let session = peers[slot]?.ring.current?.session else {
            // Without a session there is nothing to send by; the next one goes on here or begins anew.
            peers[slot]?.path = nil
            return
        }
        let cryptography = cryptography
        let messages = path.search.advance(
            now: now, isBusy: { (session.lastPayloadSent ?? .origin) > $0 },
            nonce: { cryptography.randomBytes(8).u64(at: 0) })
        for message in messages {
            let plaintext = Int(message.packet) + Limits.frameHeader
            guard
                let datagram = session.sealFrame(
                    type: .probe, payload: message.encoded, padding: .buckets([plaintext]), ceiling: plaintext, now: now
                )
            else { break }
            transmit(datagram, over: path.carrier, now: now)
        }
        tell(slot, &path)
    }

    /// The other end asks whether a size arrives: this one did.
    mutating func answer(probe payload: [UInt8], _ held: HeldSession, slot: PeerSlot, now: Instant) {
        guard let message = ProbeMessage(payload) else { return drop(.probeMalformed) }
        say(.probeReport, message.encoded, by: held.session, to: slot, now: now)
    }

    /// The other end answers a probe.
    mutating func receive(probeReport payload: [UInt8], slot: PeerSlot, now: Instant) {
        guard let message = ProbeMessage(payload) else { return drop(.probeMalformed) }
        if heardAnswer(message, slot: slot, now: now) { return }
        guard var path = peers[slot]?.path, path.search.answered(message, now: now) else { return drop(.probeUnknown) }
        tell(slot, &path)
    }

    /// Tells the packet workers what may go to a peer: what every way there carries.
    mutating func limitPackets(_ slot: PeerSlot) {
        guard let peer = peers[slot], let own = peer.path?.told else { return }
        for making in peer.quilts.values { making.quilt.withState { $0.limitFirst(mtu: own) } }
        push(.dataPlane(.limit(slot, mtu: quiltMTU(slot).map { min($0, own) } ?? own)))
    }

    private mutating func tell(_ slot: PeerSlot, _ path: inout PeerPath) {
        let mtu = path.search.current
        if mtu != path.told {
            path.told = mtu
            peers[slot]?.path = path
            limitPackets(slot)
            emit(.pathMTU(slot: slot, peerName: peers[slot]?.name ?? "", mtu: mtu))
        }
        peers[slot]?.path = path
    }
}

/// A peer's path: what carries it, the search, and what the packet workers were told.
struct PeerPath {
    var carrier: Carrier
    @Short var told: Int
    var search: PathMTUSearch

    /// Whether what is known of it is known of a carrier, too: it is the same, whether or not either is bound to an address of this
    /// host.
    func leads(over other: Carrier) -> Bool {
        carrier == other || carrier.isHeard(as: other) || other.isHeard(as: carrier)
    }
}
