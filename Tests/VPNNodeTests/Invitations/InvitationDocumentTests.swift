// SPDX-License-Identifier: Apache-2.0
// invites.yaml under a checksum that holds: each field that is none is named, and the limits of what a store makes.
import Foundation
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

@Suite struct InvitationDocumentTests {
    private static let now: UInt64 = 1_800_000_000
    private static let key = String(repeating: "ab", count: 32)
    private static let id = String(repeating: "07", count: 32)
    private static let invitation = """
          - id: "00000007"
            name: "anna"
            key: "\(key)"
            created: 1
            expires: 2
            uses: 3
            revoked: false

        """
    private static let guest = """
          - peer_id: "\(id)"
            name: "anna"
            invitation: "00000007"
            addresses: ["10.77.0.2/24"]
            since: 4
        """
    private static let good = "version: 2\ninvitations:\n\(invitation)guests:\n\(guest)"

    private func read(_ body: String) throws -> InvitationDocument {
        try InvitationDocument(decoding: ChecksummedText.finish([body]), path: "i")
    }

    @Test func eachFieldThatIsNoneIsNamed() throws {
        let document = try read(Self.good)
        #expect(document.invitations.map(\.id) == [7] && document.guests.map(\.name) == ["anna"])
        let nine = (1...9).map { "\"10.\($0).0.2/24\"" }.joined(separator: ", ")
        let cases: [(old: String, new: String, words: String)] = [
            ("version: 2", "version: 1", "version is not 2"),
            ("invitations:\n", "invitees:\n", "there are no lists"),
            ("guests:\n", "guest:\n", "there are no lists"),
            ("- id: \"00000007\"", "- id: \"7\"", "id is none of eight digits"),
            ("- id: \"00000007\"", "- id: \"80000000\"", "id is none of eight digits"),
            ("- id: \"00000007\"", "- id: \"00000000\"", "id is none of eight digits"),
            ("name: \"anna\"\n    key", "name: \"\"\n    key", "name is no name"),
            ("name: \"anna\"\n    key", "name: \"\(String(repeating: "n", count: 64))\"\n    key", "name is no name"),
            ("name: \"anna\"\n    key", "name: \"a\\u202eb\"\n    key", "name is no name"),
            ("key: \"ab", "key: \"", "key is not 32 bytes"), ("key: \"ab", "key: \"zz", "key is not 32 bytes"),
            ("created: 1", "created: -1", "created is no number"),
            ("expires: 2", "expires: 18446744073709551616", "expires is no number"),
            ("uses: 3", "uses: many", "uses is no number"), ("uses: 3", "used: 3", "uses is missing"),
            ("revoked: false", "revoked: no", "revoked is neither true nor false"),
            ("peer_id: \"07", "peer_id: \"", "peer_id is not 64"),
            ("invitation: \"00000007\"", "invitation: \"x\"", "invitation is none of eight digits"),
            ("[\"10.77.0.2/24\"]", "\"10.77.0.2/24\"", "addresses is no list of addresses"),
            ("[\"10.77.0.2/24\"]", "[\(nine)]", "addresses is no list of addresses"),
            ("[\"10.77.0.2/24\"]", "[\"10.77.0.256/24\"]", "addresses has what is no address"),
            ("[\"10.77.0.2/24\"]", "[[]]", "addresses has what is no address"),
            ("since: 4", "since: 0x4", "since is no number"),
            ("guests:\n", "\(Self.invitation)guests:\n", "an id stands more than once"),
            ("since: 4", "since: 4\n\(Self.guest)", "a guest stands more than once"),
            // Another identity by the same name.
            (
                "since: 4", "since: 4\n" + Self.guest.replacing("\"07", with: "\"08"),
                "a guest stands more than once"
            ),
            ("guests:\n", "guests:\n  - x\n", "peer_id is missing"),
        ]
        for (old, new, words) in cases {
            let changed = Self.good.replacing(old, with: new, maxReplacements: 1)
            #expect(changed != Self.good, "\(old)")
            let refused = failure(of: { _ = try read(changed) })
            #expect(refused?.message.contains(words) == true, "\(new): \(refused?.message ?? "read")")
            #expect(refused?.message.hasPrefix("invitations i") == true && refused?.status == .usage)
        }
        // Two guests are two, where neither id nor name is the same.
        let other = Self.guest.replacing("\"07", with: "\"08").replacing("anna", with: "anna-2")
        #expect(try read(Self.good + "\n" + other).guests.count == 2)
    }

