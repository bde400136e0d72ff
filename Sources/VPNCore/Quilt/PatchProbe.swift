// SPDX-License-Identifier: Apache-2.0
// The payloads of PROBE and PROBE_REPORT of kind 2 (§9): how a patch does. A probe says what its sender has sent there, a report what
// came, so that each end knows of its own direction.

/// `kind 1 │ patch 1 │ reserved 2 │ number 4 │ sent at 8 │ packets 8 │ bytes 8`: 32 bytes.
struct PatchProbe: Hashable {
    static let kind: UInt8 = 2
    static let size = 32

    var patch: UInt8
    /// Grows by one with each probe of the patch.
    var number: UInt32
    /// Microseconds on the sender's clock, from an origin of its own.
    var sentAt: UInt64
    /// DATA datagrams and their bytes that went on the patch before this one.
    var packets: UInt64
    var bytes: UInt64

    init(patch: UInt8, number: UInt32, sentAt: UInt64, packets: UInt64, bytes: UInt64) {
        self.patch = patch
        self.number = number
        self.sentAt = sentAt
        self.packets = packets
        self.bytes = bytes
    }

    init?(_ payload: [UInt8]) {
        guard payload.count == PatchProbe.size, payload[0] == PatchProbe.kind, payload[1] < Limits.patches,
            payload[2] == 0, payload[3] == 0
        else { return nil }
        self.init(
            patch: payload[1], number: payload.u32(at: 4), sentAt: payload.u64(at: 8), packets: payload.u64(at: 16),
            bytes: payload.u64(at: 24))
    }

    var encoded: [UInt8] {
        var bytes = [PatchProbe.kind, patch, 0, 0]
        bytes.append(bigEndian: number)
        bytes.append(bigEndian: sentAt)
        bytes.append(bigEndian: packets)
        bytes.append(bigEndian: self.bytes)
        return bytes
    }
}

/// `kind 1 │ patch 1 │ reserved 2 │ number 4 │ sent at 8 │ received at 8 │ packets 8 │ bytes 8`: 40 bytes.
struct PatchReport: Hashable {
    static let size = 40

    var patch: UInt8
    /// Of the probe that it answers, and that probe's time.
    var number: UInt32
    var sentAt: UInt64
    /// Microseconds on the reporter's clock.
    var receivedAt: UInt64
    /// DATA datagrams and their bytes that have come on the patch.
    var packets: UInt64
    var bytes: UInt64

    init(answering probe: PatchProbe, receivedAt: UInt64, packets: UInt64, bytes: UInt64) {
        patch = probe.patch
        number = probe.number
        sentAt = probe.sentAt
        self.receivedAt = receivedAt
        self.packets = packets
        self.bytes = bytes
    }

    init?(_ payload: [UInt8]) {
        guard payload.count == PatchReport.size, payload[0] == PatchProbe.kind, payload[1] < Limits.patches,
            payload[2] == 0, payload[3] == 0
        else { return nil }
        patch = payload[1]
        number = payload.u32(at: 4)
        sentAt = payload.u64(at: 8)
        receivedAt = payload.u64(at: 16)
        packets = payload.u64(at: 24)
        bytes = payload.u64(at: 32)
    }

    var encoded: [UInt8] {
        var bytes = [PatchProbe.kind, patch, 0, 0]
        bytes.append(bigEndian: number)
        bytes.append(bigEndian: sentAt)
        bytes.append(bigEndian: receivedAt)
        bytes.append(bigEndian: packets)
        bytes.append(bigEndian: self.bytes)
        return bytes
    }
}
