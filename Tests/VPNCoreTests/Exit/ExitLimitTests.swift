// SPDX-License-Identifier: Apache-2.0
// Where an exit ends (§8): leases that it has no more of, or that are somebody's, and errors that say more of what they
// quote than is there.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct ExitLimitTests {
    private static let network = "10.66.0.0/30"

    /// With room for one guest, 10.66.0.2.
    private func terms() throws -> ExitTerms {
        let (network, own) = (try IPPrefix(Self.network), [IPAddress("10.66.0.1")!])
        let surroundings = ExitSurroundings(addresses: own, port: 9000, closed: [network])
        return ExitTerms(
            fence: ExitFence(try ExitPolicy(text: "allow-all"), surroundings), networks: [network], reserved: own,
            servers: [], isAllowAll: true)
    }

    // MARK: - Leases

    /// Of whatever size its networks are.
    @Test func noMoreLeasesAreOutThanThereMayBeGuests() throws {
        var pool = LeasePool([try IPPrefix("10.66.0.0/16"), try IPPrefix("fd66::/64")], reserved: [])
        for number in 0..<Limits.exitLeases {
            let found = pool.take(random: { _ in UInt128(number) }, now: .origin)
            guard found?.count == 2 else {
                Issue.record("only \(number) leases")
                return
            }
        }
        let more = pool.take(random: { _ in 9000 }, now: .origin)
        #expect(more == nil && pool.taken.count == 2 * Limits.exitLeases)
        // One that comes back leaves its place at once, and its addresses after their minute.
        pool.giveBack([IPAddress("10.66.0.1")!, IPAddress("fd66::1")!])
        let next = pool.take(random: { _ in 9000 }, now: .origin)
        #expect(next == [IPAddress("10.66.35.41")!, IPAddress("fd66::2329")!])
    }

    @Test(arguments: ["10.66.0.0/31", "10.66.0.7/32", "fd66::/127", "fd66::7/128"])
    func aNetworkWithoutRoomGivesNothing(text: String) throws {
        var pool = LeasePool([try IPPrefix(text)], reserved: [])
        let found = pool.take(random: { _ in 0 }, now: .origin)
        #expect(found == nil && pool.taken.isEmpty)
    }

    /// An address of the pool that the operator gave to another guest is nobody's lease, and is not lost to the pool.
    @Test func whatIsSomebodysIsNotLent() throws {
        let scenario = CircuitScenario(seed: 1, relays: 2)
        let (network, client, exit) = (scenario.network, scenario.client, scenario.relays[1])
        network.openExit(try terms(), at: exit)
        let plain = try scenario.build([1, 2], name: "plain")
        #expect(network.run(for: .seconds(40)) { !exit.guests.isEmpty }, "\(scenario.describe())")
        let prefix = IPPrefix(containing: IPAddress("10.66.0.2")!, length: 32)
        #expect(network.assign([prefix], to: try #require(exit.guests.last), at: exit))
        func ask(_ name: String) throws {
            let request = CircuitRequest(
                name: name, hops: [scenario.id(1), scenario.id(2)], allowedIPs: [], wantsLease: true)
            _ = try network.build(request, at: client)
        }
        try ask("early")
        #expect(network.run(for: .seconds(40)) { !client.leaseRefusals.isEmpty }, "\(scenario.describe())")
        #expect(client.leaseRefusals == [.exhausted] && client.grantedLeases.isEmpty)
        #expect(exit.exitLeases == 0)
        #expect(!exit.events.contains { if case .leaseGranted = $0.event { true } else { false } })
        // The other guest has what it had.
        let packet = CircuitScenario.packet(from: 0x0A63_0009, to: 0x0A42_0002, tag: 1)
        network.sendInner(packet, from: exit)
        #expect(network.run(for: .seconds(2)) { client.delivered.contains(packet) }, "\(scenario.describe())")
        #expect(network.closeCircuit(plain, at: client))
        network.run(for: .seconds(70))
        try ask("late")
        #expect(network.run(for: .seconds(40)) { exit.exitLeases == 1 }, "\(scenario.describe())")
        network.run(for: .seconds(1))
        #expect(client.grantedLeases.map(\.ipv4) == [IPAddress("10.66.0.2")])
    }

    @Test func twoAddressesOfOneFamilyAreNoLease() {
        let (first, second) = (IPAddress("fd66::9")!, IPAddress("fd66::8")!)
        let head: [UInt8] = [1, 0, 0, 0, 5, 0x9C]
        let one = head + [1, 0, 6, 128] + first.bytes
        let two = head + [2, 0, 6, 128] + first.bytes + [6, 128] + second.bytes
        #expect(
            ExitLeaseMessage(one)
                == .granted(ExitLease(ipv4: nil, ipv6: first, servers: [], mtu: 1436, isAllowAll: false)))
        #expect(ExitLeaseMessage(two) == nil)
    }

    // MARK: - The policy

    @Test func whoIsNoExitIsNotMadeOneByAPolicy() throws {
        let scenario = CircuitScenario(seed: 2, relays: 1)
        let relay = scenario.relays[0]
        relay.machine.changeExit(try terms().fence, isAllowAll: false)
        let isQuiet = relay.machine.nextAction() == nil
        #expect(isQuiet && !relay.machine.isExit)
        // An exit hands it to its packet threads.
        relay.machine.openExit(try terms())
        while relay.machine.nextAction() != nil {}
        relay.machine.changeExit(try terms().fence, isAllowAll: false)
        let isTold = relay.machine.nextAction() != nil
        #expect(isTold && relay.machine.isExit)
    }

    /// All ports are no ports: what is said of a protocol without any.
    @Test func icmpMayHaveAllPorts() throws {
        #expect(try ExitPolicy(text: "accept icmp/*:*").description == "accept icmp/*")
        #expect(throws: ExitPolicyError.self) { try ExitPolicy(text: "accept icmp/*:1-65535") }
    }

    // MARK: - What errors quote

    private static let (guest4, guest6) = (IPAddress("10.66.0.9")!, IPAddress("fd66:7071::9")!)
    private static let (host4, host6) = (IPAddress("1.1.1.1")!, IPAddress("2606:4700::1")!)

    /// A packet of its family, with a transport of this number.
    private func packet(
        from source: IPAddress, to destination: IPAddress, number: UInt8, first: UInt8 = 0x45, _ body: [UInt8]
    ) -> [UInt8] {
        var bytes: [UInt8]
        if source.family == .v4 {
            bytes = [first, 0] + PacketModel.bytes(UInt16(20 + body.count))
            bytes += [0, 0, 0, 0, 64, number, 0, 0]
        } else {
            bytes = [0x60, 0, 0, 0] + PacketModel.bytes(UInt16(body.count))
            bytes += [number, 64]
        }
        return bytes + source.bytes + destination.bytes + body
    }

    /// What an exit that refuses nothing public thinks of an error to its guest, from some router.
    private func judge(_ quoted: [UInt8], isV4: Bool) throws -> ExitVerdict {
        let (router, guest) = isV4 ? (Self.host4, Self.guest4) : (Self.host6, Self.guest6)
        var bytes = packet(
            from: router, to: guest, number: isV4 ? 1 : 58, [isV4 ? 3 : 1, 0, 0, 0, 0, 0, 0, 0] + quoted)
        let surroundings = ExitSurroundings(addresses: [], port: 9000, closed: [])
        var gate = ExitGate(ExitFence(try ExitPolicy(text: "accept *"), surroundings), .homeward)
        let span = bytes.mutableSpan
        return gate.judge(span, 0..<span.count, now: .origin + .seconds(1000))
    }

    @Test func errorsAreAboutPacketsOfTheirFamily() throws {
        let body = [UInt8](repeating: 0, count: 8)
        let four = packet(from: Self.guest4, to: Self.host4, number: 17, body)
        let six = packet(from: Self.guest6, to: Self.host6, number: 17, body)
        #expect(try judge(four, isV4: true) == .accept)
        #expect(try judge(six, isV4: false) == .accept)
        #expect(try judge(six, isV4: true) == .unreadable)
        #expect(try judge(four, isV4: false) == .unreadable)
    }

    /// Nobody has looked at the header of a packet that is quoted: it may say that it is shorter than any, or longer
    /// than what is there.
    @Test func aQuotedHeaderHasALengthThatIsThere() throws {
        let body = [UInt8](repeating: 0, count: 8)
        func verdict(_ first: UInt8) throws -> ExitVerdict {
            // Of no protocol with a name, so that nothing behind the header is asked for.
            try judge(packet(from: Self.guest4, to: Self.host4, number: 47, first: first, body), isV4: true)
        }
        for first: UInt8 in [0x45, 0x46, 0x47] { #expect(try verdict(first) == .accept, "\(first)") }
        for first: UInt8 in [0x40, 0x41, 0x44, 0x48, 0x4F] {
            #expect(try verdict(first) == .unreadable, "\(first)")
        }
    }
}
