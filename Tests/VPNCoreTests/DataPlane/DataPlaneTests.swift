// SPDX-License-Identifier: Apache-2.0
// Two data planes face to face: what passes, and what is dropped and counted.

import Testing
import VPNCore
import VPNCrypto

@Suite struct DataPlaneTests {
    @Test(arguments: [
        ("10.77.0.1", "10.77.0.2"), ("fd77::1", "fd77::2"),
    ])
    func packetsPass(source: String, destination: String) throws {
        var pair = try TestPair()
        for payload in [8, 100, 1400] {
            let packet = Fixture.packet(from: source, to: destination, payload: payload)
            let sent = pair.a.send(packet)
            guard case .transmit(_, Fixture.carrierToB, _) = sent.verdict else {
                Issue.record("not sent: \(sent.verdict)")
                return
            }
            let datagram = try #require(sent.datagram)
            #expect(datagram.count == packet.count + Limits.layerOverhead)
            #expect(pair.b.receive(datagram) == .deliver(packet))
            #expect(pair.b.receive(datagram) == .drop(.replayDuplicate))
            let answer = Fixture.packet(from: destination, to: source, payload: payload)
            #expect(pair.a.receive(try #require(pair.b.send(answer).datagram)) == .deliver(answer))
        }
        #expect(pair.b.plane.drops[.replayDuplicate] == 3 && pair.b.plane.drops.total == 3)
        #expect(pair.b.firstData.count == 1 && pair.b.firstData.first === pair.sessionB)
        #expect(pair.a.firstData.isEmpty)
    }

    /// §7: whatever lies in a plaintext after the payload must be zero, and padding is.
    @Test(arguments: [PaddingPolicy.multiple(16), .buckets([256, 600])]) func paddedPacketsPass(padding: PaddingPolicy)
        throws
    {
        var pair = try TestPair()
        pair.a.plane.sender.padding = padding
        for payload in 0..<80 {
            let packet = Fixture.packet(from: "10.77.0.1", to: "10.77.0.2", payload: payload)
            let datagram = try #require(pair.a.send(packet).datagram)
            let plaintext = datagram.count - Limits.outerHeader - Limits.tag
            #expect(plaintext == padding.paddedLength(packet.count + 4, ceiling: 1440))
            #expect(pair.b.receive(datagram) == .deliver(packet))
        }
    }

    @Test func aFlippedBitAtAnyByteIsDroppedAndCounted() throws {
        var pair = try TestPair()
        let packet = Fixture.packet(from: "10.77.0.1", to: "10.77.0.2", payload: 64)
        let datagram = try #require(pair.a.send(packet).datagram)
        for place in datagram.indices {
            for bit in 0..<8 {
                var bad = datagram
                bad[place] ^= 1 << UInt8(bit)
                guard case .drop = pair.b.receive(bad) else {
                    Issue.record("byte \(place), bit \(bit) passed")
                    continue
                }
            }
        }
        let drops = pair.b.plane.drops
        #expect(drops.total == UInt64(datagram.count * 8))
        #expect(drops[.version] == 8 && drops[.bodyLength] == 16 && drops[.unknownIndex] == 32)
        // Of the eight types one bit away from 0x10, one is the other key phase; the rest are unknown.
        #expect(drops[.unknownType] == 7 && drops[.keyPhase] == 0)
        #expect(drops[.authentication] == UInt64((datagram.count - 8) * 8 + 1))
        #expect(pair.b.firstData.isEmpty && pair.sessionB.statistics.packetsIn == 0)
        #expect(pair.b.receive(datagram) == .deliver(packet))
    }

    @Test func truncatedAndExtendedDatagramsAreDropped() throws {
        var pair = try TestPair()
        let packet = Fixture.packet(from: "10.77.0.1", to: "10.77.0.2", payload: 64)
        let datagram = try #require(pair.a.send(packet).datagram)
        for length in 0..<datagram.count {
            let cut = Array(datagram.prefix(length))
            #expect(pair.b.receive(cut) == .drop(length < 16 ? .tooShort : .bodyLength))
            // The same with a body length that tells the truth.
            guard length >= 16 else { continue }
            var honest = cut
            (honest[2], honest[3]) = (UInt8((length - 16) >> 8), UInt8((length - 16) & 0xFF))
            let reason: DropReason = length < Limits.smallestData ? .tooShort : .authentication
            #expect(pair.b.receive(honest) == .drop(reason))
        }
        for extra in 1...40 {
            #expect(pair.b.receive(datagram + [UInt8](repeating: 0, count: extra)) == .drop(.bodyLength))
        }
        #expect(pair.b.receive(datagram) == .deliver(packet))
    }