    @Test func thereAreSoManyInvitationsAndNoMore() throws {
        let scratch = try Scratch()
        var document = InvitationDocument()
        document.invitations = (1...UInt32(InvitationStore.mostInvitations)).map { number in
            InvitationRecord(
                id: number, name: "a", key: [UInt8](repeating: 9, count: 32), created: Self.now,
                expires: Self.now + 60, uses: 1, isRevoked: false)
        }
        try scratch.write(document.text, to: "invites.yaml")
        let store = try InvitationStore(path: scratch.file("invites.yaml"))
        let full = failure { _ = try store.create(name: "b", seconds: 60, uses: 1, now: Self.now) }
        #expect(full?.message.contains("has 4096 invitations already") == true, "\(full?.message ?? "made")")
        #expect(store.document == document)
        #expect(try scratch.read("invites.yaml") == document.text)
        // Those that are over and brought nobody make room.
        let late = Self.now + 60 + InvitationStore.keptSeconds
        let (record, _) = try store.create(name: "b", seconds: 60, uses: 1, now: late)
        #expect(store.document.invitations.map(\.id) == [record.id])
    }

    /// A number behind a name that is as long as names are takes characters off its end, and whole ones.
    @Test func guestsOfOneLongNameAreToldApart() throws {
        let scratch = try Scratch()
        let store = try InvitationStore(path: scratch.file("invites.yaml"))
        let name = String(repeating: "\u{E9}", count: 31)
        let (record, _) = try store.create(name: name, seconds: 3600, uses: 12, now: Self.now)
        let own = [try InterfaceAddress("10.77.0.1/24")]
        var names: [String] = []
        for number in 1...12 as ClosedRange<UInt8> {
            let guest = try #require(PeerID(bytes: [UInt8](repeating: number, count: PeerID.size)))
            names.append(
                try store.redeem(record.id, by: guest, own: own, peers: [], pinnedNames: [], now: Self.now).name)
        }
        #expect(names.first == name && Set(names).count == 12)
        #expect(names.allSatisfy { $0.utf8.count <= 63 && $0.hasPrefix(String(repeating: "\u{E9}", count: 30)) })
        #expect(names.last?.hasSuffix("-12") == true)
        #expect(try InvitationStore(path: store.path).guests.map(\.name) == names)
    }

    /// A guest has an address of each network, or none at all: another one does not make up for the one that is full.
    @Test func aFullNetworkAmongSeveralRefuses() throws {
        let scratch = try Scratch()
        let store = try InvitationStore(path: scratch.file("invites.yaml"))
        let (record, _) = try store.create(name: "a", seconds: 3600, uses: 9, now: Self.now)
        let own = [try InterfaceAddress("10.77.0.1/30"), try InterfaceAddress("fd77::1/64")]
        func redeem(_ number: UInt8) throws -> GuestRecord {
            let guest = try #require(PeerID(bytes: [UInt8](repeating: number, count: PeerID.size)))
            return try store.redeem(record.id, by: guest, own: own, peers: [], pinnedNames: [], now: Self.now)
        }
        #expect(try redeem(1).addresses.map { "\($0)" } == ["10.77.0.2/30", "fd77::2/64"])
        #expect(throws: InvitationRefusal.noAddress) { try redeem(2) }
        #expect(store.guests.count == 1)
        // Who is one already is found, whatever is free.
        #expect(try redeem(1) == store.guests.first)
    }
}
