// SPDX-License-Identifier: Apache-2.0
// Cookies and tokens (§4) under any list of operations: valid for whom they were made, in their time, and tokens for one message.
import VPNTesting

@testable import VPNCore

enum CookieProperty {
    private struct Made {
        var bytes: [UInt8]
        var address: Int
        var index: UInt32
        var time: Instant
        /// Of the secret that made it.
        var generation: Int
        var isToken: Bool { bytes[0] & 0x80 != 0 }
    }

    /// Which of a jar's secrets are alive.
    private struct Secrets {
        let period: TimeSpan
        var generation = 0
        var hasPrevious = false
        var rotated: Instant

        mutating func rotate(_ now: Instant) {
            let age = now.since(rotated)
            guard age >= period else { return }
            hasPrevious = age < period * 2
            generation += 1
            rotated = now
        }

        func knows(_ made: Int) -> Bool { made == generation || (hasPrevious && made == generation - 1) }
    }

    private static let addresses = (0..<4).map {
        ProvenAddress(Endpoint(v4: 0x0A00_0001 + UInt32($0 / 2), port: 9000 + UInt16($0 & 1)))
    }

    static func check(_ input: inout FuzzInput) throws {
        let cryptography = RehearsalCryptography(seed: UInt64(input.byte()))
        let start = Instant.origin + .seconds(5)
        var now = start
        var jar = CookieJar(cryptography: cryptography, now: now)
        var cookies = Secrets(period: .seconds(120), rotated: now)
        var tokens = Secrets(period: .seconds(3600), rotated: now)
        var made: [Made] = []
        var spent: [[UInt8]: UInt64] = [:]
        // Two that are the same would be one to a jar.
        func nonce() -> [UInt8] {
            var bytes: [UInt8] = []
            bytes.append(bigEndian: UInt64(made.count))
            return bytes
        }
        for _ in 0..<40 where !input.isEmpty {
            let kind = input.byte()
            let address = Int(kind >> 3 & 3)
            switch kind & 7 {
            case 0:
                let index = input.wide()
                let bytes = jar.makeCookie(
                    for: addresses[address], senderIndex: index, difficulty: kind >> 5, nonce: nonce(), now: now)
                made.append(
                    Made(bytes: bytes, address: address, index: index, time: now, generation: cookies.generation))
            case 1:
                let bytes = jar.makeToken(for: addresses[address], nonce: nonce(), now: now)
                made.append(Made(bytes: bytes, address: address, index: 0, time: now, generation: tokens.generation))
            case 2:
                now += .seconds(Int(input.byte()))
                jar.rotate(cryptography: cryptography, now: now)
                cookies.rotate(now)
                tokens.rotate(now)
            case 3: now += .seconds(input.number(below: 8000))
            default:
                guard !made.isEmpty else { continue }
                try look(made[Int(input.byte()) % made.count], kind, &input)
            }
        }

        func look(_ one: Made, _ kind: UInt8, _ input: inout FuzzInput) throws {
            var (bytes, address, index) = (one.bytes, one.address, one.index)
            let change = input.byte()
            if change & 3 == 1 { bytes[Int(input.byte() & 31)] ^= 1 << (change >> 5) }
            if change & 12 == 4 { address = Int(kind >> 3 & 3) }
            if change & 16 != 0 { index ^= 1 }
            let message = UInt64(input.byte() & 3)
            let verdict = jar.check(
                bytes, from: addresses[address], senderIndex: index, message: message, now: now)
            let isOwn =
                bytes == one.bytes
                && (one.isToken ? address / 2 == one.address / 2 : address == one.address && index == one.index)
            let secrets = one.isToken ? tokens : cookies
            // Whole seconds since the start.
            let issued = one.time.since(start).nanoseconds / 1_000_000_000
            let age = now.since(start).nanoseconds / 1_000_000_000 - issued
            let expected: CookieJar.Verdict
            if !isOwn || !secrets.knows(one.generation) {
                expected = .invalid
            } else if age > (one.isToken ? 3600 : 240) {
                expected = .expired
            } else if one.isToken, let user = spent[one.bytes], user != message {
                expected = .spent
            } else {
                expected = .valid(issued: UInt32(issued), difficulty: one.bytes[1])
            }
            try FuzzFinding.unless(verdict == expected, "\(verdict), not \(expected): \(one), \(bytes), at \(now)")
            if case .valid = verdict, kind & 4 != 0, change & 0x80 != 0 {
                jar.spend(bytes, for: message)
                if one.isToken { spent[one.bytes] = message }
            }
        }
    }
}
