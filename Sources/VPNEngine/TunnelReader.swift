// SPDX-License-Identifier: Apache-2.0
// The way of packets out of the TUN interface: one read at a time, divided into packets that the data plane can take one by
// one. It neither seals nor sends.

import CLinux
import Glibc
import VPNCore

/// What was read from the interface and is not given out yet.
@safe
struct TunnelReader: ~Copyable {
    private let memory: UnsafeMutablePointer<UInt8>
    private var splitter: PacketSplitter?
    /// The longest packet that may leave.
    private let limit: Int

    /// Header and packet; the packet lies at a multiple of 16.
    private static var capacity: Int { packetStart + 65_536 }
    private static var packetStart: Int { 16 }

    enum Reading {
        /// A read that gave something: packets may wait (`hasPackets`).
        case some(bytes: Int)
        case nothing
        /// The interface is no more.
        case gone
        case malformed
        case tooLarge
    }

    /// - Parameter limit: bytes of the longest packet that `next` has room for.
    init(limit: Int) {
        self.limit = limit
        // SAFETY: owned by this value alone and freed in deinit; initialised before anybody reads it.
        unsafe memory = .allocate(capacity: TunnelReader.capacity)
        unsafe memory.initialize(repeating: 0, count: TunnelReader.capacity)
    }

    deinit { unsafe memory.deallocate() }

    /// Whether `next` has a packet to give.
    var hasPackets: Bool { splitter.map { !$0.isFinished } ?? false }

    /// Reads once. Only where not `hasPackets`.
    @inline(__always)
    mutating func read(_ tunnel: borrowing TunDevice) -> Reading {
        splitter = nil
        let header = tunnel.hasHeaders ? OffloadHeader.size : 0
        let start = TunnelReader.packetStart - header
        // SAFETY: header and packet end where the memory does.
        let room = unsafe UnsafeMutableBufferPointer(start: memory + start, count: TunnelReader.capacity - start)
        let result = unsafe tunnel.read(room)
        guard result > 0 else { return TunDevice.isGone(result) || result == 0 ? .gone : .nothing }
        guard result > header else { return .malformed }
        // SAFETY: the memory lives as long as this value, and the span no longer than this call.
        let buffer = unsafe MutableSpan(_unsafeStart: memory, count: TunnelReader.capacity)
        let packet = TunnelReader.packetStart..<TunnelReader.packetStart + result - header
        var offload = OffloadHeader()
        if header > 0 {
            guard let read = OffloadHeader(buffer, at: start) else { return .malformed }
            offload = read
        }
        guard let splitter = PacketSplitter(buffer, packet: packet, header: offload) else { return .malformed }
        guard splitter.longest <= limit else { return .tooLarge }
        self.splitter = splitter
        return .some(bytes: packet.count)
    }

    /// Forgets what was not given out; how many packets that were.
    mutating func discard() -> Int {
        let count = splitter?.remaining ?? 0
        splitter = nil
        return count
    }

    /// Puts the next packet into `target` at `start`, where `limit` bytes must be; its length.
    @inline(__always)
    mutating func next(into target: inout MutableSpan<UInt8>, at start: Int) -> Int? {
        // SAFETY: the memory lives as long as this value, and the span no longer than this call.
        let buffer = unsafe MutableSpan(_unsafeStart: memory, count: TunnelReader.capacity)
        return splitter?.next(buffer, into: &target, at: start)
    }
}
