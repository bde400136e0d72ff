// SPDX-License-Identifier: Apache-2.0
// The way of packets into the TUN interface: consecutive packets of one flow go in one call where the interface takes
// that, straight from the buffers that they were opened in. Nothing waits here longer than its batch.

import CLinux
import Glibc
import VPNCore

/// The packets of the next write.
@safe
struct TunnelWriter: ~Copyable {
    /// The header's piece, and one for each packet.
    private let pieces: UnsafeMutablePointer<clinux_piece>
    private let header: UnsafeMutablePointer<UInt8>
    private var coalescer: PacketCoalescer
    private let hasHeaders: Bool
    /// Packets that are held, and their bytes.
    private var count = 0
    private var bytes = 0

    enum Outcome {
        /// Nothing was held.
        case nothing
        case written(packets: Int, bytes: Int)
        /// With an errno; so many packets are lost.
        case failed(Int32, packets: Int)
    }

    private static var capacity: Int { PacketCoalescer.capacity + 1 }

    init(_ offloads: Offloads, hasHeaders: Bool) {
        self.hasHeaders = hasHeaders
        coalescer = PacketCoalescer(
            joinsTCP: offloads.contains(.tunnelTCP), joinsUDP: offloads.contains(.tunnelUDP))
        // SAFETY: owned by this value alone and freed in deinit; the first piece is the header for ever.
        unsafe header = .allocate(capacity: OffloadHeader.size)
        unsafe header.initialize(repeating: 0, count: OffloadHeader.size)
        unsafe pieces = .allocate(capacity: TunnelWriter.capacity)
        unsafe pieces.initialize(
            repeating: clinux_piece(base: header, length: UInt(OffloadHeader.size)), count: TunnelWriter.capacity)
    }

    deinit {
        unsafe header.deallocate()
        unsafe pieces.deallocate()
    }

    /// Joins the packet to those that are held; false if they must be written and `hold` be called for it.
    ///
    /// - Parameter memory: of `buffer`, which holds all that is held and must not change before the write.
    @inline(__always)
    mutating func join(
        _ buffer: borrowing MutableSpan<UInt8>, _ packet: Range<Int>, _ memory: UnsafeMutablePointer<UInt8>
    ) -> Bool {
        guard let payload = coalescer.append(buffer, packet) else { return false }
        unsafe add(memory, payload)
        return true
    }

    /// Holds the packet that `join` just refused, alone.
    @inline(__always)
    mutating func hold(
        _ buffer: borrowing MutableSpan<UInt8>, _ packet: Range<Int>, _ memory: UnsafeMutablePointer<UInt8>
    ) {
        precondition(count == 0)
        coalescer.begin(buffer)
        unsafe add(memory, packet)
    }

    /// Writes what is held.
    @inline(__always)
    mutating func write(_ buffer: inout MutableSpan<UInt8>, to tunnel: borrowing TunDevice) -> Outcome {
        guard count > 0 else { return .nothing }
        let (packets, length) = (count, bytes)
        (count, bytes) = (0, 0)
        let offload = coalescer.close(&buffer)
        let result: Int
        if hasHeaders {
            // SAFETY: the memory is as long as the header and lives as long as this value.
            var span = unsafe MutableSpan(_unsafeStart: header, count: OffloadHeader.size)
            offload.encode(into: &span, at: 0)
            result = unsafe tunnel.write(pieces, packets + 1)
        } else {
            result = unsafe tunnel.write(pieces + 1, packets)
        }
        if result < 0 { return .failed(Int32(-result), packets: packets) }
        let expected = length + (hasHeaders ? OffloadHeader.size : 0)
        return result == expected ? .written(packets: packets, bytes: length) : .failed(0, packets: packets)
    }

    /// Joins no more: what is held now has been written.
    mutating func stopJoining() { coalescer = PacketCoalescer(joinsTCP: false, joinsUDP: false) }

    @inline(__always)
    private mutating func add(_ memory: UnsafeMutablePointer<UInt8>, _ range: Range<Int>) {
        count += 1
        precondition(count < TunnelWriter.capacity)
        bytes += range.count
        // SAFETY: `count` was just checked; the range is of a packet that lies in the buffer of `memory`.
        unsafe pieces[count] = clinux_piece(base: memory + range.lowerBound, length: UInt(range.count))
    }
}
