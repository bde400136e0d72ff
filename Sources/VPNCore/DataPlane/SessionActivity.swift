// SPDX-License-Identifier: Apache-2.0
// What a session counts while it moves packets, and when it last did. Atomics only: any thread at any time, once a batch.

import Synchronization

/// Counts and times of one session.
struct SessionActivity: ~Copyable, Sendable {
    private let packetsIn = Atomic<UInt64>(0)
    private let bytesIn = Atomic<UInt64>(0)
    private let packetsOut = Atomic<UInt64>(0)
    private let bytesOut = Atomic<UInt64>(0)
    private let failures = Atomic<UInt64>(0)
    private let receivedAt = Atomic<UInt64>(0)
    private let sentAt = Atomic<UInt64>(0)
    private let payloadSentAt = Atomic<UInt64>(0)
    private let payloadReceivedAt = Atomic<UInt64>(0)

    func note(sent tally: SessionTally, now: Instant) {
        packetsOut.wrappingAdd(tally.packets, ordering: .relaxed)
        bytesOut.wrappingAdd(tally.bytes, ordering: .relaxed)
        // Another worker may have settled a later batch before.
        if !tally.isProbe { sentAt.max(now.nanoseconds, ordering: .relaxed) }
        if tally.hasPayload { payloadSentAt.max(now.nanoseconds, ordering: .relaxed) }
    }

    func note(received tally: SessionTally, now: Instant) {
        packetsIn.wrappingAdd(tally.packets, ordering: .relaxed)
        bytesIn.wrappingAdd(tally.bytes, ordering: .relaxed)
        receivedAt.max(now.nanoseconds, ordering: .relaxed)
        if tally.hasPayload { payloadReceivedAt.max(now.nanoseconds, ordering: .relaxed) }
    }

    /// Datagrams that did not open.
    func note(failedOpens count: UInt64) { failures.wrappingAdd(count, ordering: .relaxed) }

    @inline(__always)
    var failedOpens: UInt64 { failures.load(ordering: .relaxed) }

    var lastReceived: Instant? { instant(receivedAt) }
    var lastSent: Instant? { instant(sentAt) }
    var lastPayloadSent: Instant? { instant(payloadSentAt) }
    var lastPayloadReceived: Instant? { instant(payloadReceivedAt) }

    private func instant(_ nanoseconds: borrowing Atomic<UInt64>) -> Instant? {
        let value = nanoseconds.load(ordering: .relaxed)
        return value == 0 ? nil : Instant(nanoseconds: value)
    }

    func statistics(framesLeft: UInt64) -> SessionStatistics {
        SessionStatistics(
            packetsIn: packetsIn.load(ordering: .relaxed), bytesIn: bytesIn.load(ordering: .relaxed),
            packetsOut: packetsOut.load(ordering: .relaxed), bytesOut: bytesOut.load(ordering: .relaxed),
            failedOpens: failedOpens, framesLeft: framesLeft)
    }
}
