// SPDX-License-Identifier: Apache-2.0
// Bytes that many have room for together: whoever wants more gets half of what nobody has, so that the last of many finds room, too,
// and all of them never have more than there is. Threads share it.

internal import Synchronization

final class SharedBytes: Sendable {
    private let limit: Int
    private let used = Atomic<Int>(0)

    init(limit: Int) { self.limit = limit }

    /// What all have.
    var total: Int { used.load(ordering: .relaxed) }

    /// What one of them may have now, with what it has.
    var share: Int { max(0, limit - total) / 2 }

    func take(_ bytes: Int) { used.wrappingAdd(bytes, ordering: .relaxed) }
    func giveBack(_ bytes: Int) { used.wrappingSubtract(bytes, ordering: .relaxed) }
}
