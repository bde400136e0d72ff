// SPDX-License-Identifier: Apache-2.0
// A property that is nil most of the time is a value like any other: whoever copies it shares nothing that changes.
import Testing

@testable import VPNCore

@Suite struct RareTests {
    private struct Holder {
        @Rare var numbers: [Int]? = nil
    }

    @Test func copiesShareNothingThatChanges() {
        var one = Holder()
        one.numbers = [1]
        var other = one
        other.numbers?.append(2)
        #expect(one.numbers == [1] && other.numbers == [1, 2])
        one.numbers = nil
        #expect(one.numbers == nil && other.numbers == [1, 2])
        let third = other
        other.numbers = nil
        #expect(third.numbers == [1, 2] && other.numbers == nil)
    }

    @Test func whatIsNotThereStaysSo() {
        var holder = Holder()
        holder.numbers?.append(1)
        #expect(holder.numbers == nil)
        holder.numbers = []
        holder.numbers?.append(1)
        #expect(holder.numbers == [1])
    }
}
