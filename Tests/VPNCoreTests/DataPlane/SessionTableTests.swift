// SPDX-License-Identifier: Apache-2.0
// The table of receiver indices beside dictionaries that know the same: sessions and patches that come and go at random.
import Testing
import VPNCrypto

@testable import VPNCore

@Suite struct SessionTableTests {
    /// Indices share their low bits, at both ends of the table, so that chains are long and go round its end.
    @Test(arguments: 1...8 as ClosedRange<UInt64>) func itKeepsWhatADictionaryKeeps(seed: UInt64) {
        var random = SeededGenerator(seed)
        var table = SessionTable()
        var sessions: [UInt32: Session] = [:]
        var patches: [UInt32: (session: UInt32, patch: UInt8)] = [:]
        var quilted: Set<UInt32> = []
        let lows: [UInt32] = [0, 1, 2, 0xFFFD, 0xFFFE, 0xFFFF]
        for step in 0..<1500 {
            let index = UInt32.random(in: 1...0x7F, using: &random) << 16 | lows.randomElement(using: &random)!
            let isFree = sessions[index] == nil && patches[index] == nil
            let some = sessions.keys.sorted().randomElement(using: &random)
            switch Int.random(in: 0..<(sessions.count > 60 ? 10 : 7), using: &random) {
            case 0...2 where isFree:
                let slot = Int.random(in: 0..<5, using: &random)
                let (_, session) = Fixture.sessionPair(indexA: 7, indexB: index, slotAtB: slot)
                let isNew = table.insert(session)
                #expect(isNew)
                sessions[index] = session
            case 3, 4:
                guard isFree, let some, let session = sessions[some] else { break }
                let patch = UInt8.random(in: 1..<8, using: &random)
                table.insert(patch: patch, of: session, index: index)
                patches[index] = (some, patch)
                quilted.insert(some)
            case 5:
                guard let gone = patches.keys.sorted().randomElement(using: &random) else { break }
                table.removePatch(gone)
                patches[gone] = nil
            default:
                guard let some else { break }
                let removed = table.remove(some)
                #expect(removed === sessions[some])
                sessions[some] = nil
                quilted.remove(some)
                patches = patches.filter { $0.value.session != some }
            }
            guard step % 10 == 9 else { continue }
            var wrong: [UInt32] = []
            for (index, session) in sessions {
                let entry = table.entry(index)
                let isRight =
                    entry?.session == SessionReference(session) && entry?.patch == 0
                    && entry?.isQuilted == quilted.contains(index)
                if !isRight { wrong.append(index) }
            }
            for (index, patch) in patches {
                let entry = table.entry(index)
                let isRight =
                    entry?.session == sessions[patch.session].map { SessionReference($0) }
                    && entry?.patch == patch.patch
                    && entry?.isQuilted == true
                if !isRight { wrong.append(index) }
            }
            for high in 1...0x7F as ClosedRange<UInt32> {
                for low in lows where sessions[high << 16 | low] == nil && patches[high << 16 | low] == nil {
                    if table.reference(high << 16 | low) != nil { wrong.append(high << 16 | low) }
                }
            }
            #expect(wrong.isEmpty, "step \(step)")
            #expect(table.owners.count == sessions.count && table.entry(0) == nil)
            for slot in 0..<6 {
                let own = sessions.filter { $0.value.peer == slot }.keys.sorted()
                #expect(table.indices(of: slot).sorted() == own)
            }
        }
    }
}
