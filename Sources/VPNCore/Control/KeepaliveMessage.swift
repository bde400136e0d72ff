// SPDX-License-Identifier: Apache-2.0
// The JSON heartbeat of §7 (D6): {type, sessionid, timestamp, peerid, uptime}, at most 512 bytes, inside the AEAD.

/// One keepalive or its answer.
struct KeepaliveMessage: Equatable, Sendable {
    enum Kind: String { case request = "KEEPALIVE", answer = "KEEPALIVE_ACK" }

    var kind: Kind
    /// 32 hexadecimal digits.
    var sessionID: String
    /// Unix seconds of the sender of the request; an answer echoes it.
    var timestamp: UInt64
    var peerID: String
    /// Seconds that the sender has been running.
    var uptime: UInt64

    static let maximumSize = 512

    var encoded: [UInt8] {
        let text =
            "{\"type\":\"\(kind.rawValue)\",\"sessionid\":\"\(sessionID)\",\"timestamp\":\(timestamp),"
            + "\"peerid\":\"\(peerID)\",\"uptime\":\(uptime)}"
        return Array(text.utf8)
    }

    init(kind: Kind, sessionID: String, timestamp: UInt64, peerID: String, uptime: UInt64) {
        self.kind = kind
        self.sessionID = sessionID
        self.timestamp = timestamp
        self.peerID = peerID
        self.uptime = uptime
    }

    /// A JSON object with exactly the five fields, in any order; nothing nested, nothing twice, nothing after it.
    init?(_ bytes: [UInt8]) {
        guard bytes.count <= Self.maximumSize, let fields = FlatJSON.parse(bytes), fields.count == 5,
            case .text(let type)? = fields["type"], let kind = Kind(rawValue: type),
            case .text(let session)? = fields["sessionid"], session.utf8.count == 32,
            session.utf8.allSatisfy(\.isHexDigit),
            case .number(let timestamp)? = fields["timestamp"], case .text(let peer)? = fields["peerid"],
            peer.utf8.count == 64, peer.utf8.allSatisfy(\.isHexDigit), case .number(let uptime)? = fields["uptime"]
        else { return nil }
        self.init(kind: kind, sessionID: session, timestamp: timestamp, peerID: peer, uptime: uptime)
    }
}

extension UInt8 {
    fileprivate var isHexDigit: Bool { (0x30...0x39).contains(self) || (0x61...0x66).contains(self) }
}
