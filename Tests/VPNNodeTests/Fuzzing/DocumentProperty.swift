// SPDX-License-Identifier: Apache-2.0
// The files that a node writes itself, and reads as if they were somebody else's: what is understood means the same when it is
// written and read again, and what is refused is refused in a sentence.
import VPNCore
import VPNCrypto
import VPNTesting

@testable import VPNNode

enum DocumentProperty {
    /// The same in every run, so that a finding comes again.
    private static let identities = (0..<2).map { number in
        func seed(_ count: Int, _ last: UInt8) -> Secret {
            Secret(copying: [0] + [UInt8](repeating: UInt8(number + 1), count: count - 2) + [last])
        }
        do {
            return try SoftwareIdentity(
                brainpoolScalar: seed(64, 1), ed25519Seed: seed(32, 2), mldsaSeed: seed(32, 3), mlkemSeed: seed(64, 4))
        } catch { preconditionFailure("\(error)") }
    }

    private static let pins = identities.enumerated().map { number, identity in
        PinnedPeer(
            keys: identity.publicKeys, name: "node\(number)", origin: number == 0 ? .operatorAdded : .firstUse,
            endpoint: number == 0 ? "" : "192.0.2.1:9000", allowsPartial: number == 1, rotationSerial: UInt64(number))
    }

    private static func made<Value>(_ make: () throws -> Value) -> Value {
        do { return try make() } catch { preconditionFailure("\(error)") }
    }

    private static let knownPeers = KnownPeersDocument.text(of: pins)
    private static let revocations = RevocationDocument.text(of: [
        RevokedIdentity(peerID: pins[0].peerID, statement: nil),
        RevokedIdentity(
            peerID: pins[1].peerID, statement: made { try RevocationStatement.make(signer: identities[1], serial: 5) }),
    ])
    private static let relays = RelaysDocument.text(
        of: identities.enumerated().map { number, identity in
            KeptRelay(
                descriptor: made {
                    try Descriptor.make(
                        signer: identity, nickname: "r\(number)", addresses: ["192.0.2.1:9000"], roles: 1, notBefore: 0,
                        notAfter: 1 << 40, serial: 1)
                }, source: number == 0 ? .imported : .relay(pins[0].peerID))
        })
    private static let invitations: String = {
        var document = InvitationDocument()
        document.invitations = [
            InvitationRecord(
                id: 7, name: "guest", key: [UInt8](repeating: 9, count: 32), created: 1, expires: 2, uses: 3,
                isRevoked: false)
        ]
        document.guests = [
            GuestRecord(
                peerID: pins[0].peerID, name: "guest-1", invitation: 7,
                addresses: ["10.66.0.2/24", "fd66::2/64"].map { text in made { try InterfaceAddress(text) } }, since: 4)
        ]
        return document.text
    }()
    private static let guards = GuardFile.text(
        of: GuardList([GuardList.Guard(id: pins[0].peerID, added: 1, expires: 2)]))

    static func checkKnownPeers(_ input: inout FuzzInput) throws {
        try look(knownPeers, &input) { text in
            let pins = try KnownPeersDocument.decode(text, path: "k")
            let again = KnownPeersDocument.text(of: pins)
            let sorted = try KnownPeersDocument.decode(again, path: "k")
            try same(sorted.map(\.peerID.hex).sorted(), pins.map(\.peerID.hex).sorted(), text)
            try same(KnownPeersDocument.text(of: sorted), again, text)
        }
    }

    static func check(_ input: inout FuzzInput) throws {
        switch input.byte() & 3 {
        case 0:
            try look(revocations, &input) { text in
                let entries = try RevocationDocument.decode(text, path: "r").sorted { $0.peerID < $1.peerID }
                let again = RevocationDocument.text(of: entries)
                try same(try RevocationDocument.decode(again, path: "r"), entries, text)
            }
        case 1:
            try look(relays, &input) { text in
                let entries = try RelaysDocument.decode(text, path: "r").sorted { $0.id < $1.id }
                try same(try RelaysDocument.decode(RelaysDocument.text(of: entries), path: "r"), entries, text)
            }
        case 2:
            try look(invitations, &input) { text in
                let document = try InvitationDocument(decoding: text, path: "i")
                try same(try InvitationDocument(decoding: document.text, path: "i"), document, text)
            }
        default:
            let file = GuardFile(path: "g")
            try look(guards, &input) { text in
                let again = GuardFile.text(of: try file.decode(text))
                try same(GuardFile.text(of: try file.decode(again)), again, text)
            }
        }
    }

    /// The original with some lines changed, under a checksum that holds for it more often than not.
    private static func look(_ original: String, _ input: inout FuzzInput, _ read: (String) throws -> Void) throws {
        let kind = input.byte()
        var text = original
        if kind & 3 == 3 {
            text = String(decoding: input.rest(upTo: 400), as: UTF8.self)
        } else {
            // Without its checksum and its end.
            let body = TextEdits.lines(of: original).filter { !$0.isEmpty }.dropLast(2).joined(separator: "\n")
            text = TextEdits.apply(body, &input)
            if kind & 4 == 0 { text = ChecksummedText.finish([text]) } else { text += "\n...\n" }
        }
        do { try read(text) } catch let failure as NodeFailure {
            try FuzzFinding.unless(!failure.message.isEmpty, "a refusal without a word: \(text)")
        }
    }

    private static func same<Value: Equatable>(_ a: Value, _ b: Value, _ text: String) throws {
        try FuzzFinding.unless(a == b, "means another when it is written again: \(text)")
    }
}
