// SPDX-License-Identifier: Apache-2.0
// Paths through random directories: no two hops that belong together, and each relay as often as its capacity says.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

struct RelaySelectionTests {
    private static func id(_ number: Int) -> PeerID {
        PeerID(bytes: [UInt8](repeating: 0, count: 28) + [0, 0, UInt8(number >> 8), UInt8(number & 255)])!
    }

    private static func network(_ number: Int) -> IPPrefix {
        IPPrefix(containing: IPAddress(v4: UInt32(number) << 16), length: 16)
    }

    private static func relay(
        _ number: Int, isExit: Bool = true, operatorName: String = "", family: String = "", network: Int? = nil,
        capacity: UInt64 = 80
    ) -> RelayCandidate {
        RelayCandidate(
            id: id(number), isExit: isExit, operatorName: operatorName, family: family,
            neighbourhoods: [Self.network(network ?? number)], capacity: capacity)
    }

    private static func randomDirectory(_ random: inout SeededRandom) -> [RelayCandidate] {
        let count = Int(random.next() % 24)
        return (0..<count).map { number in
            var relay = relay(
                number, isExit: random.chance(0.4),
                operatorName: random.chance(0.7) ? "operator \(random.next() % 8)" : "",
                family: random.chance(0.3) ? "family \(random.next() % 4)" : "", network: Int(random.next() % 16),
                capacity: random.next() % 5 == 0 ? 0 : random.next() % 100_000)
            if random.chance(0.3) {
                let high = UInt128(0x2000_0000 + random.next() % 8) << 96
                relay.neighbourhoods.append(IPPrefix(containing: IPAddress(v6: high), length: 32))
            }
            return relay
        }
    }

    /// Whether there is any such path at all, by trying them all.
    private static func exists(_ wish: PathWish, _ all: [RelayCandidate], guards: [PeerID]) -> Bool {
        func fits(_ one: RelayCandidate, _ chosen: [RelayCandidate]) -> Bool {
            chosen.allSatisfy { other in
                guard let rule = one.conflict(with: other) else { return true }
                return wish.relaxesDiversity && rule.isRelaxable
            }
        }
        func middles(_ count: Int, _ chosen: [RelayCandidate]) -> Bool {
            count == 0 || all.contains { fits($0, chosen) && middles(count - 1, chosen + [$0]) }
        }
        return all.contains { exit in
            exit.isExit && (wish.exit ?? exit.id) == exit.id
                && (wish.hops == 1
                    || all.contains {
                        guards.contains($0.id) && fits($0, [exit]) && middles(wish.hops - 2, [exit, $0])
                    })
        }
    }

    /// Ten thousand directories: every path keeps the rules, and none is missed where there is one.
    @Test func pathsAreDiverse() throws {
        var random = SeededRandom(seed: 53)
        var (found, failed) = (0, 0)
        for round in 0..<10_000 {
            let all = Self.randomDirectory(&random)
            let hops = 1 + Int(random.next() % 4)
            let exit = random.chance(0.3) ? all.randomElement(using: &random)?.id : nil
            let wish = PathWish(hops: hops, exit: exit, relaxesDiversity: random.chance(0.2))
            let guards = Array(all.shuffled(using: &random).prefix(3).map(\.id))
            let byID = Dictionary(uniqueKeysWithValues: all.map { ($0.id, $0) })
            do throws(SelectionFailure) {
                let path = try RelaySelection(all).path(wish, guards: guards, using: &random)
                found += 1
                let relays = path.compactMap { byID[$0] }
                guard path.count == hops, relays.count == hops, Set(path).count == hops, relays.last?.isExit == true,
                    hops == 1 || guards.contains(path[0]), exit == nil || path.last == exit
                else {
                    Issue.record("round \(round): \(path)")
                    return
                }
                for (place, one) in relays.enumerated() where !wish.relaxesDiversity {
                    for other in relays[..<place] {
                        guard one.operatorName.isEmpty || one.operatorName != other.operatorName,
                            one.family.isEmpty || one.family != other.family,
                            Set(one.neighbourhoods).isDisjoint(with: other.neighbourhoods)
                        else {
                            Issue.record("round \(round): \(one) beside \(other)")
                            return
                        }
                    }
                }
            } catch {
                failed += 1
                guard !Self.exists(wish, all, guards: guards) else {
                    Issue.record("round \(round): \(error), but there is a path of \(hops) in \(all)")
                    return
                }
            }
        }
        #expect(found > 3000 && failed > 1000, "\(found) found, \(failed) failed")
    }

