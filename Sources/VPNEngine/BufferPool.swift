// SPDX-License-Identifier: Apache-2.0
// A batch of packet buffers in one slab, with the datagram descriptors that the system calls take. All memory is taken
// once; nothing is allocated while packets move.

import CLinux
import Glibc
import VPNCore

/// `capacity` buffers of equal size and their descriptors.
@safe
struct BufferPool: ~Copyable {
    /// What one system call takes at most.
    static var largestCapacity: Int { Int(CLINUX_BATCH) }

    let capacity: Int
    /// Bytes of one buffer.
    let size: Int
    private let allocation: UnsafeMutableRawPointer
    private let slab: UnsafeMutableRawPointer
    private let descriptors: UnsafeMutableBufferPointer<clinux_datagram>

    /// - Parameter packet: the longest packet or datagram; headroom and tailroom come on top.
    init(packet: Int, capacity: Int = largestCapacity) {
        precondition((1...BufferPool.largestCapacity).contains(capacity))
        self.capacity = capacity
        // Whole cache lines, so that no two buffers share one.
        size = (Limits.headroom + packet + Limits.tailroom + 63) / 64 * 64
        // SAFETY: owned by this value alone and freed in deinit. It is all zeros, and takes no memory of the machine
        // before it is used, which most of a buffer for 64 KiB never is.
        guard let memory = unsafe calloc(size * capacity + 64, 1) else { fatalError("no memory for packet buffers") }
        unsafe allocation = memory
        unsafe slab = unsafe memory.alignedUp(toMultipleOf: 64)
        unsafe descriptors = .allocate(capacity: capacity)
        unsafe descriptors.initialize(repeating: clinux_datagram())
    }

    deinit {
        unsafe free(allocation)
        unsafe descriptors.deallocate()
    }

    /// A buffer's memory, valid as long as the pool.
    @unsafe
    @inline(__always)
    func memory(_ place: Int) -> UnsafeMutablePointer<UInt8> {
        precondition(place >= 0 && place < capacity)
        return unsafe (slab + place * size).assumingMemoryBound(to: UInt8.self)
    }

    /// Bytes of all buffers.
    var total: Int { size * capacity }

    /// All buffers as one piece, valid as long as the pool; buffer `n` begins at `n * size`.
    @unsafe
    var all: UnsafeMutablePointer<UInt8> {
        @inline(__always) get { unsafe slab.assumingMemoryBound(to: UInt8.self) }
    }

    /// The datagram descriptors, valid as long as the pool.
    @unsafe
    var datagrams: UnsafeMutableBufferPointer<clinux_datagram> {
        @inline(__always) get { unsafe descriptors }
    }

    /// Points the first descriptors at their buffers' room behind the headroom, for receiving.
    @inline(__always)
    func prepareToReceive(_ count: Int) {
        precondition(count <= capacity)
        for place in 0..<count {
            unsafe descriptors[place].base = unsafe memory(place) + Limits.headroom
            unsafe descriptors[place].length = UInt32(size - Limits.headroom)
        }
    }
}
