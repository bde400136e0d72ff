// SPDX-License-Identifier: Apache-2.0
// What people are told where there is no path (§8): of the search that came farthest.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct SelectionFailureTests {
    private func relay(_ number: Int, isExit: Bool, network: UInt32) -> RelayCandidate {
        RelayCandidate(
            id: DirectoryScene.id(number), isExit: isExit, operatorName: "", family: "",
            neighbourhoods: [IPPrefix(containing: IPAddress(v4: network << 16), length: 16)], capacity: 80)
    }

    private func failure(_ relays: [RelayCandidate], seed: UInt64) -> SelectionFailure? {
        var random = SeededRandom(seed: seed)
        do throws(SelectionFailure) {
            _ = try RelaySelection(relays).path(PathWish(hops: 3), guards: [DirectoryScene.id(1)], using: &random)
            return nil
        } catch { return error }
    }

    /// One exit leads to a guard and lacks a middle, the other one lacks a guard: whichever is tried last, it is the
    /// middle that people are told of.
    @Test func theLongestPathSaysWhatIsMissing() {
        let relays = [
            relay(1, isExit: false, network: 1), relay(2, isExit: true, network: 2), relay(3, isExit: true, network: 1),
        ]
        for seed in UInt64(1)...40 {
            let found = failure(relays, seed: seed)
            #expect(found == SelectionFailure(position: .middle, rule: .network, relays: 3), "seed \(seed)")
        }
        // Where the second exit is the only one, it is the guard.
        let found = failure([relays[0], relays[2]], seed: 1)
        #expect(found == SelectionFailure(position: .entry, rule: .network, relays: 2))
    }
}
