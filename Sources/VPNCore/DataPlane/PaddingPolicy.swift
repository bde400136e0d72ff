// SPDX-License-Identifier: Apache-2.0
// How long a frame's plaintext is made (§7). It answers with a length; the frame writes the zeros.

/// How frames are padded before they are sealed.
public enum PaddingPolicy: Hashable, Sendable {
    /// Not at all.
    case none
    /// Up to a multiple of so many bytes (≥ 1).
    case multiple(Int)
    /// Up to the first of these ascending sizes that fits; a larger frame goes up to the ceiling.
    case buckets([Int])

    /// Buckets that are sizes of whole DATA datagrams, in bytes of UDP payload. Sizes below `Limits.smallestData` are left out:
    /// no frame is so short.
    public static func datagrams(_ sizes: [Int]) -> PaddingPolicy {
        let around = Limits.outerHeader + Limits.tag
        return .buckets(Set(sizes.filter { $0 >= Limits.smallestData }).map { $0 - around }.sorted())
    }

    /// Whether few sizes are meant to be seen.
    var hidesSizes: Bool { if case .buckets = self { true } else { false } }

    /// All lengths that a plaintext can have on a path that carries so many bytes; never empty, and `ceiling` alone where the
    /// policy has no sizes of its own.
    func sizes(ceiling: Int) -> [Int] {
        guard case .buckets(let sizes) = self else { return [ceiling] }
        return sizes.filter { $0 < ceiling } + [ceiling]
    }

    /// The length to which `unpadded` bytes of plaintext are padded.
    ///
    /// - Parameter ceiling: the longest plaintext that the path carries. Padding never exceeds it, and a plaintext that
    ///   is longer already stays as it is: padding is no reason to drop.
    @inline(__always)
    public func paddedLength(_ unpadded: Int, ceiling: Int) -> Int {
        switch self {
        case .none: return unpadded
        case .multiple(let step):
            let padded = (unpadded + step - 1) / step * step
            return max(unpadded, min(padded, ceiling))
        case .buckets(let sizes):
            for size in sizes where size >= unpadded && size <= ceiling { return size }
            return max(unpadded, ceiling)
        }
    }
}
