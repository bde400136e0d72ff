// SPDX-License-Identifier: Apache-2.0
// Big-endian integers in a packet buffer: one bounds check and one load each. The only place of the core where a packet
// is read as anything but single bytes.

extension MutableSpan where Element == UInt8 {
    /// The big-endian integer at `offset`; traps outside the buffer.
    @inline(__always)
    func load<Integer: FixedWidthInteger & BitwiseCopyable>(_ type: Integer.Type, at offset: Int) -> Integer {
        // SAFETY: integers have no invalid bit patterns, and the access itself is bounds-checked.
        Integer(bigEndian: unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: type))
    }

    /// Stores an integer at `offset` in big-endian order; traps outside the buffer.
    @inline(__always)
    mutating func store<Integer: FixedWidthInteger & BitwiseCopyable>(_ value: Integer, at offset: Int) {
        // SAFETY: every bit pattern is a valid UInt8, and the access itself is bounds-checked.
        var raw = unsafe mutableBytes
        raw.storeBytes(of: value.bigEndian, toByteOffset: offset, as: Integer.self)
    }

    /// Copies a range of bytes to `offset`; traps outside either.
    mutating func copy(_ source: Span<UInt8>, _ range: Range<Int>, to offset: Int) {
        precondition(range.lowerBound >= 0 && range.upperBound <= source.count)
        precondition(offset >= 0 && range.count <= count - offset)
        if range.isEmpty { return }
        // SAFETY: both ranges were just checked, and two spans that can be used at once do not overlap.
        unsafe withUnsafeMutableBufferPointer { target in
            unsafe source.withUnsafeBufferPointer { source in
                unsafe (target.baseAddress! + offset).update(
                    from: source.baseAddress! + range.lowerBound, count: range.count)
            }
        }
    }

    /// Copies a range of another buffer to `offset`; traps outside either.
    @inline(__always)
    mutating func copy(_ source: borrowing MutableSpan<UInt8>, _ range: Range<Int>, to offset: Int) {
        precondition(range.lowerBound >= 0 && range.upperBound <= source.count)
        precondition(offset >= 0 && range.count <= count - offset)
        if range.isEmpty { return }
        // SAFETY: both ranges were just checked, and two spans that can be used at once do not overlap.
        unsafe withUnsafeMutableBufferPointer { target in
            unsafe source.withUnsafeBufferPointer { source in
                unsafe (target.baseAddress! + offset).update(
                    from: source.baseAddress! + range.lowerBound, count: range.count)
            }
        }
    }
}

extension Span where Element == UInt8 {
    /// The big-endian integer at `offset`; traps outside the buffer.
    @inline(__always)
    func load<Integer: FixedWidthInteger & BitwiseCopyable>(_ type: Integer.Type, at offset: Int) -> Integer {
        // SAFETY: integers have no invalid bit patterns, and the access itself is bounds-checked.
        Integer(bigEndian: unsafe bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: type))
    }
}
