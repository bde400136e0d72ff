// SPDX-License-Identifier: Apache-2.0
// Where secret bytes live: slabs that are locked in memory, left out of core dumps and of forked children, and shared by all secrets, because the
// usual memlock limit is only 8 MiB and one locked page per session would eat it. Not a general allocator.

internal import CLibcrypto
internal import Glibc
internal import VPNLock

/// The process's one pool of secret memory. Blocks are powers of two of at least 32 bytes, or an eighth or a quarter more than one
/// of 256 or more: a packet key's schedule has 576 bytes, and is what most of this memory holds. They never go back to the kernel.
@safe
final class SecretMemory: Sendable {
    static let shared = SecretMemory()

    private static let slabSize = 128 * 1024
    private static let smallestBlock = 32

    private struct State {
        /// Free blocks by their size, as addresses.
        var free: [Int: [UInt]] = [:]
        var used = 0
        var cursor: UInt = 0
        var end: UInt = 0
        var unlockedSlabs = 0
    }

    private let state = Guarded(State())

    private init() {
        // The first slab is made at once, so that `isLocked` means something before the first secret.
        state.withLock { Self.addSlab(of: Self.slabSize, to: &$0) }
    }

    /// Whether every slab so far could be locked. False only if the memlock limit is exhausted: the bytes are still wiped and
    /// kept out of core dumps, but could reach swap.
    var isLocked: Bool { state.withLock { $0.unlockedSlabs == 0 } }

    /// For memory of a library that could not be locked either.
    func noteUnlockedMemory() { state.withLock { $0.unlockedSlabs += 1 } }

    /// Bytes of blocks that are given out.
    var bytesInUse: Int { state.withLock { $0.used } }

    /// The size of the block that holds `count` bytes.
    static func blockSize(for count: Int) -> Int {
        var size = smallestBlock
        while size < count {
            if size >= 256 {
                for more in [size / 8, size / 4] where size + more >= count { return size + more }
            }
            size <<= 1
        }
        return size
    }

    /// A zeroed block, aligned to 32 bytes.
    func allocate(_ count: Int) -> UnsafeMutableRawPointer {
        let size = Self.blockSize(for: count)
        let address = state.withLock { state -> UInt in
            state.used += size
            if let block = state.free[size]?.popLast() { return block }
            if UInt(size) > state.end - state.cursor {
                Self.shelve(&state)
                Self.addSlab(of: max(size, Self.slabSize), to: &state)
            }
            defer { state.cursor += UInt(size) }
            return state.cursor
        }
        // SAFETY: the address is that of a block inside a mapping of ours that is never unmapped.
        return unsafe UnsafeMutableRawPointer(bitPattern: address)!
    }

    /// Wipes the block and takes it back.
    func release(_ pointer: UnsafeMutableRawPointer, count: Int) {
        let size = Self.blockSize(for: count)
        // SAFETY: the block is `size` bytes long, whatever of it was used.
        unsafe explicit_bzero(pointer, size)
        let address = UInt(bitPattern: pointer)
        state.withLock {
            $0.free[size, default: []].append(address)
            $0.used -= size
        }
    }

    /// Cuts what is left of the current slab into blocks, so that a large request does not lose it.
    private static func shelve(_ state: inout State) {
        while state.end - state.cursor >= UInt(smallestBlock) {
            let left = state.end - state.cursor
            let size = UInt(1) << (UInt.bitWidth - 1 - left.leadingZeroBitCount)
            state.free[Int(size), default: []].append(state.cursor)
            state.cursor += size
        }
    }

    private static func addSlab(of size: Int, to state: inout State) {
        // SAFETY: an anonymous private mapping; its address is checked before use.
        let slab = unsafe mmap(nil, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        guard let slab = unsafe slab, unsafe slab != MAP_FAILED else {
            fatalError("no memory for secrets: mmap of \(size) bytes failed with errno \(errno)")
        }
        // SAFETY: all three calls name exactly the mapping made above.
        if unsafe mlock(slab, size) != 0 { state.unlockedSlabs += 1 }
        // A kernel that cannot leave pages out of core dumps is not known; the result is of no use to anybody.
        _ = unsafe madvise(slab, size, Int32(MADV_DONTDUMP))
        // A child that is forked finds zeros. Not in the kernel before 4.14, where it finds what it would have found anyway.
        _ = unsafe madvise(slab, size, Int32(MADV_WIPEONFORK))
        state.cursor = UInt(bitPattern: slab)
        state.end = state.cursor + UInt(size)
    }
}
