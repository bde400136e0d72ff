// SPDX-License-Identifier: Apache-2.0
// Floods from spoofed and from real addresses: memory stays flat, nothing is amplified, honest peers get through.
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct FloodTests {
    private func spoofed(_ random: inout SeededRandom) -> Endpoint {
        Endpoint(v4: UInt32(truncatingIfNeeded: random.next()), port: UInt16(truncatingIfNeeded: random.next()) | 1)
    }

    @Test func aHundredThousandSpoofedS0AndS1() {
        let scenario = Scenario(seed: 31, starting: false)
        scenario.network.isCapturing = false
        scenario.network.conditions.latency = .zero
        scenario.network.attach(scenario.bob)
        let empty = scenario.bob.footprint
        var random = SeededRandom(seed: 31)
        let known = MAC1Key(responder: scenario.bob.identity.publicKeys.peerID)
        let offers = Offers(hasAESHardware: true)
        for round in 0..<100_000 {
            let source = spoofed(&random)
            let index = UInt32(truncatingIfNeeded: random.next()) | 1
            let bytes: [UInt8]
            if round % 2 == 0 {
                bytes = S0Message(offers: offers, senderIndex: index, nonce: random.bytes(S0Message.nonceSize))
                    .encoded(macKey: round % 4 == 0 ? known : .unknownResponder)
            } else {
                // Right in everything but the cookie, which nobody off the path can have.
                bytes =
                    S1Fragment.datagrams(
                        of: random.bytes(S1Message.briefSize),
                        shape: FragmentShape(total: S1Message.briefSize, count: 7),
                        senderIndex: index, cookie: random.bytes(32), puzzleSolution: random.bytes(8), macKey: known)[0]
            }
            scenario.network.inject(
                VirtualDatagram(bytes: bytes, source: source, destination: Scenario.bobEndpoint))
            if round % 1000 == 999 { scenario.network.run(for: .milliseconds(10)) }
        }
        scenario.network.run(for: .seconds(1))
        #expect(scenario.bob.footprint == empty, "\(scenario.bob.footprint)")
        #expect(scenario.bob.jobsRun == 0)
        #expect(scenario.bob.bytesSent > 0 && scenario.bob.bytesSent <= scenario.bob.bytesReceived)
        let dropped = scenario.bob.controlDrops[.cookie] + scenario.bob.controlDrops[.s1Malformed]
        #expect(dropped == 50_000)
        // An honest peer connects all the same.
        scenario.network.attach(scenario.alice)
        #expect(scenario.connect(within: .seconds(2)))
    }

    @Test func silentOnesGetNothing() {
        var options = Scenario.answering
        options.isStealthy = true
        let scenario = Scenario(seed: 32, bob: options)
        #expect(scenario.connect(within: .seconds(5)), "who knows the id is served")
        let sent = scenario.bob.bytesSent
        let s0 = S0Message(
            offers: Offers(hasAESHardware: true), senderIndex: 5,
            nonce: [UInt8](repeating: 0, count: S0Message.nonceSize))
        let stranger = Endpoint(v4: 0x0A00_0063, port: 99)
        for bytes in [
            s0.encoded(macKey: .unknownResponder), s0.encoded(macKey: MAC1Key(responder: .zero)), [1, 3, 0, 0], [],
        ] {
            scenario.network.inject(VirtualDatagram(bytes: bytes, source: stranger, destination: Scenario.bobEndpoint))
        }
        scenario.network.run(for: .seconds(1))
        #expect(scenario.bob.bytesSent == sent)
    }

    /// Fragment 0 only, with good cookies, from many indices, ports and prefixes.
    @Test func reassemblyIsBoundedPerPrefixPerSiteAndInAll() {
        var table = InboundHandshakes()
        let now = Instant.origin
        func fragment(_ index: UInt32, _ hash: UInt64) -> S1Fragment {
            let bytes = S1Fragment.datagrams(
                of: [UInt8](repeating: 0, count: S1Message.briefSize),
                shape: FragmentShape(total: S1Message.briefSize, count: 7), senderIndex: index,
                cookie: [UInt8](repeating: 1, count: 32), puzzleSolution: [UInt8](repeating: 0, count: 8),
                macKey: .unknownResponder)[0]
            var fragment = S1Fragment(bytes)!
            fragment.messageHash = hash
            return fragment
        }
        func add(_ endpoint: Endpoint, _ index: UInt32) {
            _ = table.add(fragment(index, UInt64(index)), size: 1232, issued: 0, from: .udp(endpoint), now: now)
        }
        for index in 1...1000 as ClosedRange<UInt32> { add(Endpoint(v4: 0x0102_0304, port: UInt16(index)), index) }
        #expect(table.collectingCount == Limits.reassembliesPerPrefix)
        // One /48 with many /64.
        for index in 1...1000 as ClosedRange<UInt32> {
            add(Endpoint(high: 0x2001_0DB8_0001_0000 | UInt64(index), low: 1, port: 5), index)
        }
        #expect(table.collectingCount == Limits.reassembliesPerPrefix + Limits.reassembliesPerSite)
        for index in 1...5000 as ClosedRange<UInt32> { add(Endpoint(v4: 0x0A00_0000 | index, port: 5), index) }
        #expect(table.collectingCount == Limits.reassemblies)
        #expect(table.expire(now: now + Limits.reassemblyLifetime) == Limits.reassemblies)
        #expect(table.count == 0 && table.collectingCount == 0)
    }

    @Test func aFloodEvictsItselfNotOthers() {
        var table = InboundHandshakes()
        let message = [UInt8](repeating: 3, count: S1Message.briefSize)
        let honest = S1Fragment.datagrams(
            of: message, shape: FragmentShape(total: message.count, count: 7), senderIndex: 1,
            cookie: [UInt8](repeating: 1, count: 32), puzzleSolution: [UInt8](repeating: 0, count: 8),
            macKey: .unknownResponder
        ).compactMap { S1Fragment($0) }
        let victim = Carrier.udp(Endpoint(v4: 0x0102_0301, port: 1))
        for fragment in honest.dropLast() {
            _ = table.add(fragment, size: 1232, issued: 0, from: victim, now: .origin)
        }
        // One attacker with one address and many indices, in another prefix, then one in the same table.
        for index in 2...400 as ClosedRange<UInt32> {
            var fragment = honest[0]
            fragment.senderIndex = index
            fragment.messageHash = UInt64(index)
            for host in 0..<40 as Range<UInt32> {
                _ = table.add(
                    fragment, size: 1232, issued: 0, from: .udp(Endpoint(v4: 0x0500_0000 | host, port: 7)),
                    now: .origin + .milliseconds(Int(index)))
            }
        }
        #expect(table.collectingCount == Limits.reassemblies)
        guard
            case .complete(let whole) = table.add(
                honest[6], size: 1232, issued: 0, from: victim, now: .origin + .seconds(1))
        else {
            Issue.record("the honest handshake was evicted by the flood")
            return
        }
        #expect(whole == message)
    }

    @Test func poisonedFragmentsFreeTheirMessage() {
        var table = InboundHandshakes()
        let message = [UInt8](repeating: 3, count: S1Message.briefSize)
        let carrier = Carrier.udp(Endpoint(v4: 1, port: 1))
        let parts = S1Fragment.datagrams(
            of: message, shape: FragmentShape(total: message.count, count: 7), senderIndex: 1,
            cookie: [UInt8](repeating: 1, count: 32), puzzleSolution: [UInt8](repeating: 0, count: 8),
            macKey: .unknownResponder
        ).compactMap { S1Fragment($0) }
        func add(_ fragment: S1Fragment) -> InboundHandshakes.Verdict {
            table.add(fragment, size: 1232, issued: 0, from: carrier, now: .origin)
        }
        var bad = parts[2]
        bad.chunk[5] ^= 1
        for fragment in [parts[0], parts[1], bad] {
            guard case .incomplete = add(fragment) else { Issue.record("a first fragment was not kept"); return }
        }
        // First copy wins, even if it is the bad one …
        guard case .duplicate = add(parts[2]) else { Issue.record("a second copy was taken"); return }
        var other = parts[3]
        other.cookie[0] ^= 1
        guard case .inconsistent = add(other) else { Issue.record("a foreign cookie was taken"); return }
        for fragment in parts[3...5] { _ = add(fragment) }
        // … the hash tells, and everything is freed, so that the true message can come anew.
        guard case .corrupt = add(parts[6]) else { Issue.record("a wrong hash was taken"); return }
        #expect(table.count == 0)
        for fragment in parts.dropLast() { _ = add(fragment) }
        guard case .complete = add(parts[6]) else { Issue.record("the true message was refused"); return }
        #expect(table.collectingCount == 1)
    }
}
