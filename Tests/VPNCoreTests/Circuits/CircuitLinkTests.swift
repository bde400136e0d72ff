// SPDX-License-Identifier: Apache-2.0
// Whoever sits on the links of a circuit (§8): changes, repeats, reorders, mirrors and invents datagrams. They die at the next honest
// node, nothing that is delivered was touched, and the circuit goes on.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct CircuitLinkTests {
    private func there(_ number: Int) -> [UInt8] {
        numbered(CircuitScenario.packet(from: 0x0A4D_0001, to: 0x0A63_0009, tag: 0), number)
    }

    private func back(_ number: Int) -> [UInt8] {
        numbered(CircuitScenario.packet(from: 0x0A63_0009, to: 0x0A4D_0001, tag: 0), number)
    }

    private func numbered(_ packet: [UInt8], _ number: Int) -> [UInt8] {
        var packet = packet
        (packet[30], packet[31]) = (UInt8(truncatingIfNeeded: number >> 8), UInt8(truncatingIfNeeded: number))
        return packet
    }

    private func ready(seed: UInt64) throws -> (scenario: CircuitScenario, number: Int, hosts: [VirtualHost]) {
        let scenario = CircuitScenario(seed: seed, relays: 3)
        let number = try scenario.connect([1, 2, 3])
        try #require(scenario.isReady(number), "\(scenario.describe())")
        scenario.network.run(for: .seconds(30))
        return (scenario, number, [scenario.client] + scenario.relays)
    }

    private func drops(_ host: VirtualHost) -> UInt64 { host.controlDrops.total + host.dataPlaneDrops.total }

    /// The only datagrams of this size are those that carry our packets: 64 bytes, 36 of the innermost layer, 40 of each around it.
    /// The first relay takes off a layer and puts on one of its own.
    private func size(link: Int) -> Int { 64 + 36 + 40 * (link == 2 ? 1 : 2) }

    // MARK: - Changes

    /// Every byte of a datagram on each link, each way: the node at the end of the link drops it, and nobody behind it sees
    /// anything.
    @Test(arguments: 0...2, [true, false]) func noByteCanBeChanged(link: Int, isOutward: Bool) throws {
        let (scenario, number, hosts) = try ready(seed: UInt64(40 + link))
        let (from, to) = isOutward ? (hosts[link], hosts[link + 1]) : (hosts[link + 1], hosts[link])
        let (sender, receiver) = isOutward ? (hosts[0], hosts[3]) : (hosts[3], hosts[0])
        // What a relay puts on the link has its own layer around what it hands on.
        let size = size(link: link)
        var random = SeededRandom(seed: UInt64(link * 2 + (isOutward ? 1 : 0)))
        for place in 0..<size {
            var isDone = false
            let change = UInt8(1 + random.next() % 255)
            scenario.network.intervene = { datagram in
                guard !isDone, datagram.source == from.endpoint, datagram.destination == to.endpoint,
                    datagram.bytes.count == size
                else { return .pass }
                isDone = true
                var bytes = datagram.bytes
                bytes[place] ^= change
                return .replace(bytes)
            }
            let before = hosts.map(drops)
            let delivered = receiver.delivered.count
            let packet = isOutward ? there(place) : back(place)
            scenario.network.sendInner(packet, from: sender)
            scenario.network.run(for: .milliseconds(60))
            #expect(isDone, "byte \(place): no datagram of \(size) bytes")
            #expect(receiver.delivered.count == delivered, "byte \(place) ^ \(change)")
            for (host, before) in zip(hosts, before) {
                #expect(drops(host) - before == (host === to ? 1 : 0), "byte \(place) ^ \(change) at \(host.name)")
            }
        }
        scenario.network.intervene = nil
        #expect(scenario.isReady(number) && scenario.client.circuitFailures.isEmpty, "\(scenario.describe())")
        #expect(scenario.carriesTraffic(to: 3), "\(scenario.describe())")
    }

    /// Datagrams cut, lengthened and joined at every length.
    @Test(arguments: 0...2) func noLengthCanBeChanged(link: Int) throws {
        let (scenario, number, hosts) = try ready(seed: UInt64(50 + link))
        let size = size(link: link)
        for length in 0..<size + 20 where length != size {
            var isDone = false
            scenario.network.intervene = { datagram in
                guard !isDone, datagram.source == hosts[link].endpoint, datagram.bytes.count == size else {
                    return .pass
                }
                isDone = true
                var bytes = Array(datagram.bytes.prefix(length))
                bytes += [UInt8](repeating: 0, count: max(0, length - size))
                // A length field that says so, too.
                if length >= 16, length % 2 == 0 {
                    (bytes[2], bytes[3]) = (UInt8((length - 16) >> 8), UInt8((length - 16) & 255))
                }
                return .replace(bytes)
            }
            let before = drops(hosts[link + 1])
            scenario.network.sendInner(there(length), from: hosts[0])
            scenario.network.run(for: .milliseconds(60))
            #expect(isDone && drops(hosts[link + 1]) - before == 1, "\(length)")
        }
        scenario.network.intervene = nil
        #expect(!hosts[3].delivered.contains { packet in (0..<size).contains { there($0) == packet } })
        #expect(scenario.isReady(number) && scenario.carriesTraffic(to: 3), "\(scenario.describe())")
    }

    // MARK: - Repeats

    /// The whole life of a circuit said again, handshakes included: nothing comes twice, and nobody keeps anything of it.
    @Test(arguments: 1...3) func nothingOfItsLifeCanBeReplayed(seed: Int) throws {
        let (scenario, number, hosts) = try ready(seed: UInt64(60 + seed))
        for number in 0..<100 {
            scenario.network.sendInner(there(number), from: hosts[0])
            scenario.network.sendInner(back(number), from: hosts[3])
            scenario.network.run(for: .milliseconds(20))
        }
        scenario.network.run(for: .seconds(40))
        let life = scenario.network.capture.map(\.datagram)
        #expect(life.count > 1000)
        scenario.network.isCapturing = false
        let before = hosts.map(\.footprint)
        let delivered = hosts.map(\.delivered)
        let guests = hosts.map(\.guests)
        for datagram in life {
            scenario.network.inject(datagram)
            scenario.network.run(for: .milliseconds(1))
        }
        #expect(hosts.map(\.delivered) == delivered)
        #expect(hosts.map(\.guests) == guests)
        #expect(scenario.isReady(number) && scenario.client.circuitFailures.isEmpty, "\(scenario.describe())")
        #expect(scenario.carriesTraffic(to: 3), "\(scenario.describe())")
        // What its handshakes left is gone with its time.
        scenario.network.run(for: .seconds(60))
        #expect(hosts.map(\.footprint) == before, "\(scenario.describe())")
    }

    /// What goes one way, sent back; what goes on one link, put on the others: never believed.
    @Test(arguments: 1...2) func nothingIsBelievedWhereItDoesNotBelong(seed: Int) throws {
        let (scenario, number, hosts) = try ready(seed: UInt64(70 + seed))
        let from = scenario.network.capture.count
        for number in 0..<30 {
            scenario.network.sendInner(there(number), from: hosts[0])
            scenario.network.sendInner(back(number), from: hosts[3])
            scenario.network.run(for: .milliseconds(20))
        }
        scenario.network.run(for: .seconds(1))
        let heard = scenario.network.capture[from...].map(\.datagram)
        let links = zip(hosts, hosts.dropFirst()).flatMap { [($0, $1), ($1, $0)] }
        scenario.network.isCapturing = false
        let delivered = hosts.map(\.delivered)
        for datagram in heard {
            for (source, destination) in links
            where datagram.source != source.endpoint || datagram.destination != destination.endpoint {
                let before = hosts.map(drops)
                scenario.network.inject(
                    VirtualDatagram(
                        bytes: datagram.bytes, source: source.endpoint, destination: destination.endpoint))
                scenario.network.run(for: .milliseconds(10))
                // The vigil's own questions pass meanwhile, and are dropped by nobody.
                let dropped = zip(hosts, before).map { drops($0) - $1 }
                #expect(dropped.reduce(0, +) == 1 && dropped[hosts.firstIndex { $0 === destination }!] == 1)
            }
        }
        #expect(hosts.map(\.delivered) == delivered)
        #expect(scenario.isReady(number) && scenario.carriesTraffic(to: 3), "\(scenario.describe())")
    }

    // MARK: - Order

    /// Every link turns the order round: each packet comes, and comes once.
    @Test(arguments: 1...3) func orderIsNobodysToBreak(seed: Int) throws {
        let (scenario, number, hosts) = try ready(seed: UInt64(80 + seed))
        scenario.network.isCapturing = false
        var random = SeededRandom(seed: UInt64(seed))
        scenario.network.path = { _ in
            var conditions = LinkConditions()
            conditions.latency = .milliseconds(Int(random.next() % 200))
            return conditions
        }
        for number in 0..<1000 {
            scenario.network.sendInner(there(number), from: hosts[0])
            scenario.network.sendInner(back(number), from: hosts[3])
            if number % 50 == 0 { scenario.network.run(for: .milliseconds(5)) }
        }
        scenario.network.run(for: .seconds(2))
        scenario.network.path = nil
        #expect(Set(hosts[3].delivered) == Set((0..<1000).map(there)) && hosts[3].delivered.count == 1000)
        #expect(Set(hosts[0].delivered) == Set((0..<1000).map(back)) && hosts[0].delivered.count == 1000)
        // The last came first somewhere.
        #expect(hosts[3].delivered != (0..<1000).map(there))
        #expect(scenario.isReady(number) && scenario.carriesTraffic(to: 3, tag: 2), "\(scenario.describe())")
    }

    // MARK: - Inventions

    /// Datagrams of any bytes, with headers as good as a listener can make them, from every address that counts.
    @Test func inventionsAreNothing() throws {
        let (scenario, number, hosts) = try ready(seed: 90)
        let heard = scenario.network.capture.suffix(400).map(\.datagram).filter { $0.type?.isData == true }
        scenario.network.isCapturing = false
        var random = SeededRandom(seed: 9)
        let delivered = hosts.map(\.delivered)
        let before = hosts.map(\.footprint)
        for _ in 0..<4000 {
            let model = heard[Int(random.next() % UInt64(heard.count))]
            var bytes = random.bytes(Int(16 + random.next() % 300))
            // Version, type, length, index and a counter a little above what was heard.
            bytes.replaceSubrange(0..<8, with: model.bytes[0..<8])
            (bytes[2], bytes[3]) = (UInt8((bytes.count - 16) >> 8), UInt8((bytes.count - 16) & 255))
            let counter = model.bytes.u64(at: 8) + random.next() % 5000
            for place in 0..<8 { bytes[8 + place] = UInt8(truncatingIfNeeded: counter >> UInt64(56 - 8 * place)) }
            scenario.network.inject(
                VirtualDatagram(bytes: bytes, source: model.source, destination: model.destination))
            scenario.network.run(for: .milliseconds(1))
        }
        #expect(hosts.map(\.delivered) == delivered)
        #expect(hosts.map(\.footprint) == before, "\(scenario.describe())")
        #expect(scenario.isReady(number) && scenario.carriesTraffic(to: 3), "\(scenario.describe())")
    }

    // MARK: - Ids of others

    private func isKnown(_ place: CircuitPlace, at host: VirtualHost) -> Bool {
        host.machine.relay.isUsed(place) || host.machine.circuits.origins[place] != nil
            || host.machine.peers.values.contains { $0.ring.all.contains { $0.session.place == place } }
    }

    /// Ids mean something in the sessions with one neighbour alone: whoever uses those of other links gets nowhere, and ends
    /// nobody's circuit.
    @Test func idsOfOtherLinksMeanNothing() throws {
        let (scenario, number, hosts) = try ready(seed: 100)
        // The ids on all links: the client's, and those that relays gave out, as they put them into what they hand on.
        var ids = Set(scenario.client.circuitPlaces.map(\.id))
        for relay in scenario.relays {
            relay.tamper = { payload in
                ids.insert(payload.u32(at: 0))
                return [payload]
            }
        }
        for number in 0..<3 {
            scenario.network.sendInner(there(number), from: hosts[0])
            scenario.network.sendInner(back(number), from: hosts[3])
            scenario.network.run(for: .milliseconds(100))
        }
        for relay in scenario.relays { relay.tamper = nil }
        // Client to relay 1, relay 1 to 2, and inside that relay 2 to 3 for the client.
        #expect(ids.count == 4, "\(ids)")
        let relays = scenario.relays
        let sayers = zip(hosts, relays).flatMap { [($0, $1), ($1, $0)] }
        let datagram = [UInt8](repeating: 7, count: 100)
        var misses = 0
        for (from, to) in sayers {
            let slot = try #require(from.slot(of: to.identity.publicKeys.peerID))
            let outer = try #require(to.slot(of: from.identity.publicKeys.peerID))
            // What they mean where they belong is another test's.
            for id in ids where !isKnown(CircuitPlace(outer: outer, id: id), at: to) {
                misses += 1
                let before = drops(to)
                scenario.network.say(.end, EndMessage(id: id, reason: .closed).encoded, to: slot, from: from)
                scenario.network.say(.relay, RelayMessage.encoded(id: id, datagram: datagram), to: slot, from: from)
                scenario.network.say(
                    .extended, ExtendedMessage(id: id, outcome: .refused(.busy)).encoded, to: slot, from: from)
                scenario.network.run(for: .milliseconds(50))
                #expect(drops(to) - before == 3, "\(from.name) to \(to.name): \(id)")
            }
        }
        #expect(misses >= 12, "\(misses)")
        #expect(scenario.isReady(number) && scenario.client.circuitFailures.isEmpty, "\(scenario.describe())")
        #expect(scenario.carriesTraffic(to: 3), "\(scenario.describe())")
    }
}
