// SPDX-License-Identifier: Apache-2.0
// The clock of quilts on one worker (§9): when which patch is asked how it does. What comes of it is in each quilt; packets are the
// business of the other halves.

struct QuiltPlane {
    private let padding: PaddingPolicy
    private let worker: Int
    private let workers: Int
    private var quilts: [Quilt] = []
    /// When something is due for each, side by side with them.
    private var dues: [Instant] = []
    /// Where each is, by the local index of its session.
    private var places: [UInt32: Int] = [:]
    /// No later than the first of them.
    private var first = Instant(nanoseconds: .max)
    private let alarm = QuiltAlarm()
    private var frames: [(datagram: [UInt8], carrier: Carrier)] = []

    init(padding: PaddingPolicy, worker: Int, of workers: Int) {
        precondition(workers > 0)
        self.padding = padding
        self.worker = worker
        self.workers = workers
    }

    /// What wakes the worker whose clock this is.
    func wakeBy(_ bell: @escaping @Sendable () -> Void) { alarm.wakeBy(bell) }

    mutating func apply(_ command: DataPlaneCommand) {
        switch command {
        case .quilt(let quilt):
            // The worker that its datagrams come to, so that one alone asks.
            guard Int(quilt.session.localIndex % UInt32(workers)) == worker, places[quilt.session.localIndex] == nil
            else { return }
            places[quilt.session.localIndex] = quilts.count
            quilts.append(quilt)
            dues.append(quilt.attach(alarm))
            first = min(first, dues[dues.count - 1])
        // One that is not sent on any more is not asked about: that would keep it alive for ever.
        case .activate(let session, _): remove { $0.session.peer == session.peer && $0.session !== session }
        case .retire(let index): if let place = places[index] { remove(at: place) }
        case .removePeer(let slot): remove { $0.session.peer == slot }
        default: break
        }
    }

    private mutating func remove(where isGone: (Quilt) -> Bool) {
        for place in quilts.indices.reversed() where isGone(quilts[place]) { remove(at: place) }
    }

    /// The last one takes its place.
    private mutating func remove(at place: Int) {
        places[quilts[place].session.localIndex] = nil
        quilts.swapAt(place, quilts.count - 1)
        dues.swapAt(place, dues.count - 1)
        quilts.removeLast()
        dues.removeLast()
        if place < quilts.count { places[quilts[place].session.localIndex] = place }
    }

    /// When `expire` may have something to do; nil without quilts. Quilts are asked if they rang alone: their number costs nothing.
    var deadline: Instant? {
        mutating get {
            for index in alarm.answer() {
                guard let place = places[index] else { continue }
                dues[place] = quilts[place].withState { $0.look() }
                first = min(first, dues[place])
            }
            return quilts.isEmpty ? nil : first
        }
    }

    mutating func expire(now: Instant) {
        for place in dues.indices where dues[place] <= now {
            ask(quilts[place], now: now)
            dues[place] = quilts[place].withState { $0.look() }
        }
        first = dues.min() ?? Instant(nanoseconds: .max)
    }

    private mutating func ask(_ quilt: Quilt, now: Instant) {
        quilt.withState { $0.advance(now: now) }
        while let (kept, way) = quilt.withState({ $0.nextAgain(now: now) }) {
            var datagram = kept
            OuterHeader.address(&datagram, to: way.remoteIndex)
            frames.append((datagram, way.carrier))
        }
        while let due = quilt.withState({ $0.nextProbe(now: now) }) {
            guard
                let datagram = quilt.seal(
                    .probe, due.probe.encoded, for: due.way, size: due.size, padding: padding, now: now)
            else { break }
            frames.append((datagram, due.way.carrier))
        }
    }

    mutating func nextFrame() -> (datagram: [UInt8], carrier: Carrier)? {
        frames.isEmpty ? nil : frames.removeFirst()
    }
}
