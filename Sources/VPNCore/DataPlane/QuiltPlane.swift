// SPDX-License-Identifier: Apache-2.0
// The clock of quilts on one worker (§9): when which patch is asked how it does. What comes of it is in each quilt; packets are the
// business of the other halves.

struct QuiltPlane {
    private let padding: PaddingPolicy
    private let worker: Int
    private let workers: Int
    private var quilts: [Quilt] = []
    private var frames: [(datagram: [UInt8], carrier: Carrier)] = []

    init(padding: PaddingPolicy, worker: Int, of workers: Int) {
        precondition(workers > 0)
        self.padding = padding
        self.worker = worker
        self.workers = workers
    }

    mutating func apply(_ command: DataPlaneCommand) {
        switch command {
        case .quilt(let quilt):
            // The worker that its datagrams come to, so that one alone asks.
            guard Int(quilt.session.localIndex % UInt32(workers)) == worker, !quilts.contains(where: { $0 === quilt })
            else { return }
            quilts.append(quilt)
        // One that is not sent on any more is not asked about: that would keep it alive for ever.
        case .activate(let session, _): quilts.removeAll { $0.session.peer == session.peer && $0.session !== session }
        case .retire(let index): quilts.removeAll { $0.session.localIndex == index }
        case .removePeer(let slot): quilts.removeAll { $0.session.peer == slot }
        default: break
        }
    }

    /// When `expire` has something to do; nil without quilts.
    var deadline: Instant? { quilts.lazy.map { quilt in quilt.withState { $0.due } }.min() }

    mutating func expire(now: Instant) {
        for quilt in quilts {
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
    }

    mutating func nextFrame() -> (datagram: [UInt8], carrier: Carrier)? {
        frames.isEmpty ? nil : frames.removeFirst()
    }
}
