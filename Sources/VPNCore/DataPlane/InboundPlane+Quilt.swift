// SPDX-License-Identifier: Apache-2.0
// Packets of a session that several carriers bring (§9): probes are answered here, and packets go on in the order in which they were
// sent, for a bounded time. What is in order already is not touched.

/// What waits to be copied out.
enum ReleasedPacket {
    case none
    /// In the cells of a receiving side.
    case cell(Range<Int>, weave: Int)
    /// By a repair, or too long for a cell.
    case bytes([UInt8])
}

extension InboundPlane {
    // MARK: - Commands

    mutating func knit(_ quilt: Quilt) {
        guard quilts[quilt.session.localIndex] == nil, sessions.owners[quilt.session.localIndex] === quilt.session
        else {
            return
        }
        let place = weaves.firstIndex { $0 == nil } ?? weaves.count
        if place == weaves.count { weaves.append(nil) }
        weaves[place] = QuiltReceiver(quilt)
        quilts[quilt.session.localIndex] = place
    }

    /// The session is over: what still waits of it goes now.
    mutating func unravel(_ index: UInt32) {
        guard let place = quilts.removeValue(forKey: index) else { return }
        weaves[place]?.resequencer.releaseAll()
        leaving.append(place)
        release(place)
    }

    private mutating func release(_ place: Int) {
        if !releasing.contains(place) { releasing.append(place) }
    }

    // MARK: - Arrivals

    /// The verdict on a datagram of a quilt, opened already.
    @inline(never)
    mutating func verdict(
        on opened: OpenVerdict, of session: SessionReference, weave: Int, patch: Int,
        _ buffer: inout MutableSpan<UInt8>, _ now: Instant
    ) -> InboundVerdict {
        guard case .frame(let frame) = opened, weaves[weave] != nil else {
            return verdict(on: opened, of: session, &buffer, now)
        }
        let header = frame.payload.lowerBound - Limits.frameHeader - Limits.outerHeader
        let counter = buffer.load(UInt64.self, at: header + 8)
        guard frame.type == .ip else {
            pass(counter, patch, weave, now)
            if let outcome = reflex(frame, weave: weave, patch: patch, buffer, now) {
                return InboundVerdict(outcome: outcome, hasNews: confirmed(session))
            }
            return verdict(on: opened, of: session, &buffer, now)
        }
        if frame.skipped > 0 {
            let first = counter > UInt64(frame.skipped) ? counter - UInt64(frame.skipped) : 0
            if weaves[weave]!.resequencer.lacksCells(for: first) { _ = equip(weave, now) }
            weaves[weave]!.resequencer.skip(Int(frame.skipped), before: counter)
        }
        if weaves[weave]!.keepsPackets {
            weaves[weave]!.note(copy(buffer, frame.payload), under: counter)
            if !weaves[weave]!.repaired.isEmpty { release(weave) }
        }
        var verdict = verdict(on: opened, of: session, &buffer, now)
        guard case .deliver(let packet) = verdict.outcome else {
            pass(counter, patch, weave, now)
            return verdict
        }
        verdict.outcome = arrange(packet, counter, patch, weave, buffer, now)
        return verdict
    }

    /// Something came that is no packet for the interface: those that waited for it alone go. That it is known costs no other quilt
    /// anything: at worst a packet waits for it.
    private mutating func pass(_ counter: UInt64, _ patch: Int, _ weave: Int, _ now: Instant) {
        if weaves[weave]!.resequencer.lacksCells(for: counter) { _ = equip(weave, now) }
        weaves[weave]!.resequencer.pass(counter, on: patch, now: now)
        if weaves[weave]!.resequencer.hasPackets { release(weave) }
    }

