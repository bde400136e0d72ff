// SPDX-License-Identifier: Apache-2.0
// Whole handshakes between two nodes that know each other: S0, RETRY, S1, S2 and the keepalives that prove the session.
import Nodes
import VPNCore
import VPNCrypto

struct HandshakeBenchmark {
    private let initiator: SoftwareIdentity
    private let responder: SoftwareIdentity
    private let pool = EphemeralPool(capacity: 4)
    /// ML-DSA signs by rejection, once to a dozen times as long: a mean needs many.
    private static let handshakes = 100

    static func endpoint(_ number: UInt32) -> Endpoint { Endpoint(v4: 0x0A63_0000 + number, port: 9000) }

    init() throws {
        initiator = try SoftwareIdentity()
        responder = try SoftwareIdentity()
    }

    func round(_ results: inout Results) throws {
        try round(SystemCryptography(), suffix: "", &results)
        try round(SystemCryptography(ephemeralPool: pool), suffix: ", ephemerals from the pool", &results)
    }

    private func round(_ cryptography: SystemCryptography, suffix: String, _ results: inout Results) throws {
        var time: (initiator: UInt64, responder: UInt64) = (0, 0)
        for _ in 0..<Self.handshakes {
            // Where it is not used it stays full, and this costs nothing.
            try pool.refill()
            let one = try handshake(cryptography)
            time.initiator += one.initiator
            time.responder += one.responder
        }
        let each = (
            Double(time.initiator) / 1e6 / Double(Self.handshakes),
            Double(time.responder) / 1e6 / Double(Self.handshakes)
        )
        results.add(.handshake, "initiator\(suffix)", "ms", each.0)
        results.add(.handshake, "responder\(suffix)", "ms", each.1)
        results.add(.handshake, "both ends in turn\(suffix)", "ms", each.0 + each.1)
        results.add(.handshake, "one core that only responds\(suffix)", "handshakes/s", 1000 / each.1)
    }

    private func handshake(_ cryptography: SystemCryptography) throws -> (initiator: UInt64, responder: UInt64) {
        var now = Instant(nanoseconds: 1_000_000_000)
        let caller = HandshakeNode(
            identity: initiator, peer: responder.publicKeys, address: 0x0A4D_0002, endpoint: Self.endpoint(2),
            cryptography: cryptography, now: now)
        let called = HandshakeNode(
            identity: responder, peer: initiator.publicKeys, address: 0x0A4D_0001, endpoint: nil,
            cryptography: cryptography, now: now)
        caller.start(now: now)
        while true {
            let (out, back) = (caller.takeOutbox(), called.takeOutbox())
            if out.isEmpty && back.isEmpty { break }
            now += .microseconds(100)
            for datagram in out { called.receive(datagram, from: Self.endpoint(1), now: now) }
            for datagram in back { caller.receive(datagram, from: Self.endpoint(2), now: now) }
        }
        guard let summary = caller.confirmed, let other = called.confirmed, summary.sessionID == other.sessionID else {
            throw Failure("a handshake without a session")
        }
        return (caller.nanoseconds, called.nanoseconds)
    }
}
