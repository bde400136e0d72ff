// SPDX-License-Identifier: Apache-2.0
// The first look at handshakes: what passes, what goes to the packet threads, what is dropped at sight.
import Testing
import VPNTesting

@testable import VPNCore

@Suite struct HandshakeSieveTests {
    /// An S1 fragment in form only.
    private func fragment(paid: UInt8, isToken: Bool = false) -> [UInt8] {
        var bytes = OuterHeader.bytes(.s1, bodyLength: 1232 - 16, receiverIndex: 0, word: 7)
        bytes += [UInt8](repeating: 3, count: 1232 - 16)
        bytes[24] = isToken ? 0x80 : 0x01
        bytes[25] = paid
        return bytes
    }

    private func look(
        _ sieve: inout HandshakeSieve, _ datagram: [UInt8], price: UInt8 = 0, at now: Instant = .origin
    ) -> HandshakeSieve.Verdict {
        // Something before and behind it, as in the buffers of a batch.
        var buffer = [0xFF, 0xFF] + datagram + [0xFF]
        return sieve.look(buffer.mutableSpan, 2..<2 + datagram.count, price: price, now: now)
    }

    /// Whatever the handshakes of two nodes consist of passes, and their data is known by its receiver index.
    @Test func everythingGenuinePasses() {
        let scenario = Scenario(seed: 610)
        #expect(scenario.connect())
        var sieve = HandshakeSieve()
        var (handshakes, data) = (0, 0)
        for (_, datagram) in scenario.network.capture {
            switch look(&sieve, datagram.bytes, price: 0) {
            case .handshake: handshakes += 1
            case .data(let index):
                data += 1
                #expect(index == datagram.bytes.u32(at: 4) && datagram.type?.isData == true)
            case .drop(let reason): Issue.record("\(reason)")
            }
        }
        #expect(handshakes > 10 && data > 0)
    }

    @Test func noiseIsDropped() {
        var sieve = HandshakeSieve()
        #expect(look(&sieve, []) == .drop(.tooShort))
        #expect(look(&sieve, [1, 3, 0, 0]) == .drop(.tooShort))
        var random = SeededGenerator(611)
        for _ in 0..<2000 {
            let noise = (0..<Int.random(in: 0...1300, using: &random)).map { _ in
                UInt8.random(in: 0...255, using: &random)
            }
            let genuine = OuterHeader(noise)
            switch look(&sieve, noise, price: 15) {
            case .drop: #expect(genuine == nil || noise.count > Limits.handshakeDatagram)
            case .handshake, .data: #expect(genuine != nil)
            }
        }
        let long = OuterHeader.bytes(.s2, bodyLength: 1300, receiverIndex: 1, word: 0)
        #expect(look(&sieve, long + [UInt8](repeating: 0, count: 1300)) == .drop(.tooLong))
    }

    @Test func unpaidOnesAreDroppedButForAFew() {
        var sieve = HandshakeSieve()
        func passed(_ paid: UInt8, isToken: Bool = false, price: UInt8, at now: Instant) -> Int {
            (0..<1000).count { _ in
                look(&sieve, fragment(paid: paid, isToken: isToken), price: price, at: now) == .handshake
            }
        }
        let start = Instant.origin + .seconds(1)
        #expect(passed(0, price: 0, at: start) == 1000, "nothing is asked")
        #expect(passed(12, price: 12, at: start) == 1000, "what was asked was paid")
        #expect(passed(0, isToken: true, price: 15, at: start) == 1000, "a token is dearer than work")
        #expect(passed(11, price: 12, at: start) == Limits.unpaidLooks)
        #expect(passed(11, price: 12, at: start) == 0, "in the same window")
        #expect(passed(0, price: 15, at: start + Limits.unpaidWindow) == Limits.unpaidLooks)
    }
}