    /// Out with a packet, or into a cell.
    private mutating func arrange(
        _ packet: Range<Int>, _ counter: UInt64, _ patch: Int, _ weave: Int, _ buffer: borrowing MutableSpan<UInt8>,
        _ now: Instant
    ) -> InboundOutcome {
        if weaves[weave]!.resequencer.lacksCells(for: counter, on: patch, now: now), !equip(weave, now) {
            // Somebody else's packets go first, so that this one has where to wait.
            vacate()
            postponed = PostponedPacket(packet: packet, counter: counter, patch: patch, weave: weave)
            release(weave)
            return .consumed
        }
        switch weaves[weave]!.resequencer.arrive(counter, length: packet.count, on: patch, now: now) {
        case .deliver:
            if weaves[weave]!.resequencer.hasPackets { release(weave) }
            return .deliver(packet)
        case .hold(let cell):
            weaves[weave]!.resequencer.store(buffer, packet, in: cell)
            weaves[weave]!.heldAt = now
            release(weave)
            return .consumed
        case .full:
            // What waits goes first; then the same packet comes again.
            postponed = PostponedPacket(packet: packet, counter: counter, patch: patch, weave: weave)
            release(weave)
            return .consumed
        }
    }

    // MARK: - Cells

    /// Gives a quilt cells, where there are any that no packet needs; false where there are not.
    private mutating func equip(_ weave: Int, _ now: Instant) -> Bool {
        if equipped.count >= Limits.resequencers {
            guard let idle = equipped.filter({ weaves[$0]?.resequencer.hasPackets != true }).min() else { return false }
            spareCells = takeCells(of: idle)
        }
        let cells = spareCells
        spareCells = []
        weaves[weave]!.resequencer.equip(cells)
        weaves[weave]!.heldAt = now
        equipped.insert(weave)
        return true
    }

    /// The quilt whose packets have waited longest lets them go, and then its cells.
    private mutating func vacate() {
        var victim: (place: Int, since: Instant)?
        for place in equipped.sorted() {
            // One where places alone wait, and no packet, is the first to go.
            let since = weaves[place]?.resequencer.waitingSince ?? .origin
            if victim.map({ since < $0.since }) ?? true { victim = (place, since) }
        }
        guard let victim else { return }
        weaves[victim.place]?.resequencer.releaseWaiting()
        yielding.insert(victim.place)
        release(victim.place)
    }

    private mutating func takeCells(of place: Int) -> [UInt8] {
        equipped.remove(place)
        yielding.remove(place)
        return weaves[place]?.resequencer.giveBack() ?? []
    }

    /// Since when the cells of a quilt are idle; nil where something waits in them.
    private mutating func idleSince(_ place: Int) -> Instant? {
        guard weaves[place]?.resequencer.waitingSince == nil else { return nil }
        return weaves[place]?.heldAt
    }

    private func copy(_ buffer: borrowing MutableSpan<UInt8>, _ range: Range<Int>) -> [UInt8] {
        OutboundPlane.copy(buffer, range)
    }

    /// Frames that are answered without the control side: nil for others.
    private mutating func reflex(
        _ frame: FrameView, weave: Int, patch: Int, _ buffer: borrowing MutableSpan<UInt8>, _ now: Instant
    ) -> InboundOutcome? {
        let quilt = weaves[weave]!.quilt
        switch frame.type {
        case .probe:
            guard frame.payload.count == PatchProbe.size, buffer[frame.payload.lowerBound] == PatchProbe.kind else {
                return nil
            }
            // A probe speaks of the patch that it came by.
            guard let probe = PatchProbe(copy(buffer, frame.payload)), Int(probe.patch) == patch,
                let (report, way) = quilt.withState({ $0.answer(probe, now: now) })
            else { return drop(.probeMalformed) }
            if let datagram = quilt.seal(.probeReport, report.encoded, for: way, padding: padding, now: now) {
                answers.append((datagram, way.carrier))
            }
            weaves[weave]!.adjust()
            return .consumed
        case .probeReport:
            guard frame.payload.count == PatchReport.size, buffer[frame.payload.lowerBound] == PatchProbe.kind else {
                return nil
            }
            guard let report = PatchReport(copy(buffer, frame.payload)) else { return drop(.probeMalformed) }
            return quilt.withState({ $0.receive(report, now: now) }) ? .consumed : drop(.probeUnknown)
        case .repair:
            guard weaves[weave]!.takesRepair() else { return drop(.repairExcess) }
            guard let message = RepairMessage(copy(buffer, frame.payload)) else { return drop(.repairMalformed) }
            if !weaves[weave]!.keepsPackets { forgetOldestRepairs() }
            weaves[weave]!.receive(message, now: now)
            if !weaves[weave]!.repaired.isEmpty { release(weave) }
            return .consumed
        default: return nil
        }
    }

