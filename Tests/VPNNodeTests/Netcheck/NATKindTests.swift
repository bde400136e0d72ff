// SPDX-License-Identifier: Apache-2.0
// What peers' views of one socket come to.
import Testing
import VPNCore

@testable import VPNNode

@Suite struct NATKindTests {
    private func view(_ place: UInt32, seen: (UInt32, UInt16), placePort: UInt16 = 9000) -> NATKind.View {
        NATKind.View(
            place: Endpoint(v4: place, port: placePort), local: Endpoint(v4: 0xC0A8_0102, port: 5000),
            seen: Endpoint(v4: seen.0, port: seen.1))
    }

    @Test func judgements() {
        let own: (UInt32, UInt16) = (0xC0A8_0102, 5000)
        let (one, two): (UInt32, UInt32) = (0xCB00_7101, 0xCB00_7102)
        #expect(NATKind([]) == .unknown)
        #expect(NATKind([view(one, seen: own)]) == .none)
        #expect(NATKind([view(one, seen: own), view(two, seen: own)]) == .none)
        // One place, or two ports of one, have nothing to compare.
        #expect(NATKind([view(one, seen: (9, 5000))]) == .someKind)
        #expect(NATKind([view(one, seen: (9, 77)), view(one, seen: (9, 77), placePort: 9001)]) == .someKind)
        #expect(NATKind([view(one, seen: (9, 77)), view(two, seen: (9, 77))]) == .sameForAll)
        // Another port or another address, and be it for two ports of one place.
        #expect(NATKind([view(one, seen: (9, 77)), view(two, seen: (9, 78))]) == .differs)
        #expect(NATKind([view(one, seen: (9, 77)), view(two, seen: (8, 77))]) == .differs)
        #expect(NATKind([view(one, seen: (9, 77)), view(one, seen: (9, 78), placePort: 9001)]) == .differs)
        // A port alone is a mapping as well.
        #expect(NATKind([view(one, seen: (own.0, 5001))]) == .someKind)
        // A peer in the LAN sees no NAT, and takes nothing from what others see.
        #expect(NATKind([view(0xC0A8_0103, seen: own), view(one, seen: (9, 77))]) == .someKind)
        #expect(
            NATKind([view(0xC0A8_0103, seen: own), view(one, seen: (9, 77)), view(two, seen: (9, 77))]) == .sameForAll)
    }
}
