// SPDX-License-Identifier: Apache-2.0
// A machine that learns the time while it runs: from a clock that only goes on, from one that somebody sets, and from one that an
// attacker sets.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct WallClockTests {
    private static let unix = DirectoryScene.unix
    private static let day: UInt64 = 86_400

    private static func host(unix: UInt64, _ network: VirtualNetwork) -> VirtualHost {
        let parameters = NodeParameters(
            offers: Offers(hasAESHardware: true), mtu: 1436,
            trust: TrustPolicy(trustsOnFirstUse: false, isStrict: false), descriptor: [], handshakesPerMinute: 0,
            maximumJobs: 200, rekeyThreshold: .seconds(1800), rekeyInterval: .seconds(3600), unixSeconds: unix)
        let host = VirtualHost(
            name: "client", endpoint: Endpoint(v4: 0x0A00_0001, port: 9000), identity: DirectoryScene.identity(100),
            cryptography: RehearsalCryptography(seed: 12), parameters: parameters, now: network.now)
        network.attach(host)
        return host
    }

    private static func after(_ seconds: Int) -> Instant { .origin + .seconds(seconds) }

    @Test func itCountsOnBetweenTwoWordsAndRoundingIsNoStep() {
        var clock = WallClock(unix: 1000, at: .origin)
        #expect(clock.unix(Self.after(59)) == 1059)
        // Read in whole seconds by two clocks that do not begin them together.
        for word in [1059, 1060, 1061] as [UInt64] { #expect(clock.set(unix: word, now: Self.after(60)) == nil) }
        #expect(clock.unix(Self.after(60)) == 1060)
        #expect(clock.set(unix: 1062, now: Self.after(60)) == 2)
        #expect(clock.unix(Self.after(61)) == 1063)
        #expect(clock.set(unix: 63, now: Self.after(61)) == -1000)
        #expect(clock.unix(Self.after(62)) == 64)
        // Whatever somebody says: no trap.
        for word in [0, .max, 1 << 62, 1 << 63, 5] as [UInt64] {
            _ = clock.set(unix: word, now: Self.after(100))
            #expect(clock.unix(Self.after(100)) == word)
            _ = clock.unix(Self.after(1 << 30))
        }
    }

    /// A board without a battery begins in 1970, and is told the time when it has a network.
    @Test func descriptorsAreJudgedByTheTimeAsItIsKnownNow() throws {
        let network = VirtualNetwork(seed: 31)
        let client = Self.host(unix: 5, network)
        let (one, two) = (try DirectoryScene.descriptor(1), try DirectoryScene.descriptor(2, until: Self.unix + 500))
        #expect(client.addRelays([(one, .imported)], now: network.now).count == 1, "not yet good")
        network.run(for: .seconds(20))
        client.setClock(unixSeconds: Self.unix, now: network.now)
        #expect(client.addRelays([(one, .imported), (two, .imported)], now: network.now).isEmpty)
        #expect(client.relays.count == 2)
        // It goes on by itself, and by what it is told.
        network.run(for: .seconds(300))
        #expect(client.relays.count == 2)
        client.setClock(unixSeconds: Self.unix + 400, now: network.now)
        network.run(for: .seconds(200))
        #expect(client.relays.map(\.id) == [DirectoryScene.id(1)])
        client.setClock(unixSeconds: Self.unix + 2 * Self.day, now: network.now)
        network.run(for: .seconds(2))
        #expect(client.relays.isEmpty, "at once, and not in a minute")
    }

    // MARK: - Guards

    private static func chosen(_ client: VirtualHost, _ network: VirtualNetwork) throws -> [PeerID] {
        _ = try client.choosePath(PathWish(hops: 3), now: network.now)
        return client.guardList.guards.map(\.id)
    }

    /// As their operators would publish them at that time.
    private static func publish(_ count: Int, to client: VirtualHost, at unix: UInt64, serial: UInt64, now: Instant)
        throws
    {
        let descriptors = try (1...count).map {
            (
                try DirectoryScene.descriptor(
                    $0, roles: $0 == 1 ? [.relay, .exit] : [.relay], from: unix - 60, until: unix + Self.day,
                    serial: serial), RelaySource.imported
            )
        }
        #expect(client.addRelays(descriptors, now: now).isEmpty)
    }

    @Test(arguments: [4000, -2000, 200, -200]) func whoSetsTheClockGetsNoOtherGuards(_ days: Int) throws {
        let network = VirtualNetwork(seed: 32)
        let client = Self.host(unix: Self.unix - 10, network)
        try Self.publish(30, to: client, at: Self.unix, serial: 1, now: network.now)
        let first = try Self.chosen(client, network)
        #expect(first.count == 3)
        for round in 1...5 {
            let word = UInt64(Int(Self.unix) + (round % 2 == 0 ? 0 : days * 86_400 - 100))
            client.setClock(unixSeconds: word, now: network.now)
            try Self.publish(30, to: client, at: word, serial: UInt64(round + 1), now: network.now)
            #expect(try Self.chosen(client, network) == first, "round \(round)")
            network.run(for: .seconds(5))
        }
        // What is written down is right by the clock as it is now.
        let kept = client.guardList.guards
        let now = UInt64(Int(Self.unix) + days * 86_400 - 100)
        #expect(kept.allSatisfy { $0.added + 60 >= now && $0.added <= now + 60 }, "\(kept.map(\.added)) \(now)")
        #expect(kept.allSatisfy { (60 * Self.day...120 * Self.day).contains($0.expires - $0.added) })
    }

    /// The guards of an earlier run outlast a clock by which nobody is a relay any more, or yet.
    @Test(arguments: [4000, -4000]) func aWrongClockRemovesNoGuards(_ days: Int) throws {
        let network = VirtualNetwork(seed: 33)
        let client = Self.host(unix: UInt64(Int(Self.unix) + days * 86_400), network)
        let kept = GuardList(
            (2...4).map {
                GuardList.Guard(
                    id: DirectoryScene.id($0), added: Self.unix - Self.day, expires: Self.unix + 80 * Self.day)
            })
        client.restoreGuards(kept)
        #expect(client.addRelays([(try DirectoryScene.descriptor(2), .imported)], now: network.now).count == 1)
        #expect(throws: SelectionFailure.self) { _ = try client.choosePath(PathWish(hops: 3), now: network.now) }
        #expect(client.guardList == kept)
        client.setClock(unixSeconds: Self.unix, now: network.now)
        try Self.publish(30, to: client, at: Self.unix, serial: 2, now: network.now)
        #expect(try Self.chosen(client, network) == kept.guards.map(\.id))
        // Their time is over by a clock that relays agree with, not by one of which those that are known are no longer good.
        let later = Self.unix + 100 * Self.day
        client.setClock(unixSeconds: later, now: network.now)
        #expect(try Self.chosen(client, network) == kept.guards.map(\.id))
        try Self.publish(30, to: client, at: later, serial: 3, now: network.now)
        _ = try Self.chosen(client, network)
        #expect(client.guardList.guards.count == 3 && client.guardList.guards.allSatisfy { $0.added == later })
    }

    @Test func aPauseIsAsLongAsItIsWhateverTheClockSays() {
        var list = GuardList()
        var random = SeededRandom(seed: 3)
        let ids = Set((0..<3).map(DirectoryScene.id))
        for number in 0..<3 { _ = list.add(DirectoryScene.id(number), usable: ids, unix: Self.unix, using: &random) }
        list.failed(DirectoryScene.id(0), unix: Self.unix)
        // Ten years back, ten seconds later.
        list.clockStepped(by: -3650 * 86_400)
        let then = Self.unix - 3650 * Self.day
        #expect(list.preferred(among: ids, unix: then + 10).count == 2)
        #expect(list.preferred(among: ids, unix: then + 30).count == 3)
        list.clockStepped(by: 3650 * 86_400)
        #expect(list.preferred(among: ids, unix: Self.unix + 20).count == 2)
        for step in [Int64.max, .min, .max, .min] { list.clockStepped(by: step) }
        #expect(list.guards.count == 3)
        // Those of earlier runs were chosen by a clock that was right, for all that is known.
        var kept = GuardList([GuardList.Guard(id: DirectoryScene.id(1), added: Self.unix, expires: Self.unix + 5)])
        let before = kept
        kept.clockStepped(by: 1000)
        #expect(kept == before)
    }
}
