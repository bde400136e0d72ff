// SPDX-License-Identifier: Apache-2.0
// RELAY payloads of any bytes on the packet path (§8).
import Testing
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
}
