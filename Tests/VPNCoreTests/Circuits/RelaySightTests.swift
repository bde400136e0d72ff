// SPDX-License-Identifier: Apache-2.0
// What the nodes of a circuit get to see (§8): all bytes that pass them, opened as far as they can, and all that they keep.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct RelaySightTests {
    private static let text = Array("in clear for nobody but the exit, ".utf8)

    /// A circuit's whole life: built, used, replaced, used and closed. What each relay handed on, opened, is in `payloads`.
    private struct Life {
        let scenario: CircuitScenario
        var payloads: [[[UInt8]]] = [[], [], []]
        /// Before it was closed: afterwards they have forgotten it.
        var findings: [Set<String>] = []
    }

    private func life(seed: UInt64) throws -> Life {
        let scenario = CircuitScenario(seed: seed, relays: 3)
        var life = Life(scenario: scenario)
        var payloads = life.payloads
        for (place, relay) in scenario.relays.enumerated() {
            relay.tamper = { payload in
                payloads[place].append(payload)
                return [payload]
            }
        }
        let number = try scenario.connect([1, 2, 3])
        try #require(scenario.isReady(number), "\(scenario.describe())")
        func talk(_ rounds: Int) {
            for round in 0..<rounds {
                for (from, to, host) in [
                    (0x0A4D_0001, 0x0A63_0009, scenario.client), (0x0A63_0009, 0x0A4D_0001, scenario.relays[2]),
                ] as [(UInt32, UInt32, VirtualHost)] {
                    var packet = CircuitScenario.packet(from: from, to: to, tag: UInt8(round), count: 300)
                    packet.replaceSubrange(100..<100 + Self.text.count, with: Self.text)
                    scenario.network.sendInner(packet, from: host)
                }
                scenario.network.run(for: .milliseconds(50))
            }
        }
        talk(20)
        #expect(scenario.network.replaceCircuit(number, at: scenario.client))
        talk(40)
        scenario.network.run(for: .seconds(20))
        #expect(scenario.relays[2].delivered.count == 60 && scenario.client.delivered.count == 60)
        life.findings = scenario.relays.map { findings(in: $0, of: scenario.client) }
        #expect(scenario.network.closeCircuit(number, at: scenario.client))
        scenario.network.run(for: .seconds(3))
        life.payloads = payloads
        return life
    }

    // MARK: - Links

    /// Pieces of nine bytes in what was sent between two nodes.
    private func pieces(_ life: Life, _ a: VirtualHost, _ b: VirtualHost) -> Set<[UInt8]> {
        var pieces: Set<[UInt8]> = []
        for datagram in life.scenario.link(a, b) {
            var bytes = datagram.bytes[...]
            // Whoever makes a session with whomever: version, type and length, zeros where nothing is known yet, the offers. No
            // more of a circuit than that there are such handshakes on both links.
            if datagram.type?.isData != true { bytes = bytes.dropFirst(16) }
            for start in bytes.indices.dropLast(8) { pieces.insert(Array(bytes[start..<start + 9])) }
        }
        return pieces
    }

    @Test(arguments: 1...3 as ClosedRange<UInt64>) func noTwoLinksShareNineBytes(seed: UInt64) throws {
        let life = try life(seed: seed)
        let hosts = [life.scenario.client] + life.scenario.relays
        let links = zip(hosts, hosts.dropFirst()).map { pieces(life, $0, $1) }
        #expect(links.allSatisfy { $0.count > 50_000 })
        for (place, link) in links.enumerated() {
            for other in links[(place + 1)...] {
                let shared = link.intersection(other)
                #expect(shared.isEmpty, "\(shared.first ?? [])")
            }
        }
        // Nor is there anything of the packets on any of them.
        let clear = Set((0..<Self.text.count - 8).map { Array(Self.text[$0..<$0 + 9]) })
        #expect(links.allSatisfy { $0.isDisjoint(with: clear) })
    }

    // MARK: - Relays

    /// Every piece of nine bytes of what names the client: its peer_id, its four keys.
    private func names(_ client: VirtualHost) -> Set<[UInt8]> {
        let keys = client.identity.publicKeys
        var pieces: Set<[UInt8]> = []
        for name in [keys.peerID.bytes, keys.encoded] {
            for start in 0..<name.count - 8 { pieces.insert(Array(name[start..<start + 9])) }
        }
        return pieces
    }

    private func has(_ bytes: [UInt8], _ pieces: Set<[UInt8]>) -> Bool {
        bytes.count > 8 && (0..<bytes.count - 8).contains { pieces.contains(Array(bytes[$0..<$0 + 9])) }
    }

    /// What passes the relays behind the first, as it is on the wire and with their layer taken off.
    @Test func nothingThatPassesNamesTheClient() throws {
        let life = try life(seed: 4)
        let (client, relays) = (life.scenario.client, life.scenario.relays)
        let names = names(client)
        let address =
            client.endpoint.address.bytes + [UInt8(client.endpoint.port >> 8), UInt8(client.endpoint.port & 255)]
        let inner: [[UInt8]] = [[10, 77, 0, 1, 10, 99, 0, 9], [10, 99, 0, 9, 10, 77, 0, 1]]
        func contains(_ bytes: [UInt8], _ piece: [UInt8]) -> Bool {
            bytes.count >= piece.count
                && (0...bytes.count - piece.count).contains { bytes[$0..<$0 + piece.count].elementsEqual(piece) }
        }
        #expect(life.payloads[0].count > 200 && life.payloads[1].count > 100)
        var seen = life.payloads[0] + life.payloads[1]
        seen +=
            life.scenario.link(relays[0], relays[1]).map(\.bytes)
            + life.scenario.link(relays[1], relays[2]).map(\.bytes)
        for bytes in seen {
            #expect(!has(bytes, names) && !contains(bytes, address))
            #expect(!contains(bytes, Self.text) && !inner.contains { contains(bytes, $0) })
        }
        // No datagram goes between the client and any but the first.
        #expect(relays.dropFirst().allSatisfy { life.scenario.link(client, $0).isEmpty })
    }

    /// All that the relays behind the first know, field by field; the first knows both, so that the search finds what is there.
    @Test func nothingThatIsKeptNamesTheClient() throws {
        let life = try life(seed: 5)
        #expect(life.findings[0].isSuperset(of: ["peer_id", "endpoint", "keys"]), "\(life.findings[0])")
        #expect(life.findings[1].isEmpty && life.findings[2].isEmpty, "\(life.findings)")
    }

    /// What of the client is in the tables and in the log of a host.
    private func findings(in host: VirtualHost, of client: VirtualHost) -> Set<String> {
        let keys = client.identity.publicKeys
        var search = Search(
            id: keys.peerID, names: names(client), endpoint: client.endpoint,
            texts: [keys.peerID.hex, keys.peerID.short, "10.0.0.1", client.name])
        for part in [
            host.machine.peers, host.machine.slotsByIdentity, host.machine.relay, host.machine.circuits,
            host.machine.directory, host.machine.guards, host.machine.directoryTraffic, host.machine.touched,
            host.machine.inbound, host.machine.rate, host.machine.history, host.machine.indices, host.machine.jobs,
            host.machine.strangers, host.machine.trust, host.machine.invitations, host.machine.cookies,
            host.plane, host.events,
        ] as [Any] {
            search.look(at: part)
        }
        // A search of nothing would find nothing.
        #expect(search.looked > 500)
        return search.found
    }

    private struct Search {
        let id: PeerID
        let names: Set<[UInt8]>
        let endpoint: Endpoint
        let texts: [String]
        var found: Set<String> = []
        var looked = 0
        private var seen: Set<ObjectIdentifier> = []

        init(id: PeerID, names: Set<[UInt8]>, endpoint: Endpoint, texts: [String]) {
            (self.id, self.names, self.endpoint, self.texts) = (id, names, endpoint, texts)
        }

        mutating func look(at value: Any) {
            looked += 1
            switch value {
            case let value as PeerID: if value == id { found.insert("peer_id") }
            case let value as Endpoint:
                if value.high == endpoint.high, value.low == endpoint.low { found.insert("endpoint") }
            case let value as IPAddress: if value == endpoint.address { found.insert("address") }
            case let value as IdentityPublicKeys: look(in: value.encoded)
            case let value as [UInt8]: look(in: value)
            case let value as String: if texts.contains(where: value.contains) { found.insert("text") }
            case is [UInt64], is [UInt32], is Int, is UInt64, is UInt32, is UInt8, is Bool: break
            default: lookInside(value)
            }
        }

        private mutating func look(in bytes: [UInt8]) {
            guard bytes.count > 8 else { return }
            let isThere = (0..<bytes.count - 8).contains { names.contains(Array(bytes[$0..<$0 + 9])) }
            if isThere { found.insert("keys") }
        }

        private mutating func lookInside(_ value: Any) {
            let mirror = Mirror(reflecting: value)
            if mirror.displayStyle == .class, !seen.insert(ObjectIdentifier(value as AnyObject)).inserted { return }
            var next: Mirror? = mirror
            while let part = next {
                for child in part.children { look(at: child.value) }
                next = part.superclassMirror
            }
        }
    }
}
