// SPDX-License-Identifier: Apache-2.0
// The file of invitations: counted once whoever counts, closed for good, and refused where it is not exactly right.
import Foundation
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

@Suite struct InvitationStoreTests {
    private static let now: UInt64 = 1_800_000_000
    private static let own = [try! InterfaceAddress("10.77.0.1/24"), try! InterfaceAddress("fd77::1/64")]

    private static func id(_ number: UInt8) -> PeerID { PeerID(bytes: [UInt8](repeating: number, count: 32))! }

    private static func redeem(
        _ store: InvitationStore, _ id: UInt32, _ guest: UInt8, peers: [NodeConfiguration.Peer] = [],
        names: Set<String> = [], at now: UInt64 = now
    ) throws -> GuestRecord {
        try store.redeem(id, by: Self.id(guest), own: own, peers: peers, pinnedNames: names, now: now)
    }

    private static func refusal(_ body: () throws -> Void) -> InvitationRefusal? {
        do {
            try body()
            return nil
        } catch { return error as? InvitationRefusal }
    }

    @Test func aUseIsCountedOnceAndLasts() throws {
        let scratch = try Scratch()
        let store = try InvitationStore(path: scratch.file("invites.yaml"))
        let (record, token) = try store.create(name: "anna", seconds: 3600, uses: 2, now: Self.now)
        #expect(token.count == 16 && record.expires == Self.now + 3600)
        let first = try Self.redeem(store, record.id, 1)
        #expect(first.name == "anna" && first.addresses.map { "\($0)" } == ["10.77.0.2/24", "fd77::2/64"])
        #expect(try Self.redeem(store, record.id, 1) == first, "the same identity may repeat itself")
        // Another process, or this one after a restart.
        let second = try InvitationStore(path: store.path)
        #expect(try Self.redeem(second, record.id, 1) == first)
        let other = try Self.redeem(second, record.id, 2, names: ["anna-2"])
        #expect(other.name == "anna-3" && other.addresses.map { "\($0)" } == ["10.77.0.3/24", "fd77::3/64"])
        #expect(Self.refusal { _ = try Self.redeem(store, record.id, 3) } == .used)
        #expect(try InvitationStore(path: store.path).document.guests.count == 2)
    }

    @Test func closedInvitationsServeNobody() throws {
        let scratch = try Scratch()
        let store = try InvitationStore(path: scratch.file("invites.yaml"))
        let (record, _) = try store.create(name: "a", seconds: 60, uses: 9, now: Self.now)
        _ = try Self.redeem(store, record.id, 1, at: Self.now + 59)
        #expect(Self.refusal { _ = try Self.redeem(store, record.id, 2, at: Self.now + 60) } == .expired)
        #expect(Self.refusal { _ = try Self.redeem(store, record.id, 1, at: Self.now + 60) } == .expired)
        #expect(Self.refusal { _ = try Self.redeem(store, record.id ^ 1, 2) } == .unknown)
        #expect(try store.revoke(InvitationID(record.id)))
        #expect(try !store.revoke(InvitationID(record.id)))
        #expect(Self.refusal { _ = try Self.redeem(store, record.id, 1) } == .revoked)
        #expect(failure { _ = try store.revoke(InvitationID(record.id ^ 1)) }?.status == .usage)
        // Forgotten in the end, unless somebody came by it.
        let (unused, _) = try store.create(name: "b", seconds: 60, uses: 1, now: Self.now)
        _ = try store.create(name: "c", seconds: 60, uses: 1, now: Self.now + 60 + InvitationStore.keptSeconds)
        let left = store.document.invitations.map(\.id)
        #expect(left.contains(record.id) && !left.contains(unused.id))
    }

    /// A clock that went back would make every invitation good for longer, those that are over among them.
    @Test func aClockThatWentBackServesNobody() throws {
        let scratch = try Scratch()
        let store = try InvitationStore(path: scratch.file("invites.yaml"))
        let (record, _) = try store.create(name: "a", seconds: 3600, uses: 2, now: Self.now)
        #expect(Self.refusal { _ = try Self.redeem(store, record.id, 1, at: Self.now - 86_400) } == .expired)
        #expect(Self.refusal { _ = try Self.redeem(store, record.id, 1, at: Self.now - 301) } == .expired)
        let clock = Instant(nanoseconds: 5_000_000_000)
        #expect(store.invitations(now: Self.now - 86_400, clock: clock).map(\.expires) == [clock])
        let listed = InvitesReport(store, action: "list", now: Self.now - 86_400)
        #expect(listed.invites.map(\.state) == ["expired"] && listed.text.contains("clock says is to come"))
        #expect(try JSONSchema("invites").faults(in: listed.json) == [])
        #expect(!InvitesReport(store, action: "list", now: Self.now).text.contains("to come"))
        _ = try Self.redeem(store, record.id, 1, at: Self.now - 300)
    }