    @Test func wrongInnerSourcesAreDroppedBothWays() throws {
        var pair = try TestPair()
        // Each end sends what it likes: only the other one can check.
        for source in ["10.77.0.3", "10.77.0.2", "192.0.2.1", "0.0.0.0", "255.255.255.255"] {
            let datagram = try #require(pair.a.send(Fixture.packet(from: source, to: "10.77.0.2")).datagram)
            #expect(pair.b.receive(datagram) == .drop(.innerSource), "\(source)")
        }
        for source in ["10.77.0.3", "10.77.0.1", "127.0.0.1"] {
            let datagram = try #require(pair.b.send(Fixture.packet(from: source, to: "10.77.0.1")).datagram)
            #expect(pair.a.receive(datagram) == .drop(.innerSource), "\(source)")
        }
        for (source, destination) in [("fd77::3", "fd77::2"), ("::1", "fd77::2"), ("::ffff:10.77.0.1", "fd77::2")] {
            let datagram = try #require(pair.a.send(Fixture.packet(from: source, to: destination)).datagram)
            #expect(pair.b.receive(datagram) == .drop(.innerSource), "\(source)")
        }
        for (source, destination) in [("fd77::3", "fd77::1"), ("ff02::1", "fd77::1")] {
            let datagram = try #require(pair.b.send(Fixture.packet(from: source, to: destination)).datagram)
            #expect(pair.a.receive(datagram) == .drop(.innerSource), "\(source)")
        }
        // Authentic all the same: the session is confirmed by it.
        #expect(pair.b.firstData.count == 1)
    }