    /// χ² of 20,000 exits over eight capacities, seven degrees of freedom: 24.3 is passed by chance once in a thousand.
    @Test(arguments: [1, 2, 3] as [UInt64]) func exitsAreDrawnByWeight(_ seed: UInt64) throws {
        let capacities: [UInt64] = [8, 16, 40, 80, 80, 160, 400, 100_000]
        // The last is cut to ten times the median, 80.
        let weights: [UInt64] = [8, 16, 40, 80, 80, 160, 400, 800]
        #expect(RelaySelection.weights(capacities) == weights)
        let all = capacities.enumerated().map { Self.relay($0.offset, capacity: $0.element) }
        var random = SeededRandom(seed: seed)
        var counts = [Int](repeating: 0, count: 8)
        let selection = RelaySelection(all)
        for _ in 0..<20_000 {
            let path = try selection.path(PathWish(hops: 1), guards: [], using: &random)
            counts[all.firstIndex { $0.id == path[0] }!] += 1
        }
        #expect(chiSquare(counts, weights) < 24.3, "\(counts)")
    }

    /// The same of middles, between a guard and an exit that stay.
    @Test(arguments: [4, 5, 6] as [UInt64]) func middlesAreDrawnByWeight(_ seed: UInt64) throws {
        let weights: [UInt64] = [10, 20, 30, 40, 50, 60, 70, 80]
        let middles = weights.enumerated().map { Self.relay($0.offset, isExit: false, capacity: $0.element) }
        let all = middles + [Self.relay(100, isExit: false), Self.relay(101)]
        var random = SeededRandom(seed: seed)
        var counts = [Int](repeating: 0, count: 8)
        for _ in 0..<20_000 {
            let path = try RelaySelection(all, avoiding: []).path(
                PathWish(hops: 3, exit: Self.id(101)), guards: [Self.id(100)], using: &random)
            counts[middles.firstIndex { $0.id == path[1] }!] += 1
        }
        #expect(chiSquare(counts, weights) < 24.3, "\(counts)")
    }

    private func chiSquare(_ counts: [Int], _ weights: [UInt64]) -> Double {
        let (total, sum) = (Double(counts.reduce(0, +)), Double(weights.reduce(0, +)))
        return zip(counts, weights).reduce(0) { result, pair in
            let expected = total * Double(pair.1) / sum
            return result + (Double(pair.0) - expected) * (Double(pair.0) - expected) / expected
        }
    }

    @Test func whatSaysNothingCountsAsTheLeast() {
        #expect(RelaySelection.weights([0, 0, 0]) == [8, 8, 8])
        #expect(RelaySelection.weights([]) == [])
        #expect(RelaySelection.weights([0, 8, 1000]) == [8, 8, 80])
    }

    private func failure(
        _ all: [RelayCandidate], _ wish: PathWish, guards: [PeerID], avoiding: Set<PeerID> = []
    ) -> SelectionFailure? {
        var random = SeededRandom(seed: 1)
        do throws(SelectionFailure) {
            _ = try RelaySelection(all, avoiding: avoiding).path(wish, guards: guards, using: &random)
            return nil
        } catch { return error }
    }

    @Test func theErrorSaysWhichRuleLeftNone() {
        let three = PathWish(hops: 3)
        func expect(
            _ all: [RelayCandidate], _ position: SelectionPosition, _ rule: SelectionRule, avoiding: Set<PeerID> = []
        ) {
            let guards = [Self.id(0)]
            let failure = failure(all, three, guards: guards, avoiding: avoiding)
            #expect(failure == SelectionFailure(position: position, rule: rule, relays: all.count))
            #expect(failure?.description.contains("relax_diversity") == rule.isRelaxable)
            let relaxed = self.failure(
                all, PathWish(hops: 3, relaxesDiversity: true), guards: guards, avoiding: avoiding)
            #expect((relaxed == nil) == rule.isRelaxable)
        }
        let (a, b) = (Self.relay(0, isExit: false), Self.relay(1))
        expect([], .exit, .none)
        expect([a], .exit, .none)
        expect([b], .entry, .none)
        expect([a, b], .middle, .identity)
        expect([a, b, Self.relay(2)], .exit, .available, avoiding: [Self.id(2), Self.id(0), Self.id(1)])
        expect([a, b, Self.relay(2, isExit: false, network: 1)], .middle, .network)
        expect(
            [a, Self.relay(1, operatorName: "X"), Self.relay(2, isExit: false, operatorName: "x")], .middle,
            .operatorName)
        expect(
            [a, Self.relay(1, family: "f"), Self.relay(2, isExit: false, family: "f")], .middle, .family)
        expect([a, Self.relay(1, network: 0), Self.relay(2, network: 0)], .entry, .network)
    }

    @Test func guardsAreTriedInTheirOrder() throws {
        var random = SeededRandom(seed: 2)
        let all = (0..<10).map { Self.relay($0) }
        let selection = RelaySelection(all, avoiding: [Self.id(3)])
        for _ in 0..<100 {
            let path = try selection.path(
                PathWish(hops: 3, exit: Self.id(5)), guards: [Self.id(5), Self.id(3), Self.id(7), Self.id(8)],
                using: &random)
            #expect(path[0] == Self.id(7) && path[2] == Self.id(5))
        }
        let middles = try #require(
            selection.middles(PathWish(hops: 4), entry: Self.id(7), exit: Self.id(5), using: &random))
        #expect(Set(middles).count == 2 && Set(middles).isDisjoint(with: [Self.id(3), Self.id(5), Self.id(7)]))
    }
}