    @Test func aLostFileKeepsItsGuests() throws {
        let scratch = try Scratch()
        let store = try InvitationStore(path: scratch.file("invites.yaml"))
        let (record, _) = try store.create(name: "a", seconds: 3600, uses: 2, now: Self.now)
        let guest = try Self.redeem(store, record.id, 1)
        try FileManager.default.removeItem(atPath: store.path)
        #expect(failure { try store.reread() }?.message.contains("is gone") == true)
        #expect(failure { _ = try Self.redeem(store, record.id, 2) }?.message.contains("is gone") == true)
        #expect(store.guests == [guest] && !scratch.names.contains("invites.yaml"))
    }

    @Test func onlyPrivateNetworksAreGivenToGuests() throws {
        func complaint(_ texts: String...) throws -> String? {
            InnerAddressPlan.complaint(about: try texts.map { try InterfaceAddress($0) })
        }
        for good in [
            "10.77.0.2/24", "10.0.0.2/8", "172.31.0.2/16", "192.168.1.2/24", "100.64.0.2/10", "fd77::2/64",
            "fd00::2/32",
        ] { #expect(try complaint(good) == nil, "\(good)") }
        for bad in [
            "1.2.3.4/0", "8.8.8.200/24", "10.1.1.1/7", "172.32.0.2/16", "192.168.0.1/15", "100.128.0.1/16",
            "169.254.0.2/16", "203.0.113.2/24", "::2/0", "2001:db8::2/64", "fe80::2/64", "fd00::2/31",
        ] { #expect(try complaint(bad) != nil, "\(bad)") }
        #expect(try complaint("10.1.0.2/24", "10.2.0.2/24", "10.3.0.2/24", "fd77::2/64") == nil)
        #expect(
            try complaint("10.1.0.2/24", "10.2.0.2/24", "10.3.0.2/24", "10.4.0.2/24", "fd77::2/64")?
                .contains("more than 4") == true)
    }

    @Test func whoIsAPeerAlreadyNeedsNoInvitation() throws {
        let scratch = try Scratch()
        let store = try InvitationStore(path: scratch.file("invites.yaml"))
        let (record, _) = try store.create(name: "anna", seconds: 3600, uses: 9, now: Self.now)
        let (second, _) = try store.create(name: "anna", seconds: 3600, uses: 9, now: Self.now)
        let bob = NodeConfiguration.Peer(
            GuestRecord(
                peerID: Self.id(7), name: "anna", invitation: 1, addresses: [try InterfaceAddress("10.77.0.2/24")],
                since: 0))
        #expect(Self.refusal { _ = try Self.redeem(store, record.id, 7, peers: [bob]) } == .alreadyPeer)
        let guest = try Self.redeem(store, record.id, 1, peers: [bob])
        #expect(
            guest.name == "anna-2" && "\(guest.addresses[0])" == "10.77.0.3/24", "neither name nor address of a peer")
        #expect(Self.refusal { _ = try Self.redeem(store, second.id, 1) } == .alreadyPeer)
        let full = try InterfaceAddress("10.9.0.1/30")
        _ = try store.redeem(record.id, by: Self.id(2), own: [full], peers: [], pinnedNames: [], now: Self.now)
        #expect(
            Self.refusal {
                _ = try store.redeem(record.id, by: Self.id(3), own: [full], peers: [], pinnedNames: [], now: Self.now)
            } == .noAddress)
        #expect(store.document.guests.count == 2)
    }

    /// Many writers, each with the file of its own process: exactly as many uses as there are.
    @Test func concurrentUsesAreCountedOnce() async throws {
        let scratch = try Scratch()
        let path = scratch.file("invites.yaml")
        let (record, _) = try InvitationStore(path: path).create(name: "x", seconds: 3600, uses: 5, now: Self.now)
        let wins = await withTaskGroup(of: Bool.self) { group in
            for number in 1...24 {
                group.addTask {
                    guard let store = try? InvitationStore(path: path) else { return false }
                    return (try? Self.redeem(store, record.id, UInt8(number))) != nil
                }
            }
            return await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
        }
        #expect(wins == 5)
        let guests = try InvitationStore(path: path).document.guests
        #expect(
            guests.count == 5 && Set(guests.flatMap(\.allowedIPs)).count == 10 && Set(guests.map(\.name)).count == 5)
    }

    @Test func theTokenIsNowhereAndTheFileIsItsOwners() throws {
        let scratch = try Scratch()
        let store = try InvitationStore(path: scratch.file("invites.yaml"))
        let (_, token) = try store.create(name: "a", seconds: 3600, uses: 1, now: Self.now)
        let attributes = try FileManager.default.attributesOfItem(atPath: store.path)
        #expect(attributes[.posixPermissions] as? Int == 0o600)
        for name in scratch.names {
            let text = try scratch.read(name)
            #expect(!text.contains(token.hex) && !text.contains(Data(token).base64EncodedString()))
        }
        for mode in [0o640, 0o604, 0o666] {
            try scratch.setMode(mode, of: "invites.yaml")
            #expect(failure { _ = try InvitationStore(path: store.path) }?.status == .permission)
        }
        try scratch.setMode(0o600, of: "invites.yaml")
        try scratch.link("linked.yaml", to: store.path)
        #expect(failure { _ = try InvitationStore(path: scratch.file("linked.yaml")) }?.status == .permission)
    }

    @Test func everySpoiltByteIsNoticedAndNothingIsLost() throws {
        let scratch = try Scratch()
        let store = try InvitationStore(path: scratch.file("invites.yaml"))
        let (record, _) = try store.create(name: "ann a", seconds: 3600, uses: 3, now: Self.now)
        _ = try Self.redeem(store, record.id, 1)
        let text = try scratch.read("invites.yaml")
        let document = try InvitationDocument(decoding: text, path: "x")
        #expect(document == store.document && document.text == text)
        let bytes = Array(text.utf8)
        for place in bytes.indices {
            var spoilt = bytes
            spoilt[place] ^= 1
            guard let changed = String(validating: spoilt, as: UTF8.self) else { continue }
            #expect(throws: NodeFailure.self, "byte \(place)") { try InvitationDocument(decoding: changed, path: "x") }
        }
        for count in 0..<bytes.count {
            let cut = String(decoding: bytes.prefix(count), as: UTF8.self)
            #expect(throws: NodeFailure.self, "\(count)") { try InvitationDocument(decoding: cut, path: "x") }
        }
        try scratch.write(String(text.dropLast(10)), to: "invites.yaml")
        #expect(throws: NodeFailure.self) { try Self.redeem(store, record.id, 2) }
        #expect(try scratch.read("invites.yaml") == String(text.dropLast(10)), "what is damaged is not overwritten")
        #expect(store.document == document)
    }

    @Test func guestsArePeersOfTheConfiguration() throws {
        let scratch = try Scratch()
        let store = try InvitationStore(path: scratch.file("invites.yaml"))
        let (record, _) = try store.create(name: "anna", seconds: 3600, uses: 9, now: Self.now)
        for guest in 1...3 as ClosedRange<UInt8> { _ = try Self.redeem(store, record.id, guest) }
        try scratch.write(
            """
            peers:
              - { name: anna-2, peer_id: "\(Self.id(9).hex)", allowed_ips: [10.1.0.0/16] }
              - { name: x, peer_id: "\(Self.id(8).hex)", allowed_ips: [10.77.0.4/32] }

            """, to: "config.yaml")
        var configuration = try LoadedConfiguration(file: scratch.file("config.yaml")).configuration
        // The file goes before: its name and its network are its own.
        #expect(configuration.peers.map(\.name) == ["anna-2", "x", "anna"])
        #expect(configuration.peers[2].peerID == Self.id(1) && configuration.peers[2].invitation != nil)
        #expect(configuration.peers[2].allowedIPs.map { "\($0)" } == ["10.77.0.2/32", "fd77::2/128"])
        configuration.dropUnpinnedGuests([])
        #expect(configuration.peers.map(\.name) == ["anna-2", "x"], "a guest without a pin is no peer")
        let shown = try ConfigurationReport.show(file: scratch.file("config.yaml")).values.first { $0.key == "peers" }
        #expect(shown?.value.contains(Self.id(1).hex) == true)
        try scratch.write("nonsense", to: "invites.yaml")
        #expect(
            failure { _ = try LoadedConfiguration(file: scratch.file("config.yaml")) }?.message.contains("truncated")
                == true)
    }
}
