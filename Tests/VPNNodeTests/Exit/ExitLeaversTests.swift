// SPDX-License-Identifier: Apache-2.0
// When an exit has the kernel forget the connections of guests who have gone: after what was under way, and before others get their
// addresses.
import Testing

@testable import VPNCore
@testable import VPNNode

@Suite struct ExitLeaversTests {
    private let addresses = ["10.66.0.9", "fd66:7071::9", "10.66.0.10"].map { IPAddress($0)! }

    private func after(_ seconds: Int) -> Instant { .origin + .seconds(seconds) }

    @Test func eachIsForgottenOnceInTime() {
        var leavers = ExitLeavers()
        leavers.add(Array(addresses[..<2]), now: after(100))
        leavers.add([addresses[2]], now: after(103))
        var due = leavers.begin(now: after(104))
        #expect(due == nil)
        due = leavers.begin(now: after(105))
        #expect(due == Set(addresses[..<2]))
        // One look at the kernel's table at a time.
        due = leavers.begin(now: after(110))
        #expect(due == nil)
        leavers.finish(Set(addresses[..<2]), isDone: true)
        due = leavers.begin(now: after(110))
        #expect(due == Set(addresses[2...]))
        leavers.finish(Set(addresses[2...]), isDone: true)
        due = leavers.begin(now: after(115))
        #expect(due == nil)
    }

    @Test func whatFailsIsTriedAgainUntilSomebodyElseMayHaveTheAddress() {
        #expect(ExitLeavers.last < Limits.leaseQuarantine)
        var (leavers, tries) = (ExitLeavers(), 0)
        leavers.add([addresses[0]], now: after(100))
        for second in stride(from: 100, to: 200, by: 5) {
            guard let due = leavers.begin(now: after(second)) else { continue }
            leavers.finish(due, isDone: false)
            tries += 1
        }
        #expect(tries == 8)
    }

    @Test func aComplaintIsMadeOnceUntilAllIsWellAgain() {
        var leavers = ExitLeavers()
        var complaints = (0..<3).map { _ in leavers.complain() }
        #expect(complaints == [true, false, false])
        leavers.finish(Set(addresses[..<1]), isDone: true)
        complaints = (0..<2).map { _ in leavers.complain() }
        #expect(complaints == [true, false])
    }
}
