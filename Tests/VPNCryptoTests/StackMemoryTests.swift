// SPDX-License-Identifier: Apache-2.0
// What a derivation leaves on its thread's stack, seen from the same thread: there before the wipe, gone after it.

import Foundation
import Glibc
import Testing

@testable import VPNCrypto

@Suite struct StackMemoryTests {
    private final class Box: @unchecked Sendable {
        var seen: [Bool] = []
    }

    /// Whether the bytes are in the 60 KiB below an address of this thread's stack.
    @inline(never)
    private static func isOnStack(_ secret: borrowing Secret, below top: UInt) -> Bool {
        // SAFETY: a wipe has used the stack that far down, so that it is mapped; what is there is bytes to us.
        secret.withBytes { needle in
            let count = 60 * 1024
            let stack = unsafe UnsafeRawBufferPointer(
                start: UnsafeRawPointer(bitPattern: top - UInt(count))!, count: count)
            for place in 0..<count - needle.count
            where unsafe memcmp(stack.baseAddress! + place, needle.baseAddress!, needle.count) == 0 {
                return true
            }
            return false
        }
    }

    @Test func whatADerivationLeavesIsGone() {
        let box = Box()
        let end = DispatchSemaphore(value: 0)
        let thread = Thread {
            var marker = 0
            let top = unsafe withUnsafeMutablePointer(to: &marker) { UInt(bitPattern: $0) }
            StackMemory.wipe()
            let derived = HKDF512.expand(Secret(random: 64), info: [1], count: 64)
            box.seen.append(Self.isOnStack(derived, below: top))
            StackMemory.wipe()
            box.seen.append(Self.isOnStack(derived, below: top))
            end.signal()
        }
        thread.stackSize = 1 << 20
        thread.start()
        end.wait()
        #expect(box.seen == [true, false])
    }
}
