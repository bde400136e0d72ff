// SPDX-License-Identifier: Apache-2.0
// The receiving side of one session's quilt on one worker (§9): the order of its packets, what repairs bring back, and how much came by
// which patch. One thread; what others see of it is in the Quilt.

struct QuiltReceiver {
    let quilt: Quilt
    var resequencer: Resequencer
    /// When a packet had to wait last.
    var heldAt = Instant.origin
    private var decoder: RepairDecoder?
    /// When a repair came last.
    private(set) var repairAt = Instant.origin
    /// Packets that repairs brought back and that are still to be told.
    private(set) var repaired: [[UInt8]] = []
    /// Repairs that are taken now. One costs as much as many packets, so packets earn them: one for two, where senders make one for four.
    private var repairsLeft = Double(Limits.repairsAtOnce)

    init(_ quilt: Quilt) {
        self.quilt = quilt
        resequencer = Resequencer(cell: Limits.usualPathMTU, takesCells: false)
    }

    /// A probe came: how far apart patches are may have changed.
    mutating func adjust() {
        let (skew, jitter) = quilt.withState { $0.disorder }
        resequencer.adjust(skew: skew, jitter: jitter)
        let statistics = resequencer.statistics
        quilt.withState { $0.resequencing = statistics }
    }

    // MARK: - Repairs

    /// A packet that came, for repairs of others. Nothing is kept before the first repair has come.
    mutating func note(_ packet: [UInt8], under counter: UInt64) {
        guard decoder != nil else { return }
        repairsLeft = min(repairsLeft + 0.5, Double(Limits.repairsAtOnce))
        keep(decoder!.received(packet, under: counter))
    }

    var keepsPackets: Bool { decoder != nil }

    /// Whether one more repair is looked at: that is so much work.
    mutating func takesRepair() -> Bool {
        guard repairsLeft >= 1 else { return false }
        repairsLeft -= 1
        return true
    }

    /// A repair that came.
    mutating func receive(_ message: RepairMessage, now: Instant) {
        if decoder == nil { decoder = RepairDecoder() }
        repairAt = now
        keep(decoder!.received(message))
    }

    private mutating func keep(_ found: [(counter: UInt64, packet: [UInt8])]) {
        // §9: a packet that was rebuilt marks its counter, so that a late original drops.
        for (counter, packet) in found where quilt.session.markReceived(counter) { repaired.append(packet) }
    }

    /// Forgets the packets that it kept for repairs, until the next one comes.
    mutating func forgetPackets() { decoder = nil }

    mutating func takeRepaired() -> [UInt8]? { repaired.isEmpty ? nil : repaired.removeFirst() }
}
