// SPDX-License-Identifier: Apache-2.0
// Leases (§8) on a virtual network: asked for, given, kept over a change of paths, and given to nobody else too soon; what hostile
// guests and lying exits make of them.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct ExitLeaseTests {
    private static let server = IPAddress("1.1.1.1")!

    private func terms(
        _ policy: String = "allow-all", networks: [String] = ["10.66.0.0/16", "fd66:7071::/64"]
    ) throws
        -> ExitTerms
    {
        let prefixes = try networks.map { text throws in try IPPrefix(text) }
        let own = prefixes.map { prefix in
            prefix.family == .v4
                ? IPAddress(v4: UInt32(prefix.first + 1)) : IPAddress(v6: prefix.first + 1)
        }
        let exitPolicy = try ExitPolicy(text: policy)
        let surroundings = ExitSurroundings(
            addresses: own + [IPAddress("198.41.0.4")!], port: 9000,
            closed: prefixes + [try IPPrefix("10.77.0.0/24")])
        return ExitTerms(
            fence: ExitFence(exitPolicy, surroundings), networks: prefixes, reserved: own,
            servers: [Self.server],
            isAllowAll: exitPolicy.isAllowAll)
    }

    /// A client with an exit two relays away, and its lease.
    private func leased(seed: UInt64, _ terms: ExitTerms?, hops: [Int] = [1, 2]) throws -> (
        CircuitScenario, Int
    ) {
        let scenario = CircuitScenario(seed: seed, relays: hops.max()!)
        if let terms { scenario.network.openExit(terms, at: scenario.relays[hops.last! - 1]) }
        let number = try build(scenario, hops)
        return (scenario, number)
    }

    private func build(_ scenario: CircuitScenario, _ hops: [Int], name: String = "home") throws
        -> Int
    {
        let request = CircuitRequest(
            name: name, hops: hops.map(scenario.id),
            allowedIPs: name == "home" ? [try IPPrefix("0.0.0.0/0")] : [],
            wantsLease: true)
        let number = try scenario.network.build(request, at: scenario.client)
        scenario.network.run(for: .seconds(40)) {
            scenario.client.grantedLeases.count + scenario.client.leaseRefusals.count > 0
        }
        scenario.network.run(for: .seconds(2))
        return number
    }

    private func packet(from: IPAddress, to: String, port: UInt16 = 443) -> [UInt8] {
        let body = PacketModel.bytes(UInt16(40000)) + PacketModel.bytes(port) + [0, 8, 0, 0]
        return [0x45, 0] + PacketModel.bytes(UInt16(20 + body.count)) + [0, 0, 0, 0, 64, 17, 0, 0]
            + from.bytes
            + IPAddress(to)!.bytes + body
    }

    /// What a client sends that knows no shame: its own data plane would not.
    private func force(_ packet: [UInt8], _ scenario: CircuitScenario) {
        guard let slot = scenario.client.circuits(now: scenario.network.now).first?.destination else {
            return
        }
        scenario.network.say(.ip, packet, to: slot, from: scenario.client)
    }

    private func answer(to: IPAddress, from: String, port: UInt16 = 443) -> [UInt8] {
        let body = PacketModel.bytes(port) + PacketModel.bytes(UInt16(40000)) + [0, 8, 0, 0]
        return [0x45, 0] + PacketModel.bytes(UInt16(20 + body.count)) + [0, 0, 0, 0, 64, 17, 0, 0]
            + IPAddress(from)!.bytes + to.bytes + body
    }

    // MARK: - Given

    @Test func aGuestGetsWhatTheExitHas() throws {
        let (scenario, _) = try leased(seed: 1, try terms())
        let lease = try #require(scenario.client.grantedLeases.first, "\(scenario.describe())")
        #expect(try lease.ipv4.map { try IPPrefix("10.66.0.0/16").contains($0) } == true)
        #expect(try lease.ipv6.map { try IPPrefix("fd66:7071::/64").contains($0) } == true)
        #expect(lease.servers == [Self.server] && lease.mtu == 1436 && lease.isAllowAll)
        #expect(scenario.client.grantedLeases.count == 1 && scenario.relays[1].exitLeases == 1)
        // By the addresses alone, packets go both ways.
        let (there, back) = (
            packet(from: lease.ipv4!, to: "1.1.1.1"), answer(to: lease.ipv4!, from: "1.1.1.1")
        )
        scenario.network.sendInner(there, from: scenario.client)
        scenario.network.sendInner(back, from: scenario.relays[1])
        scenario.network.run(for: .seconds(2))
        #expect(
            scenario.relays[1].delivered.contains(there) && scenario.client.delivered.contains(back))
    }

    @Test func leasesAreDrawnByChance() throws {
        var addresses: Set<IPAddress> = []
        for seed in 10..<14 as Range<UInt64> {
            let (scenario, _) = try leased(seed: seed, try terms())
            addresses.formUnion(try #require(scenario.client.grantedLeases.first).addresses)
        }
        #expect(addresses.count == 8)
    }

    @Test func aLeaseSurvivesItsPath() throws {
        let (scenario, number) = try leased(seed: 2, try terms(), hops: [1, 2, 3])
        let lease = try #require(scenario.client.grantedLeases.first)
        #expect(scenario.network.replaceCircuit(number, at: scenario.client))
        scenario.network.run(for: .seconds(60))
        #expect(
            scenario.client.circuitEvents.contains { if case .replaced = $0 { true } else { false } },
            "\(scenario.describe())")
        #expect(scenario.client.grantedLeases == [lease] && scenario.relays[2].exitLeases == 1)
        let there = packet(from: lease.ipv4!, to: "1.1.1.1")
        scenario.network.sendInner(there, from: scenario.client)
        scenario.network.run(for: .seconds(2))
        #expect(scenario.relays[2].delivered.contains(there))
    }

    @Test func aLeaseEndsWithItsCircuitAndRests() throws {
        // A pool for one guest.
        let narrow = try terms(networks: ["10.66.0.0/30"])
        let (scenario, number) = try leased(seed: 3, narrow)
        let lease = try #require(scenario.client.grantedLeases.first)
        #expect(lease.ipv4 == IPAddress("10.66.0.2") && lease.ipv6 == nil)
        scenario.network.closeCircuit(number, at: scenario.client)
        scenario.network.run(for: .seconds(10))
        #expect(scenario.relays[1].exitLeases == 0)
        // Its next owner waits for a minute.
        _ = try build(scenario, [1, 2], name: "early")
        scenario.network.run(for: .seconds(5))
        #expect(scenario.client.leaseRefusals == [.exhausted])
        #expect(
            scenario.relays[1].events.contains {
                if case .leaseExhausted = $0.event { true } else { false }
            })
        scenario.network.run(for: .seconds(70))
        _ = try build(scenario, [1, 2], name: "late")
        scenario.network.run(for: .seconds(20))
        #expect(
            scenario.client.grantedLeases.count == 2 && scenario.client.grantedLeases.last == lease,
            "\(scenario.describe())")
    }

    @Test func whoIsNoExitSaysSo() throws {
        let (scenario, number) = try leased(seed: 4, nil)
        #expect(scenario.client.leaseRefusals == [.noExit] && scenario.client.grantedLeases.isEmpty)
        #expect(scenario.isReady(number))
    }

    @Test func lostQuestionsAreAskedAgain() throws {
        let scenario = CircuitScenario(seed: 5, relays: 2)
        scenario.network.openExit(try terms(), at: scenario.relays[1])
        let number = try scenario.network.build(
            CircuitRequest(
                name: "home", hops: [scenario.id(1), scenario.id(2)], allowedIPs: [], wantsLease: true),
            at: scenario.client)
        // The exit hears no question for the first seconds after the circuit is there.
        scenario.relays[1].deafTo = [.configRequest]
        #expect(scenario.network.run(for: .seconds(40), until: { scenario.isReady(number) }))
        scenario.network.run(for: .seconds(3))
        #expect(scenario.client.grantedLeases.isEmpty)
        scenario.relays[1].deafTo = []
        scenario.network.run(for: .seconds(4))
        #expect(scenario.client.grantedLeases.count == 1, "\(scenario.describe())")
    }

    @Test func silenceIsGivenUp() throws {
        let scenario = CircuitScenario(seed: 6, relays: 2)
        scenario.network.openExit(try terms(), at: scenario.relays[1])
        let number = try scenario.network.build(
            CircuitRequest(
                name: "home", hops: [scenario.id(1), scenario.id(2)], allowedIPs: [], wantsLease: true),
            at: scenario.client)
        scenario.relays[1].deafTo = [.configRequest]
        #expect(scenario.network.run(for: .seconds(40), until: { scenario.isReady(number) }))
        scenario.network.run(for: .seconds(9))
        #expect(scenario.client.leaseRefusals == [.noAnswer], "\(scenario.describe())")
    }

    @Test func oneHopHasNoLease() throws {
        let scenario = CircuitScenario(seed: 7, relays: 1)
        #expect(throws: CircuitRefusal.prefix) {
            try scenario.network.build(
                CircuitRequest(name: "home", hops: [scenario.id(1)], allowedIPs: [], wantsLease: true),
                at: scenario.client)
        }
    }

    // MARK: - Hostile guests

    @Test func foreignSourcesAreDroppedAndEndTheSession() throws {
        let (scenario, _) = try leased(seed: 20, try terms())
        let (client, exit) = (scenario.client, scenario.relays[1])
        let lease = try #require(client.grantedLeases.first)
        let other = IPAddress(v4: UInt32(lease.ipv4!.value) ^ 1)
        let before = exit.delivered.count
        for _ in 0..<99 {
            force(packet(from: other, to: "1.1.1.1"), scenario)
            scenario.network.run(for: .milliseconds(20))
        }
        scenario.network.run(for: .seconds(1))
        #expect(exit.delivered.count == before && exit.dataPlaneDrops[.innerSource] == 99)
        #expect(exit.exitLeases == 1)
        force(packet(from: IPAddress("10.77.0.1")!, to: "1.1.1.1"), scenario)
        scenario.network.run(for: .seconds(2))
        #expect(exit.delivered.count == before && exit.exitLeases == 0, "\(scenario.describe())")
        #expect(
            exit.events.contains {
                if case .sessionEnded(_, .protocolViolation) = $0.event { true } else { false }
            })
    }

    @Test func aFewForeignSourcesAMinuteAreForgiven() throws {
        let (scenario, _) = try leased(seed: 21, try terms())
        let exit = scenario.relays[1]
        let lease = try #require(scenario.client.grantedLeases.first)
        for _ in 0..<150 {
            force(packet(from: IPAddress("10.66.9.9")!, to: "1.1.1.1"), scenario)
            scenario.network.run(for: .seconds(1))
        }
        #expect(exit.dataPlaneDrops[.innerSource] == 150 && exit.exitLeases == 1)
        let there = packet(from: lease.ipv4!, to: "1.1.1.1")
        scenario.network.sendInner(there, from: scenario.client)
        scenario.network.run(for: .seconds(1))
        #expect(exit.delivered.contains(there))
    }

    @Test func aClientSendsNothingThatIsNotItsLease() throws {
        let (scenario, _) = try leased(seed: 24, try terms())
        let exit = scenario.relays[1]
        for _ in 0..<200 {
            scenario.network.sendInner(
                packet(from: IPAddress("10.66.9.9")!, to: "1.1.1.1"), from: scenario.client)
        }
        scenario.network.run(for: .seconds(2))
        #expect(exit.dataPlaneDrops[.innerSource] == 0 && exit.exitLeases == 1)
        #expect(scenario.client.dataPlaneDrops[.innerSource] == 200)
    }

    @Test func theFenceStandsBothWaysAndTellsTheGuest() throws {
        let (scenario, _) = try leased(seed: 22, try terms("reject udp/*:53; accept *"))
        let (client, exit) = (scenario.client, scenario.relays[1])
        let lease = try #require(client.grantedLeases.first)
        for (address, port) in [
            ("1.1.1.1", 53), ("10.0.0.1", 443), ("169.254.169.254", 80), ("198.41.0.4", 22),
            ("10.66.0.1", 443),
            ("10.66.0.77", 443), ("10.77.0.2", 443), ("127.0.0.1", 443),
        ] as [(String, UInt16)] {
            let sent = packet(from: lease.ipv4!, to: address, port: port)
            let told = client.delivered.count
            scenario.network.sendInner(sent, from: client)
            scenario.network.run(for: .seconds(1))
            #expect(!exit.delivered.contains(sent), "\(address)")
            let message = try #require(client.delivered.dropFirst(told).first, "\(address)")
            #expect(
                message[9] == 1 && message[20] == 3 && message[21] == 13 && Array(message[28...]) == sent)
        }
        #expect(exit.dataPlaneDrops[.exitRefused] == 8)
        // What comes from there is not for guests either, and nobody is told.
        let back = answer(to: lease.ipv4!, from: "10.0.0.1")
        scenario.network.sendInner(back, from: exit)
        scenario.network.sendInner(answer(to: lease.ipv4!, from: "1.1.1.1", port: 53), from: exit)
        scenario.network.run(for: .seconds(1))
        #expect(!client.delivered.contains(back) && exit.dataPlaneDrops[.exitRefused] == 10)
        // Another policy is there at once, with the same lease.
        scenario.network.changeExit(try terms("reject *").fence, at: exit)
        let sent = packet(from: lease.ipv4!, to: "1.1.1.1", port: 443)
        scenario.network.sendInner(sent, from: client)
        scenario.network.run(for: .seconds(1))
        #expect(!exit.delivered.contains(sent))
    }

    @Test func configuredPeersAreNoGuests() throws {
        // The client is a peer of the first relay, which is an exit: no fence for it, and no lease.
        let scenario = CircuitScenario(seed: 23, relays: 1)
        scenario.network.openExit(try terms(), at: scenario.relays[0])
        scenario.network.run(for: .seconds(5)) { !scenario.client.confirmedSessions.isEmpty }
        scenario.network.say(.configRequest, ExitLeaseMessage.request, to: 0, from: scenario.client)
        scenario.network.run(for: .seconds(2))
        #expect(scenario.relays[0].exitLeases == 0)
        #expect(
            scenario.relays[0].events.contains {
                if case .sessionEnded(_, .protocolViolation) = $0.event { true } else { false }
            })
    }

    // MARK: - Lying exits

    private static let sane = ExitLease(
        ipv4: IPAddress("10.66.0.9"), ipv6: nil, servers: [], mtu: 1436, isAllowAll: true)

    /// What the last relay says instead of its answer, being no exit by itself.
    private func lie(seed: UInt64, _ payload: [UInt8]) throws -> (CircuitScenario, Int) {
        let scenario = CircuitScenario(seed: seed, relays: 2)
        let number = try scenario.network.build(
            CircuitRequest(
                name: "home", hops: [scenario.id(1), scenario.id(2)], allowedIPs: [], wantsLease: true),
            at: scenario.client)
        // The honest part of it hears no question before it has lied.
        scenario.relays[1].deafTo = [.configRequest]
        scenario.network.run(for: .seconds(40)) { scenario.isReady(number) }
        scenario.network.run(for: .milliseconds(500)) { !scenario.relays[1].guests.isEmpty }
        let guest = try #require(scenario.relays[1].guests.last)
        scenario.network.say(.config, payload, to: guest, from: scenario.relays[1])
        scenario.network.run(for: .seconds(2))
        return (scenario, number)
    }

    @Test(arguments: [
        ExitLease(ipv4: IPAddress("127.0.0.1"), ipv6: nil, servers: [], mtu: 1436, isAllowAll: true),
        ExitLease(ipv4: IPAddress("0.0.0.0"), ipv6: nil, servers: [], mtu: 1436, isAllowAll: true),
        ExitLease(ipv4: IPAddress("224.0.0.9"), ipv6: nil, servers: [], mtu: 1436, isAllowAll: true),
        ExitLease(ipv4: IPAddress("169.254.1.1"), ipv6: nil, servers: [], mtu: 1436, isAllowAll: true),
        ExitLease(
            ipv4: IPAddress("255.255.255.255"), ipv6: nil, servers: [], mtu: 1436, isAllowAll: true),
        ExitLease(ipv4: nil, ipv6: IPAddress("::1"), servers: [], mtu: 1436, isAllowAll: true),
        ExitLease(ipv4: nil, ipv6: IPAddress("fe80::1"), servers: [], mtu: 1436, isAllowAll: true),
        ExitLease(
            ipv4: nil, ipv6: IPAddress("::ffff:10.66.0.9"), servers: [], mtu: 1436, isAllowAll: true),
        ExitLease(ipv4: nil, ipv6: IPAddress("ff02::1"), servers: [], mtu: 1436, isAllowAll: true),
        ExitLease(ipv4: nil, ipv6: nil, servers: [], mtu: 1436, isAllowAll: true),
        ExitLease(ipv4: IPAddress("10.66.0.9"), ipv6: nil, servers: [], mtu: 575, isAllowAll: true),
        ExitLease(ipv4: IPAddress("10.66.0.9"), ipv6: nil, servers: [], mtu: 9001, isAllowAll: true),
        ExitLease(ipv4: nil, ipv6: IPAddress("fd66::9"), servers: [], mtu: 1279, isAllowAll: true),
        ExitLease(
            ipv4: IPAddress("10.66.0.9"), ipv6: nil, servers: [IPAddress("127.0.0.53")!], mtu: 1436,
            isAllowAll: true),
    ])
    func noHostCanHaveThis(lease: ExitLease) throws {
        #expect(!lease.isSane)
        let (scenario, number) = try lie(seed: 30, ExitLeaseMessage.granted(lease).encoded)
        #expect(
            scenario.client.grantedLeases.isEmpty && scenario.client.leaseRefusals.contains(.nonsense),
            "\(lease)")
        #expect(!scenario.isReady(number))
    }

    @Test(
        arguments: [
            [], [1], [2, 0], [1, 0], [1, 3], [1, 1, 0], [1, 0, 2, 0, 5, 0x9C, 1, 0, 4, 32, 10, 66, 0, 9],
            [1, 0, 0, 1, 5, 0x9C, 1, 0, 4, 32, 10, 66, 0, 9],
            [1, 0, 0, 0, 5, 0x9C, 1, 0, 4, 24, 10, 66, 0, 9],
            [1, 0, 0, 0, 5, 0x9C, 1, 0, 4, 32, 10, 66, 0],
            [1, 0, 0, 0, 5, 0x9C, 1, 0, 4, 32, 10, 66, 0, 9, 0],
            [1, 0, 0, 0, 5, 0x9C, 2, 0, 4, 32, 10, 66, 0, 9, 4, 32, 10, 66, 0, 8],
            [1, 0, 0, 0, 5, 0x9C, 3, 0, 4, 32, 10, 66, 0, 9],
            [1, 0, 0, 0, 5, 0x9C, 1, 5, 4, 32, 10, 66, 0, 9],
            [1, 0, 0, 0, 5, 0x9C, 1, 1, 4, 32, 10, 66, 0, 9, 5, 1, 1, 1, 1],
        ] as [[UInt8]])
    func thisIsNoLease(payload: [UInt8]) throws {
        #expect(ExitLeaseMessage(payload) == nil)
        let (scenario, number) = try lie(seed: 31, payload)
        #expect(scenario.client.grantedLeases.isEmpty && !scenario.isReady(number), "\(payload)")
    }

    @Test func aSecondLeaseIsAttack() throws {
        // Word for word the same is a repeat.
        let (scenario, number) = try leased(seed: 32, try terms())
        let exit = scenario.relays[1]
        let lease = try #require(scenario.client.grantedLeases.first)
        let guest = try #require(exit.guests.last)
        scenario.network.say(.config, ExitLeaseMessage.granted(lease).encoded, to: guest, from: exit)
        scenario.network.run(for: .seconds(2))
        #expect(scenario.isReady(number) && scenario.client.grantedLeases == [lease])
        scenario.network.say(
            .config, ExitLeaseMessage.granted(Self.sane).encoded, to: guest, from: exit)
        scenario.network.run(for: .seconds(2))
        #expect(
            !scenario.isReady(number) && scenario.client.grantedLeases == [lease],
            "\(scenario.describe())")
    }

    @Test func leasesThatNobodyAskedForEndTheSession() throws {
        let scenario = CircuitScenario(seed: 33, relays: 2)
        let number = try scenario.connect([1, 2])
        let guest = try #require(scenario.relays[1].guests.last)
        scenario.network.say(
            .config, ExitLeaseMessage.granted(Self.sane).encoded, to: guest, from: scenario.relays[1])
        scenario.network.run(for: .seconds(2))
        #expect(scenario.client.grantedLeases.isEmpty && !scenario.isReady(number))
        // Nor may a relay on the way, or a peer that is met directly, give any.
        let direct = CircuitScenario(seed: 34, relays: 1)
        direct.network.run(for: .seconds(5)) { !direct.client.confirmedSessions.isEmpty }
        direct.network.say(
            .config, ExitLeaseMessage.granted(Self.sane).encoded, to: 0, from: direct.relays[0])
        direct.network.run(for: .seconds(2))
        #expect(direct.client.grantedLeases.isEmpty)
        #expect(
            direct.client.events.contains {
                if case .sessionEnded(_, .protocolViolation) = $0.event { true } else { false }
            })
    }

    // MARK: - The message and the pool

    @Test func messagesAreExact() {
        let lease = ExitLease(
            ipv4: IPAddress("10.66.0.9"), ipv6: IPAddress("fd66::9"),
            servers: [IPAddress("1.1.1.1")!, IPAddress("fd66::1")!],
            mtu: 1420, isAllowAll: true)
        let bytes = ExitLeaseMessage.granted(lease).encoded
        #expect(
            bytes == [1, 0, 1, 0, 5, 0x8C, 2, 2, 4, 32, 10, 66, 0, 9, 6, 128, 0xFD, 0x66]
                + [UInt8](repeating: 0, count: 13)
                + [9, 4, 1, 1, 1, 1, 6, 0xFD, 0x66] + [UInt8](repeating: 0, count: 13) + [1])
        #expect(ExitLeaseMessage(bytes) == .granted(lease))
        for end in bytes.indices { #expect(ExitLeaseMessage(Array(bytes[..<end])) == nil) }
        #expect(
            ExitLeaseMessage([1, 1]) == .refused(.noExit)
                && ExitLeaseMessage([1, 2]) == .refused(.exhausted))
        #expect(ExitLeaseMessage.refused(.exhausted).encoded == [1, 2])
    }

    @Test func poolsGiveEachAddressOnce() throws {
        let network = try IPPrefix("10.66.0.0/28")
        var pool = LeasePool([network], reserved: [IPAddress("10.66.0.1")!])
        var random = SeededGenerator(3)
        var seen: Set<IPAddress> = []
        for _ in 0..<13 {
            let address = try #require(
                pool.take(
                    random: { _ in UInt128.random(in: 0...UInt128.max, using: &random) }, now: .origin)?.first
            )
            #expect(network.contains(address) && seen.insert(address).inserted)
        }
        #expect(!seen.contains(IPAddress("10.66.0.0")!) && !seen.contains(IPAddress("10.66.0.1")!))
        #expect(!seen.contains(IPAddress("10.66.0.15")!))
        #expect(pool.take(random: { _ in 0 }, now: .origin) == nil)
        // What comes back rests for a minute from the next look on.
        pool.giveBack([IPAddress("10.66.0.5")!, IPAddress("9.9.9.9")!])
        pool.settle(now: .origin + .seconds(1))
        #expect(pool.take(random: { _ in 0 }, now: .origin + .seconds(60)) == nil)
        #expect(pool.take(random: { _ in 0 }, now: .origin + .seconds(61)) == [IPAddress("10.66.0.5")!])
        #expect(pool.take(random: { _ in 0 }, now: .origin + .seconds(200)) == nil)
    }

    @Test func aLeaseNeedsAllFamiliesOfThePool() throws {
        var pool = LeasePool(
            [try IPPrefix("10.66.0.0/30"), try IPPrefix("fd66::/64")], reserved: [IPAddress("10.66.0.1")!]
        )
        #expect(pool.take(random: { _ in UInt128.max }, now: .origin)?.count == 2)
        #expect(pool.take(random: { _ in 7 }, now: .origin) == nil)
        #expect(pool.taken.count == 2)
        var none = LeasePool([], reserved: [])
        #expect(none.take(random: { _ in 7 }, now: .origin) == nil)
    }
}

extension VirtualHost {
    var grantedLeases: [ExitLease] {
        circuitEvents.compactMap { if case .leased(_, _, let lease) = $0 { lease } else { nil } }
    }

    var leaseRefusals: [LeaseRefusal] {
        circuitEvents.compactMap {
            if case .leaseRefused(_, _, let refusal) = $0 { refusal } else { nil }
        }
    }
}
