// SPDX-License-Identifier: Apache-2.0
// The payload of PROBE and of PROBE_REPORT (§7): a question whether a datagram of some size arrives, and its answer, which is the
// same 12 bytes. The size itself is made by the frame's padding.

/// `kind 1 │ reserved 1 │ size 2 │ nonce 8`.
struct ProbeMessage: Hashable {
    /// The only kind so far: of what size packets may be.
    static var pathMTU: UInt8 { 0 }
    static var size: Int { 12 }

    /// Bytes of the inner packet that the probe stands for.
    var packet: UInt16
    /// Random, so that only whoever got the probe can answer it.
    var nonce: UInt64

    init(packet: Int, nonce: UInt64) {
        self.packet = UInt16(packet)
        self.nonce = nonce
    }

    /// Nil for any other length, kind or reserved byte.
    init?(_ payload: [UInt8]) {
        guard payload.count == ProbeMessage.size, payload[0] == ProbeMessage.pathMTU, payload[1] == 0 else {
            return nil
        }
        packet = payload.u16(at: 2)
        nonce = payload.u64(at: 4)
    }

    var encoded: [UInt8] {
        var bytes = [ProbeMessage.pathMTU, 0]
        bytes.append(bigEndian: packet)
        bytes.append(bigEndian: nonce)
        return bytes
    }
}