    /// One more quilt keeps packets for repairs: where as many do as may, the one that had none for longest stops.
    private mutating func forgetOldestRepairs() {
        let keeping = weaves.indices.filter { weaves[$0]?.keepsPackets == true }
        guard keeping.count >= Limits.quiltsRepaired,
            let oldest = keeping.min(by: { weaves[$0]!.repairAt < weaves[$1]!.repairAt })
        else { return }
        weaves[oldest]!.forgetPackets()
    }

    // MARK: - Release

    /// The next packet that may go now; nil when all others have to wait.
    @inline(never)
    mutating func nextReleased(_ buffer: inout MutableSpan<UInt8>, now: Instant) -> InboundVerdict? {
        while let place = releasing.first {
            if let packet = weaves[place]?.takeRepaired(), let verdict = repaired(packet, place, now) { return verdict }
            if weaves[place]?.repaired.isEmpty == false { continue }
            if let cell = weaves[place]?.resequencer.nextReleased() {
                released = .cell(cell, weave: place)
                return InboundVerdict(outcome: .deliverReleased(length: cell.count))
            }
            releasing.removeFirst()
            if yielding.contains(place) { spareCells = takeCells(of: place) }
            if let again = postponed, again.weave == place {
                postponed = nil
                return InboundVerdict(
                    outcome: arrange(again.packet, again.counter, again.patch, place, buffer, now))
            }
            if let gone = leaving.firstIndex(of: place) {
                leaving.remove(at: gone)
                _ = takeCells(of: place)
                weaves[place] = nil
            }
        }
        return nil
    }

    /// A packet that a repair brought back: its source is looked at as that of any other. It goes out of its order: it is late as it is.
    private mutating func repaired(_ packet: [UInt8], _ place: Int, _ now: Instant) -> InboundVerdict? {
        guard let quilt = weaves[place]?.quilt else { return nil }
        var bytes = packet
        var span = bytes.mutableSpan
        let reference = SessionReference(quilt.session)
        let frame = FrameView(type: .ip, payload: 0..<packet.count)
        guard case .deliver(let range) = accept(frame, from: reference, &span, now) else { return nil }
        released = .bytes(Array(bytes[range]))
        return InboundVerdict(outcome: .deliverReleased(length: range.count))
    }

    /// Copies the packet of the last `deliverReleased` to `offset` of a buffer.
    public mutating func copyReleased(into buffer: inout MutableSpan<UInt8>, at offset: Int) {
        switch released {
        case .none: break
        case .cell(let range, let weave):
            if let cells = weaves[weave]?.resequencer.cells { buffer.copy(cells.span, range, to: offset) }
        case .bytes(let bytes): buffer.copy(bytes.span, 0..<bytes.count, to: offset)
        }
        released = .none
    }

    // MARK: - Time

    /// When `expire` has something to do; nil while nothing waits.
    public var deadline: Instant? {
        mutating get {
            var deadline: Instant?
            // Nothing waits where there are no cells, so that the number of quilts costs nothing.
            for place in equipped {
                guard
                    let due = weaves[place]?.resequencer.deadline
                        ?? idleSince(place).map({ $0 + Limits.resequencerKept })
                else { continue }
                deadline = deadline.map { min($0, due) } ?? due
            }
            return deadline
        }
    }

    /// Lets packets go that waited long enough: `next` gives them, before anything that comes later.
    public mutating func expire(now: Instant) {
        for place in equipped.sorted() {
            if let idle = idleSince(place), idle + Limits.resequencerKept <= now { _ = takeCells(of: place) }
            guard let due = weaves[place]?.resequencer.deadline, due <= now else { continue }
            weaves[place]!.resequencer.expire(now: now)
            release(place)
        }
    }

    /// Whether frames wait that answer something.
    public var hasAnswers: Bool { !answers.isEmpty }

    /// A frame that answers what came by a patch, and where it goes; nil if there is no other.
    public mutating func nextAnswer() -> (datagram: [UInt8], carrier: Carrier)? {
        answers.isEmpty ? nil : answers.removeFirst()
    }
}

/// A packet that was to wait where there was no room.
struct PostponedPacket {
    var packet: Range<Int>
    var counter: UInt64
    var patch: Int
    var weave: Int
}
