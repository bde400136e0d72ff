// SPDX-License-Identifier: Apache-2.0
// An invitation as one link: where the inviter is, who it must be, and the token. Whoever has the link can join with it, so it
// travels as a password does. What the token becomes on the wire is VPNCore's.
internal import Foundation
internal import VPNCore
internal import VPNCrypto

/// `pqvpn://join/` and the base64url of
/// `version 1 │ length 1 │ peer_id 32 │ token 16 │ port 2 │ host kind 1 (4, 6, or 0 for a name) │ host │ checksum 4`,
/// where the length is that of all these bytes, and the checksum is the start of SHA-256 over what is before it.
struct InvitationLink: Equatable {
    static let prefix = "pqvpn://join/"
    static let version: UInt8 = 1
    private static let checksumSize = 4
    private static let fixedSize = 2 + 32 + Invitation.tokenSize + 3 + checksumSize
    /// The longest of any version: what is longer is none.
    private static let longest = 1024

    let endpoint: EndpointName
    let peerID: PeerID
    let token: [UInt8]

    init(endpoint: EndpointName, peerID: PeerID, token: [UInt8]) {
        precondition(token.count == Invitation.tokenSize, "token size")
        self.endpoint = endpoint
        self.peerID = peerID
        self.token = token
    }

    var text: String {
        let (kind, host): (UInt8, [UInt8]) =
            switch endpoint.host {
            case .address(let address): (address.family.rawValue, address.bytes)
            case .name(let name): (0, Array(name.utf8))
            }
        // A name has 253 bytes at most, but the length is one byte.
        var bytes = [InvitationLink.version, UInt8(truncatingIfNeeded: InvitationLink.fixedSize + host.count)]
        bytes += peerID.bytes + token
        bytes += [UInt8(endpoint.port >> 8), UInt8(endpoint.port & 0xFF), kind] + host
        bytes += InvitationLink.checksum(bytes)
        return InvitationLink.prefix + InvitationLink.base64URL(bytes)
    }

    /// Whether a host's name is short enough for a link.
    static func holds(_ endpoint: EndpointName) -> Bool {
        guard case .name(let name) = endpoint.host else { return true }
        return fixedSize + name.utf8.count <= 255
    }

    private static func checksum(_ bytes: [UInt8]) -> [UInt8] { Array(Hash.sha256(bytes).prefix(checksumSize)) }

    private static func base64URL(_ bytes: [UInt8]) -> String {
        Data(bytes).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
    }

    // MARK: Reading

    /// Reads a link; blanks and line breaks, as mail programs put into long words, do not count. Refusals have status 2 and
    /// never repeat the link, which may be good for somebody else.
    init(_ text: String) throws {
        let clean = text.filter { !$0.isWhitespace }
        guard clean.hasPrefix(InvitationLink.prefix) else {
            throw NodeFailure(
                .usage, "that is no invitation: a link begins with \(InvitationLink.prefix); copy all of it")
        }
        let code = String(clean.dropFirst(InvitationLink.prefix.count))
        let damaged = NodeFailure(
            .usage, "the link is damaged: a character of it is another one now; copy it again, or ask for a new one")
        guard code.utf8.count <= InvitationLink.longest, code.utf8.allSatisfy(InvitationLink.isDigit) else {
            throw damaged
        }
        // Bytes that are there, whatever a last lonely digit may have stood for.
        let bytes = InvitationLink.bytes(code)
        guard bytes.count > 2 else { throw InvitationLink.cut(missing: nil) }
        let isWhole =
            bytes.count > InvitationLink.checksumSize && InvitationLink.base64URL(bytes) == code
            && InvitationLink.checksum(Array(bytes.dropLast(InvitationLink.checksumSize)))
                == Array(bytes.suffix(InvitationLink.checksumSize))
        guard isWhole else {
            // Of another version nobody knows how long it is.
            let length = Int(bytes[1])
            guard bytes[0] == InvitationLink.version, bytes.count < length else { throw damaged }
            throw InvitationLink.cut(missing: (length * 4 + 2) / 3 - code.utf8.count)
        }
        guard bytes[0] == InvitationLink.version else {
            throw NodeFailure(
                .usage,
                "the link is of version \(bytes[0]), and this program knows version \(InvitationLink.version): "
                    + "use the inviter's version of pqvpn")
        }
        guard Int(bytes[1]) == bytes.count, bytes.count >= InvitationLink.fixedSize,
            let id = PeerID(bytes: Array(bytes[2..<34])),
            let host = InvitationLink.host(
                kind: bytes[52], Array(bytes[53..<bytes.count - InvitationLink.checksumSize]))
        else { throw damaged }
        let port = UInt16(bytes[50]) << 8 | UInt16(bytes[51])
        guard port > 0 else { throw damaged }
        self.init(
            endpoint: EndpointName(host: host, port: port), peerID: id, token: Array(bytes[34..<50]))
    }

    private static func cut(missing: Int?) -> NodeFailure {
        let count = missing.map { $0 > 0 ? ": \($0) characters are missing at its end" : "" } ?? ""
        return NodeFailure(.usage, "the link is cut\(count); copy all of it")
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    private static func bytes(_ code: String) -> [UInt8] {
        let whole = code.utf8.count % 4 == 1 ? String(code.dropLast()) : code
        let padding = String(repeating: "=", count: (4 - whole.utf8.count % 4) % 4)
        let base64 = whole.replacing("-", with: "+").replacing("_", with: "/") + padding
        return Data(base64Encoded: base64).map { [UInt8]($0) } ?? []
    }

    private static func host(kind: UInt8, _ bytes: [UInt8]) -> EndpointName.Host? {
        switch kind {
        case 4 where bytes.count == 4, 6 where bytes.count == 16: IPAddress(bytes: bytes).map { .address($0) }
        case 0:
            // An address in a name's place would be a second spelling of the same.
            String(validating: bytes, as: UTF8.self).flatMap { name in
                guard case .name? = try? EndpointName.host(name) else { return nil }
                return .name(name)
            }
        default: nil
        }
    }
}
