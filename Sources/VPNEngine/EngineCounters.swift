// SPDX-License-Identifier: Apache-2.0
// What workers count. Each thread has its own and adds to it once a batch; a scrape sums them up.

import Synchronization
public import VPNCore

/// Sums over all workers since the start.
public struct EngineCounters: Sendable {
    /// Inner packets and their bytes read from the TUN and written to it.
    public var packetsFromTunnel: UInt64 = 0
    public var bytesFromTunnel: UInt64 = 0
    public var packetsToTunnel: UInt64 = 0
    public var bytesToTunnel: UInt64 = 0
    /// Datagrams and their UDP payload bytes received and sent.
    public var datagramsReceived: UInt64 = 0
    public var bytesReceived: UInt64 = 0
    public var datagramsSent: UInt64 = 0
    public var bytesSent: UInt64 = 0
    /// How often a worker was woken.
    public var wakeUps: UInt64 = 0
    /// The reasons for which anything was dropped, with their counts.
    public var drops: [(reason: DropReason, count: UInt64)] = []
}

/// One thread's counters.
final class WorkerCounters: Sendable {
    let drops = DropCounters()
    let packetsFromTunnel = Atomic<UInt64>(0)
    let bytesFromTunnel = Atomic<UInt64>(0)
    let packetsToTunnel = Atomic<UInt64>(0)
    let bytesToTunnel = Atomic<UInt64>(0)
    let datagramsReceived = Atomic<UInt64>(0)
    let bytesReceived = Atomic<UInt64>(0)
    let datagramsSent = Atomic<UInt64>(0)
    let bytesSent = Atomic<UInt64>(0)
    let wakeUps = Atomic<UInt64>(0)
    /// Signs of life that were given; see `Engine.areWorkersAlive`.
    let beats = Atomic<UInt64>(0)

    /// Adds these counts to a sum.
    func add(to sum: inout EngineCounters) {
        sum.packetsFromTunnel &+= packetsFromTunnel.load(ordering: .relaxed)
        sum.bytesFromTunnel &+= bytesFromTunnel.load(ordering: .relaxed)
        sum.packetsToTunnel &+= packetsToTunnel.load(ordering: .relaxed)
        sum.bytesToTunnel &+= bytesToTunnel.load(ordering: .relaxed)
        sum.datagramsReceived &+= datagramsReceived.load(ordering: .relaxed)
        sum.bytesReceived &+= bytesReceived.load(ordering: .relaxed)
        sum.datagramsSent &+= datagramsSent.load(ordering: .relaxed)
        sum.bytesSent &+= bytesSent.load(ordering: .relaxed)
        sum.wakeUps &+= wakeUps.load(ordering: .relaxed)
    }
}
