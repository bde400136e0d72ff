// SPDX-License-Identifier: Apache-2.0
// What a path does to datagrams.
public import VPNCore

public struct LinkConditions: Sendable {
    /// One way.
    public var latency: TimeSpan = .milliseconds(10)
    /// Added, uniform from zero to this.
    public var jitter: TimeSpan = .zero
    /// Probability that a datagram is lost.
    public var loss: Double = 0
    /// Probability that it arrives twice.
    public var duplication: Double = 0
    /// Probability that it is held back by `reorderingDelay`.
    public var reordering: Double = 0
    public var reorderingDelay: TimeSpan = .milliseconds(50)
    /// Largest UDP payload that passes.
    public var largestDatagram = 1472

    /// What goes through in a second; 0 = anything. How long something may wait for its turn: what would wait longer is lost.
    public var bytesPerSecond: UInt64 = 0
    public var queue: TimeSpan = .milliseconds(50)

    public init() {}

    public init(loss: Double, latency: TimeSpan = .milliseconds(10)) {
        self.loss = loss
        self.latency = latency
    }
}
