// SPDX-License-Identifier: Apache-2.0
// Cookies and tokens (§4): 32 bytes that a responder makes and later recognises without having kept them.
internal import VPNCrypto

/// The responder's rotating secrets, what it makes under them, and the tokens that were spent.
///
/// Shape of both: kid 1 ‖ difficulty 1 ‖ reserved 2 ‖ issued 4 ‖ nonce 8 ‖ mac 16. A token has bit 7 of kid set.
struct CookieJar {
    static let size = 32

    enum Verdict: Equatable {
        case valid(issued: UInt32, difficulty: UInt8)
        case invalid
        case expired
        /// A token that another message has used, or one that cannot be recorded because the set is full.
        case spent
    }

    private struct Secrets {
        var current: [UInt8]
        var previous: [UInt8]?
        var kid: UInt8
        var rotated: Instant
        let period: TimeSpan

        init(_ fresh: [UInt8], kid: UInt8, now: Instant, period: TimeSpan) {
            current = fresh
            self.kid = kid & 0x7F
            rotated = now
            self.period = period
        }

        mutating func rotate(_ fresh: () -> [UInt8], now: Instant) {
            let age = now.since(rotated)
            guard age >= period else { return }
            // After two silent periods even the last secret is too old to be the previous one.
            previous = age >= period * 2 ? nil : current
            current = fresh()
            kid = (kid + 1) & 0x7F
            rotated = now
        }

        func secret(for id: UInt8) -> [UInt8]? {
            if id == kid { return current }
            if id == (kid &- 1) & 0x7F { return previous }
            return nil
        }
    }

    private var cookies: Secrets
    private var tokens: Secrets
    private let start: Instant
    /// Tokens in use, by nonce, with the message that used each; emptied with the secrets that made them.
    private var spent: [UInt64: UInt64] = [:]
    private var spentBefore: [UInt64: UInt64] = [:]

    init(cryptography: any HandshakeCryptography, now: Instant) {
        let random = cryptography.randomBytes(66)
        cookies = Secrets(Array(random[0..<32]), kid: random[64], now: now, period: Limits.cookieSecretPeriod)
        tokens = Secrets(Array(random[32..<64]), kid: random[65], now: now, period: Limits.tokenSecretPeriod)
        start = now
    }

    /// To be called before use; cheap.
    mutating func rotate(cryptography: any HandshakeCryptography, now: Instant) {
        cookies.rotate({ cryptography.randomBytes(32) }, now: now)
        let kid = tokens.kid
        tokens.rotate({ cryptography.randomBytes(32) }, now: now)
        if kid != tokens.kid {
            spentBefore = tokens.previous == nil ? [:] : spent
            spent = [:]
        }
    }

    func makeCookie(for address: ProvenAddress, senderIndex: UInt32, difficulty: UInt8, nonce: [UInt8], now: Instant)
        -> [UInt8]
    {
        var cookie: [UInt8] = [cookies.kid, difficulty, 0, 0]
        cookie.append(bigEndian: seconds(now))
        cookie += nonce
        cookie += Self.cookieMAC(cookies.current, address, senderIndex, cookie)
        return cookie
    }

    func makeToken(for address: ProvenAddress, nonce: [UInt8], now: Instant) -> [UInt8] {
        var token: [UInt8] = [tokens.kid | 0x80, 0, 0, 0]
        token.append(bigEndian: seconds(now))
        token += nonce
        token += Self.tokenMAC(tokens.current, address, token)
        return token
    }

    /// Checks a cookie or token that stands in a fragment of the message with hash `message`. Keeps nothing.
    func check(
        _ cookie: [UInt8], from address: ProvenAddress, senderIndex: UInt32, message: UInt64, now: Instant
    ) -> Verdict {
        guard cookie.count == Self.size, cookie[2] == 0, cookie[3] == 0 else { return .invalid }
        let isToken = cookie[0] & 0x80 != 0
        guard let secret = isToken ? tokens.secret(for: cookie[0] & 0x7F) : cookies.secret(for: cookie[0]) else {
            return .invalid
        }
        let head = Array(cookie[0..<16])
        let mac = isToken ? Self.tokenMAC(secret, address, head) : Self.cookieMAC(secret, address, senderIndex, head)
        guard constantTimeEquals(mac, Array(cookie[16..<32])) else { return .invalid }
        let issued = cookie.u32(at: 4)
        let lifetime = isToken ? Limits.tokenLifetime : Limits.cookieLifetime
        guard TimeSpan.seconds(Int(seconds(now)) - min(Int(issued), Int(seconds(now)))) <= lifetime else {
            return .expired
        }
        if isToken {
            let nonce = cookie.u64(at: 8)
            if let user = spent[nonce] ?? spentBefore[nonce] {
                guard user == message else { return .spent }
            } else if spent.count >= Limits.spentTokens {
                return .spent
            }
        }
        return .valid(issued: issued, difficulty: cookie[1])
    }

    /// §4: a token serves one message. Called when the message is complete; no effect on a cookie.
    mutating func spend(_ cookie: [UInt8], for message: UInt64) {
        guard cookie[0] & 0x80 != 0 else { return }
        spent[cookie.u64(at: 8)] = message
    }

    /// Seconds since this node started: the issuer is the only reader, so no wall clock is needed.
    private func seconds(_ now: Instant) -> UInt32 {
        UInt32(truncatingIfNeeded: now.since(start).nanoseconds / 1_000_000_000)
    }

    private static func cookieMAC(
        _ secret: [UInt8], _ address: ProvenAddress, _ index: UInt32, _ head: [UInt8]
    ) -> [UInt8] {
        var input = Labels.Cookie.cookie
        input += address.ip
        input += address.port
        input.append(bigEndian: index)
        return Array(Hash.hmacSHA256(key: secret, input, head)[0..<16])
    }

    private static func tokenMAC(_ secret: [UInt8], _ address: ProvenAddress, _ head: [UInt8]) -> [UInt8] {
        Array(Hash.hmacSHA256(key: secret, Labels.Token.token, address.ip, head)[0..<16])
    }
}

/// What a cookie proves (§4): ip16 and port2, or what stands for them on a carrier that has neither.
struct ProvenAddress: Equatable {
    /// 16 bytes.
    let ip: [UInt8]
    /// 2 bytes.
    let port: [UInt8]

    init(_ endpoint: Endpoint) {
        ip = endpoint.addressBytes
        port = [UInt8(endpoint.port >> 8), UInt8(endpoint.port & 0xFF)]
    }

    /// - Parameter association: the id of the association with the peer in whose sessions the circuit is.
    init(association: [UInt8], circuit: UInt32) {
        let hash = Hash.sha256(Labels.Cookie.carrier, association, [UInt8](bigEndian: circuit))
        ip = Array(hash[0..<16])
        port = Array(hash[16..<18])
    }
}
