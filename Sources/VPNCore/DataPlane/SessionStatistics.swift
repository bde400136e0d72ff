// SPDX-License-Identifier: Apache-2.0
// What is counted of a session: while it moves packets, and for those who ask.

/// What a session counted: datagrams and bytes on the wire without UDP and IP headers.
public struct SessionStatistics: Hashable, Sendable {
    public var packetsIn: UInt64
    public var bytesIn: UInt64
    public var packetsOut: UInt64
    public var bytesOut: UInt64
    public var failedOpens: UInt64
    /// Frames that the sending key may still seal.
    public var framesLeft: UInt64
}

/// What a batch adds to a session's counts.
struct SessionTally {
    var packets: UInt64 = 0
    /// Of whole datagrams, without UDP and IP headers.
    var bytes: UInt64 = 0
    /// Inner packets are among them.
    var hasPayload = false
    /// They are questions about the path or their answers, which keep no peer from saying that it is there.
    var isProbe = false
}
