// SPDX-License-Identifier: Apache-2.0
// A packet of a quilt that is refused (§9) came all the same: no other one waits for it.
import Testing
import VPNCrypto

@testable import VPNCore

@Suite struct RefusedPacketTests {
    /// Its source is not the peer's. What waited for its counter goes on at once, as after anything else that came.
    @Test func aPacketThatIsRefusedHoldsUpNoOther() throws {
        var end = try WeaveScenario()
        end.bringBoth()
        let foreign = end.seal(.ip, Fixture.packet(from: "10.99.0.1", to: "10.77.255.255"))
        let packet = end.packet(1)
        let early = end.take(packet, on: 1)
        let late = end.take(foreign, on: 0)
        #expect(early.isEmpty && end.drops == [.innerSource])
        #expect(late == [1])
    }
}