    /// A source inside one peer's wide prefix belongs to whoever has the longer one.
    @Test func theLongestPrefixDecidesWhoMaySend() throws {
        let (a, b) = Fixture.sessionPair(slotAtB: 1)
        var (sender, receiver) = (TestEnd(), TestEnd())
        sender.plane.apply(.routes(try Fixture.routes([("0.0.0.0/0", 0)])))
        sender.plane.apply(.activate(a, Fixture.carrierToB))
        receiver.plane.apply(.routes(try Fixture.routes([("10.0.0.0/8", 1), ("10.5.0.0/16", 2)])))
        receiver.plane.apply(.install(b))
        func verdict(_ source: String) throws -> Outcome {
            receiver.receive(try #require(sender.send(Fixture.packet(from: source, to: "10.0.0.1")).datagram))
        }
        #expect(try verdict("10.5.0.1") == .drop(.innerSource))
        guard case .deliver = try verdict("10.4.255.255") else { return fail("10.4.255.255 is the peer's") }
        // The more specific prefix moves to the peer: from then on it may.
        receiver.plane.apply(.routes(try Fixture.routes([("10.0.0.0/8", 2), ("10.5.0.0/16", 1)])))
        guard case .deliver = try verdict("10.5.0.1") else { return fail("10.5.0.1 is the peer's now") }
        #expect(try verdict("10.4.255.255") == .drop(.innerSource))
    }

    @Test func theLongestPrefixDecidesWhoReceives() throws {
        let (a, _) = Fixture.sessionPair(indexA: 1, indexB: 101, slotAtA: 0)
        let (other, _) = Fixture.sessionPair(indexA: 2, indexB: 102, slotAtA: 1)
        var end = TestEnd()
        end.plane.apply(.routes(try Fixture.routes([("10.0.0.0/8", 0), ("10.5.0.0/16", 1), ("fd77::/16", 1)])))
        end.plane.apply(.activate(a, Fixture.carrierToB))
        end.plane.apply(.activate(other, Fixture.carrierToA))
        func index(_ destination: String, from source: String = "192.0.2.1") throws -> UInt32? {
            OuterHeader(try #require(end.send(Fixture.packet(from: source, to: destination)).datagram))?.receiverIndex
        }
        #expect(try index("10.4.0.1") == 101)
        #expect(try index("10.5.0.1") == 102)
        #expect(try index("fd77::9", from: "::1") == 102)
        guard case .drop(.noRoute) = end.send(Fixture.packet(from: "10.0.0.1", to: "11.0.0.1")).verdict else {
            return fail("there is no route to 11.0.0.1")
        }
        guard case .drop(.noRoute) = end.send(Fixture.packet(from: "::1", to: "fe80::1")).verdict else {
            return fail("there is no route to fe80::1")
        }
    }

    @Test func malformedInnerPacketsAreDroppedOnBothSides() throws {
        var pair = try TestPair()
        let v4 = Fixture.packet(from: "10.77.0.1", to: "10.77.0.2", payload: 33)
        let v6 = Fixture.packet(from: "fd77::1", to: "fd77::2")
        var bad: [[UInt8]] = [[], [0x45], [0x60], Array(v4.dropLast()), v4 + [0], Array(v6.dropLast()), v6 + [0]]
        bad.append([0x44] + v4.dropFirst())
        bad.append([0x4F] + v4.dropFirst())
        for version in UInt8(0)..<16 where version != 4 && version != 6 {
            bad.append([version << 4 | 5] + v4.dropFirst())
        }
        bad.append([0x65] + v4.dropFirst())
        bad.append([0x45] + v6.dropFirst())
        for packet in bad {
            guard case .drop(.innerMalformed) = pair.a.send(packet).verdict else {
                Issue.record("sent: \(packet)")
                continue
            }
            let forced = try #require(pair.sessionA.sealFrame(type: .ip, payload: packet, now: Fixture.now))
            #expect(pair.b.receive(forced) == .drop(.innerMalformed), "\(packet)")
        }
    }

    /// Every type, known or not, and every flag: what is not in the list closes the session, once.
    @Test func frameTypesAndFlags() throws {
        for value in UInt8.min...UInt8.max {
            let outcome = try receiveRaw([value, 0, 0, 2, 0xAA, 0xBB])
            switch FrameType(rawValue: value) {
            case nil: #expect(outcome == .violation(.unknownFrameType))
            case .pad: #expect(outcome == .consumed)
            case .ip: #expect(outcome == .drop(.innerMalformed))
            // Too short for a circuit id and a datagram.
            case .relay: #expect(outcome == .drop(.circuitMalformed))
            case let type?: #expect(outcome == .control(type, [0xAA, 0xBB]))
            }
            if value != 0 { #expect(try receiveRaw([2, value, 0, 0]) == .violation(.frameFlags)) }
        }
        #expect(try receiveRaw([]) == .drop(.tooShort))
        #expect(try receiveRaw([2, 0, 0]) == .drop(.tooShort))
        #expect(try receiveRaw([2, 0, 0, 0]) == .control(.keepalive, []))
        #expect(try receiveRaw([2, 0, 0, 1]) == .violation(.frameLength))
        #expect(try receiveRaw([2, 0, 0xFF, 0xFF, 1, 2, 3]) == .violation(.frameLength))
        #expect(try receiveRaw([2, 0, 0, 1, 9, 0, 0, 0]) == .control(.keepalive, [9]))
        #expect(try receiveRaw([2, 0, 0, 1, 9, 0, 0, 1]) == .violation(.padding))
        #expect(try receiveRaw([0, 0, 0, 0, 1]) == .violation(.padding))
    }

    @Test func aViolationIsSaidOnceAndCountedAlways() throws {
        var end = TestEnd()
        let (_, session) = Fixture.sessionPair()
        end.plane.apply(.install(session))
        #expect(end.receive(raw([0x99, 0, 0, 0], counter: 1)) == .violation(.unknownFrameType))
        #expect(end.receive(raw([0x99, 0, 0, 0], counter: 2)) == .drop(.unknownFrameType))
        #expect(end.plane.drops[.unknownFrameType] == 2)
    }

    /// A datagram with any plaintext at all, sealed with the keys of A.
    private func raw(_ plaintext: [UInt8], counter: UInt64) -> [UInt8] {
        let length = UInt16(plaintext.count + Limits.tag)
        let header = OuterHeader(type: .data0, bodyLength: length, receiverIndex: 0xB000_0001, word: counter)
        var bytes = header.encoded + plaintext + [UInt8](repeating: 0, count: Limits.tag)
        let key = PacketKey(
            .aes256GCM, key: Secret(copying: [UInt8](repeating: 101, count: 32)),
            iv: Secret(copying: [UInt8](repeating: 1 ^ 100, count: 12)))
        let count = bytes.count
        var span = bytes.mutableSpan
        key.seal(&span, range: 0..<count, counter: counter)
        return bytes
    }

    private func receiveRaw(_ plaintext: [UInt8]) throws -> Outcome {
        var end = TestEnd()
        let (_, session) = Fixture.sessionPair()
        end.plane.apply(.install(session))
        return end.receive(raw(plaintext, counter: 7))
    }

    @Test func handshakeDatagramsGoToTheControlPlane() {
        var end = TestEnd()
        for type in DatagramType.allCases where !type.isData {
            let body = Limits.handshakeDatagram - Limits.outerHeader
            let full = OuterHeader(type: type, bodyLength: UInt16(body)).encoded + [UInt8](repeating: 1, count: body)
            #expect(end.receive(full) == .handshake(type))
            let long = OuterHeader(type: type, bodyLength: UInt16(body + 1)).encoded
            #expect(end.receive(long + [UInt8](repeating: 1, count: body + 1)) == .drop(.tooLong))
        }
    }
}
