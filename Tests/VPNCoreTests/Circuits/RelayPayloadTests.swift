// SPDX-License-Identifier: Apache-2.0
// RELAY payloads of any bytes on the packet path (§8).
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

/// RELAY payloads of any bytes, on a packet path that knows one circuit: nothing is read or written outside of the datagram.
@Suite struct RelayPayloadTests {
    @Test func anyBytes() {
        var random = SeededRandom(seed: 3)
        var outcomes: [String: Int] = [:]
        for _ in 0..<50_000 {
            var bytes = random.bytes(Int(random.next() % 60))
            if bytes.count >= 4, random.chance(0.9) {
                bytes.replaceSubrange(0..<4, with: [0, 0, 0, random.chance(0.3) ? 7 : 8])
            }
            if bytes.count >= 20, random.chance(0.7) {
                let type = random.chance(0.5) ? UInt8(1 + random.next() % 7) : 16
                bytes.replaceSubrange(4..<8, with: [1, type, 0, UInt8(bytes.count - 20)])
            }
            var plane = InboundPlane()
            let traffic = RelayedTraffic([], now: .origin)
            plane.apply(.relay(CircuitPlace(outer: 0, id: 7), to: CircuitPlace(outer: 1, id: 9), traffic))
            var guarded = GuardedPacket(bytes, front: 20)
            let verdict = guarded.access { plane.relayed(&$0, $1, from: 0, now: .origin) }
            let id = bytes.count >= 4 ? bytes.u32(at: 0) : 0
            switch verdict.outcome {
            case .relay(let range, let slot):
                #expect(bytes.count >= 20 && id == 7 && slot == 1 && range == guarded.range)
                #expect(guarded.packet == [0, 0, 0, 9] + bytes[4...])
                outcomes["relay", default: 0] += 1
            case .handshake(let range):
                #expect(id != 7 && OuterHeader(Array(bytes[4...]))?.type.isData == false)
                #expect(range.count == bytes.count - 4 && verdict.place == CircuitPlace(outer: 0, id: id))
                outcomes["handshake", default: 0] += 1
            case .drop(let reason):
                #expect(bytes.count < 20 || id != 7)
                outcomes[reason.name, default: 0] += 1
            default: Issue.record("\(verdict.outcome)")
            }
            #expect(guarded.isGuardIntact)
        }
        #expect(
            outcomes.keys.count >= 6 && outcomes["relay", default: 0] > 50 && outcomes["handshake", default: 0] > 50,
            "\(outcomes)")
    }

    /// A session that is spoken on a circuit of its own peer: datagrams in each other, each of which is a whole one of it. What is
    /// opened is as deep as circuits are long, and a datagram costs no more than that.
    @Test(arguments: [1, Limits.circuitHops, Limits.circuitHops + 1, 1000]) func layersEnd(depth: Int) {
        func key(_ direction: UInt8) -> KeyRatchet {
            KeyRatchet(
                .aes256GCM, key: Secret(copying: [UInt8](repeating: direction, count: 32)),
                iv: Secret(copying: [UInt8](repeating: direction, count: 12)))
        }
        func session(_ own: UInt8, _ other: UInt8, place: CircuitPlace?) -> Session {
            Session(
                id: [UInt8](repeating: 1, count: 16), localIndex: UInt32(own), remoteIndex: UInt32(other), peer: 0,
                role: own == 1 ? .initiator : .responder, cipher: .aes256GCM, sendKeys: key(own),
                receiveKeys: key(other),
                counterStart: 0, isConfirmed: true, establishedAt: .origin, place: place)
        }
        let far = session(1, 2, place: nil)
        var plane = InboundPlane()
        plane.apply(.install(session(2, 1, place: CircuitPlace(outer: 0, id: 8))))
        var datagram = far.sealFrame(type: .pad, payload: [], now: .origin)!
        for _ in 1..<depth {
            datagram = far.sealFrame(
                type: .relay, payload: RelayMessage.encoded(id: 8, datagram: datagram), now: .origin)!
        }
        var guarded = GuardedPacket(RelayMessage.encoded(id: 8, datagram: datagram), front: 20)
        let verdict = guarded.access { plane.relayed(&$0, $1, from: 0, now: .origin) }
        switch verdict.outcome {
        case .consumed: #expect(depth <= Limits.circuitHops)
        case .drop(.circuitMalformed): #expect(depth > Limits.circuitHops)
        default: Issue.record("\(verdict.outcome)")
        }
    }
}
