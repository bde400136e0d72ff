// SPDX-License-Identifier: Apache-2.0
// The relays that paths begin with: the same ones for months, whoever wishes otherwise.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

struct GuardListTests {
    private let unix: UInt64 = 1_800_000_000
    private let day: UInt64 = 86_400

    private func id(_ number: Int) -> PeerID { PeerID(bytes: [UInt8](repeating: UInt8(number), count: 32))! }

    private func filled(_ count: Int, _ random: inout SeededRandom, at unix: UInt64? = nil) -> GuardList {
        var list = GuardList()
        for number in 0..<count { _ = list.add(id(number), usable: ids(40), unix: unix ?? self.unix, using: &random) }
        return list
    }

    private func ids(_ count: Int) -> Set<PeerID> { Set((0..<count).map(id)) }

    @Test func lifetimesAreSixtyToAHundredAndTwentyDays() {
        var random = SeededRandom(seed: 1)
        var lives: Set<UInt64> = []
        for _ in 0..<200 {
            let entry = filled(1, &random).guards[0]
            #expect((60 * day...120 * day).contains(entry.expires - entry.added))
            lives.insert((entry.expires - entry.added) / day)
        }
        #expect(lives.count > 40)
    }

    @Test func threeAreEnough() {
        var random = SeededRandom(seed: 2)
        var list = filled(3, &random)
        #expect(!list.mayAdd(among: ids(40), unix: unix))
        // One that is no relay any more does not count, and is tried again when it is.
        #expect(list.mayAdd(among: ids(40).subtracting([id(1)]), unix: unix))
        #expect(list.preferred(among: ids(40).subtracting([id(1)]), unix: unix) == [id(0), id(2)])
        #expect(!list.add(id(0), usable: ids(40), unix: unix, using: &random))
        #expect(list.guards.count == 3)
    }

    @Test func theUnreachableIsTriedAgainLaterAndStaysFirst() {
        var random = SeededRandom(seed: 3)
        var list = filled(3, &random)
        var pauses: [UInt64] = []
        var now = unix
        for _ in 0..<9 {
            list.failed(id(0), unix: now)
            #expect(list.preferred(among: ids(3), unix: now) == [id(1), id(2)])
            pauses.append(list.guards[0].retry - now)
            now = list.guards[0].retry
            #expect(list.preferred(among: ids(3), unix: now) == [id(0), id(1), id(2)])
        }
        #expect(pauses == [30, 60, 120, 240, 480, 960, 1920, 3600, 3600])
        list.succeeded(id(0))
        list.failed(id(0), unix: now)
        #expect(list.guards[0].retry == now + 30)
    }

    /// Whoever makes every guard unreachable gets three more in a day, and no more.
    @Test func aDayHasSixNewGuards() {
        var random = SeededRandom(seed: 4)
        var list = GuardList()
        var added = 0
        for second in 0..<Int(day) / 10 {
            let now = unix + UInt64(second) * 10
            for entry in list.guards { list.failed(entry.id, unix: now) }
            while list.mayAdd(among: ids(40), unix: now),
                list.add(id(added), usable: ids(40), unix: now, using: &random)
            { added += 1 }
        }
        #expect(added == 6)
        #expect(list.mayAdd(among: ids(40), unix: unix + day + 10))
    }

    @Test func theSampleIsBounded() {
        var random = SeededRandom(seed: 5)
        var list = GuardList()
        for number in 0..<40 {
            let isAdded = list.add(id(number), usable: ids(40), unix: unix + UInt64(number) * day, using: &random)
            #expect(isAdded == (number < 20))
        }
        #expect(list.guards.count == 20)
        // Nobody who may be back soon gives way to a new one, but a relay that is gone does.
        let later = unix + 50 * day
        #expect(list.add(id(39), usable: ids(40).subtracting([id(7)]), unix: later, using: &random))
        #expect(!list.contains(id(7)) && list.guards.count == 20)
    }

    @Test func itOutlivesAProcess() {
        var random = SeededRandom(seed: 6)
        var list = filled(5, &random)
        list.failed(id(2), unix: unix)
        var kept = GuardList(list.guards)
        // Failures are those of a run: the network may be another one now.
        #expect(kept.guards.map(\.id) == list.guards.map(\.id))
        #expect(kept.guards.map(\.expires) == list.guards.map(\.expires))
        #expect(kept.guards[2].failures == 0)
        #expect(!kept.mayAdd(among: ids(5), unix: unix))
        let isEarly = kept.expire(unix: unix + 59 * day)
        let isLate = kept.expire(unix: unix + 121 * day)
        #expect(!isEarly && isLate)
        #expect(kept.guards.isEmpty)
    }

    @Test func whatWasWrittenByOthersIsCut() {
        let endless = GuardList.Guard(id: id(1), added: unix, expires: .max)
        var list = GuardList(
            (0..<60).map { GuardList.Guard(id: id($0 % 50), added: unix, expires: unix + day) } + [endless])
        #expect(list.guards.count == 20)
        list = GuardList([endless, endless])
        #expect(list.guards.map(\.expires) == [unix + 120 * day])
    }

    /// Of a clock that was years ahead, unless it is this one that is years behind.
    @Test func whoWasChosenInTheFutureWaitsForItAndIsInNobodysWay() {
        var random = SeededRandom(seed: 7)
        let later = unix + 1000 * day
        var list = GuardList(
            (0..<20).map { GuardList.Guard(id: id($0), added: later, expires: later + 100 * day) })
        let before = list
        let isGone = list.expire(unix: unix)
        #expect(!isGone && list == before)
        #expect(list.preferred(among: ids(40), unix: unix).isEmpty && list.mayAdd(among: ids(40), unix: unix))
        #expect(list.preferred(among: ids(40), unix: later).count == 20)
        for number in 20..<23 {
            let isAdded = list.add(id(number), usable: ids(40), unix: unix, using: &random)
            #expect(isAdded)
        }
        #expect(list.guards.count == 20 && !list.mayAdd(among: ids(40), unix: unix))
        #expect(list.preferred(among: ids(40), unix: unix) == [id(20), id(21), id(22)])
        // A little ahead: the clock was set back, and whoever did that gets no others.
        list = GuardList(
            (0..<3).map { GuardList.Guard(id: id($0), added: unix + 100 * day, expires: unix + 200 * day) })
        #expect(list.preferred(among: ids(40), unix: unix).count == 3 && !list.mayAdd(among: ids(40), unix: unix))
        for strange in [0, UInt64.max - 1, UInt64.max] {
            list = GuardList([GuardList.Guard(id: id(1), added: strange, expires: .max)])
            #expect(list.hasAdditions(unix: unix))
            _ = list.add(id(2), usable: [], unix: unix, using: &random)
        }
    }
}
