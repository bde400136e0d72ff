// SPDX-License-Identifier: Apache-2.0
// Parts of what a relay may carry (§8), and how they change with the circuits that there are: what one that was
// silent may have at once tells them.
import Testing

@testable import VPNCore

@Suite struct RelayAllowanceTests {
    private static let start = Instant.origin + .seconds(100)

    /// 1 MB/s: a datagram of 1400 bytes takes 1.4 ms.
    private let allowance = RelayAllowance(bytesPerSecond: 1_000_000)

    private func newCircuit() -> RelayedTraffic { RelayedTraffic([RelayShare(of: allowance)], now: Self.start) }

    /// Fifty circuits ask for seventy times what there is, for 300 ms; when that is over.
    private func crowd() -> Instant {
        let circuits = (0..<50).map { _ in newCircuit() }
        for tick in 0..<300 {
            for circuit in circuits { _ = circuit.admit(1364, now: Self.start + .milliseconds(tick)) }
        }
        return Self.start + .milliseconds(300)
    }

    /// Of twenty datagrams that a new circuit sends at once, those that go on: all of them where it has the whole.
    private func burst(at now: Instant) -> Int {
        let circuit = newCircuit()
        return (0..<20).count { _ in circuit.admit(1364, now: now) }
    }

    @Test func whoeverIsAloneAfterAPauseHasTheWhole() {
        let end = crowd()
        let (among, alone) = (burst(at: end), burst(at: end + .seconds(10)))
        #expect(among < 15 && alone == 20, "\(among) among many, \(alone) alone")
    }

    /// Parts grow by an eighth at a time, while something small goes on all the while: a crowd that comes in waves
    /// would find that somebody has the whole, each time.
    @Test func aCrowdIsForgottenByAndBy() {
        let end = crowd()
        let small = newCircuit()
        func trickle(_ ticks: ClosedRange<Int>) -> Int {
            ticks.count { small.admit(264, now: end + .milliseconds(10 * $0)) }
        }
        let before = trickle(1...30)
        let soon = burst(at: end + .milliseconds(301))
        let between = trickle(31...150)
        let late = burst(at: end + .milliseconds(1501))
        #expect(soon < 15 && late == 20, "\(soon) after 0.3 s, \(late) after 1.5 s")
        #expect(before == 30 && between == 120)
    }
}
