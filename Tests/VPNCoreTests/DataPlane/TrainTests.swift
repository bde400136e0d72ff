// SPDX-License-Identifier: Apache-2.0
// A train against the same datagrams one by one: whatever they are, the verdicts, the drops and the accounts are the same.

import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct TrainTests {
    /// Two receivers with the same two sessions: one takes trains, the other single datagrams.
    private struct Rig {
        let senders: [Session]
        var trains = InboundPlane(mtu: 1500)
        let trainSessions: [Session]
        var single = TestEnd()
        let singleSessions: [Session]
        /// Sessions that a train confirmed, by local index.
        var firstData: [UInt32] = []
        var random: SeededRandom
        private var history: [[UInt8]] = []

        static let sources = ["10.77.0.1", "10.77.0.3"]

        /// What each receiver relayed of a circuit from the first peer to the second and back.
        let relayedInTrains = RelayedTraffic([], now: Fixture.now)
        let relayedSingly = RelayedTraffic([], now: Fixture.now)
        static let circuits = [CircuitPlace(outer: 0, id: 0x0102_0304), CircuitPlace(outer: 1, id: 0x8506_0708)]

        init(seed: UInt64) throws {
            random = SeededRandom(seed: seed)
            let pairs = (0..<2).map { Rig.pair($0) }
            let twins = (0..<2).map { Rig.pair($0) }
            senders = pairs.map(\.0)
            (trainSessions, singleSessions) = (pairs.map(\.1), twins.map(\.1))
            let routes = try Fixture.routes([("10.77.0.1/32", 0), ("10.77.0.3/32", 1)])
            trains.apply(.routes(routes))
            single.plane.apply(.routes(routes))
            for session in trainSessions { trains.apply(.install(session)) }
            for session in singleSessions { single.plane.apply(.install(session)) }
            for (place, onward) in [(Rig.circuits[0], Rig.circuits[1]), (Rig.circuits[1], Rig.circuits[0])] {
                trains.apply(.relay(place, to: onward, relayedInTrains))
                single.plane.apply(.relay(place, to: onward, relayedSingly))
            }
        }

        private static func pair(_ number: Int) -> (Session, Session) {
            Fixture.sessionPair(
                seed: UInt8(number + 1), indexA: 0xA000_0001 + UInt32(number), indexB: 0xB000_0001 + UInt32(number),
                slotAtB: number)
        }

        /// Puts the datagrams through both receivers and tells what a train made of them. All are as long as the first, but the
        /// last may be shorter.
        mutating func receive(_ datagrams: [[UInt8]], congestion: CongestionMark = .none) -> [Outcome] {
            let whole = datagrams.flatMap { $0 }
            var bytes = [UInt8](repeating: 0xDD, count: 32) + whole + [UInt8](repeating: 0xDD, count: 32)
            var outcomes: [Outcome] = []
            var span = bytes.mutableSpan
            let train = Train(32..<32 + whole.count, segment: datagrams[0].count)
            #expect(train.count == datagrams.count)
            trains.begin(train, congestion: congestion)
            while let verdict = trains.next(&span, now: Fixture.now) {
                if verdict.hasNews, let session = trains.takeNews().firstData { firstData.append(session.localIndex) }
                outcomes.append(Rig.outcome(verdict.outcome, span))
            }
            let isOver = trains.next(&span, now: Fixture.now) == nil
            #expect(isOver)
            let expected = datagrams.map { single.receive($0, congestion: congestion) }
            #expect(outcomes == expected)
            return outcomes
        }

        private static func outcome(_ outcome: InboundOutcome, _ buffer: borrowing MutableSpan<UInt8>) -> Outcome {
            var range = 0..<0
            switch outcome {
            case .consumed, .prohibited, .deliverReleased, .passOn: return .consumed
            case .drop(let reason): return .drop(reason)
            case .violation(_, let reason): return .violation(reason)
            case .handshake(let found): return .handshake(DatagramType(rawValue: buffer[found.lowerBound + 1])!)
            case .deliver(let found), .control(_, _, let found), .relay(let found, _): range = found
            }
            var bytes: [UInt8] = []
            for place in range { bytes.append(buffer[place]) }
            if case .control(_, let type, _) = outcome { return .control(type, bytes) }
            if case .relay(_, let slot) = outcome { return .relay(bytes, to: slot) }
            return .deliver(bytes)
        }

        /// That both receivers counted the same.
        func check() {
            let drops = DropReason.allCases.map { trains.drops[$0] }
            #expect(drops == DropReason.allCases.map { single.plane.drops[$0] })
            for (one, other) in zip(trainSessions, singleSessions) {
                #expect(one.statistics == other.statistics && one.lastReceived == other.lastReceived)
            }
            #expect(firstData == single.firstData.map(\.localIndex))
            #expect(relayedInTrains.packets == relayedSingly.packets && relayedInTrains.bytes == relayedSingly.bytes)
        }

        // MARK: Datagrams of a given size

        /// A sealed inner packet; `size` is at least 56.
        mutating func packet(_ size: Int, session: Int = 0, source: Int? = nil) throws -> [UInt8] {
            var packet = Fixture.packet(
                from: Rig.sources[source ?? session], to: "10.77.0.2", payload: size - 20 - Limits.layerOverhead)
            packet[1] = UInt8(random.fraction(of: 255))
            return try #require(senders[session].sealFrame(type: .ip, payload: packet, now: Fixture.now))
        }

        /// A RELAY frame for the peer of the other session; `size` is at least 56.
        mutating func relayed(_ size: Int, session: Int = 0) throws -> [UInt8] {
            let id = Rig.circuits[session].id
            let head = stride(from: 24, through: 0, by: -8).map { UInt8(truncatingIfNeeded: id >> UInt32($0)) }
            let payload = head + random.bytes(size - head.count - Limits.layerOverhead)
            return try #require(senders[session].sealFrame(type: .relay, payload: payload, now: Fixture.now))
        }

        /// An authentic datagram with any plaintext at all.
        func sealed(_ plaintext: [UInt8], session: Int) throws -> [UInt8] {
            let counter = senders[session].reserve(1).counter
            let header = OuterHeader(
                type: .data0, bodyLength: UInt16(plaintext.count + Limits.tag),
                receiverIndex: senders[session].remoteIndex, word: counter)
            var bytes = header.encoded + plaintext + [UInt8](repeating: 0, count: Limits.tag)
            let direction = UInt8(session + 1)
            let key = PacketKey(
                .aes256GCM, key: Secret(copying: [UInt8](repeating: direction &+ 100, count: 32)),
                iv: Secret(copying: [UInt8](repeating: direction ^ 100, count: 12)))
            let count = bytes.count
            var span = bytes.mutableSpan
            key.seal(&span, range: 0..<count, counter: counter)
            return bytes
        }

        /// A datagram whose frame is of no known type.
        func violation(_ size: Int, session: Int = 0) throws -> [UInt8] {
            let payload = size - Limits.layerOverhead
            let header = [0x99, 0, UInt8(payload >> 8), UInt8(payload & 0xFF)]
            return try sealed(header + [UInt8](repeating: 1, count: payload), session: session)
        }

        private func headed(_ type: DatagramType, _ size: Int, index: UInt32 = 0) -> [UInt8] {
            let header = OuterHeader(
                type: type, bodyLength: UInt16(size - Limits.outerHeader), receiverIndex: index, word: 0x1234_5678)
            return header.encoded + [UInt8](repeating: 9, count: size - Limits.outerHeader)
        }

        /// Anything of exactly this size.
        mutating func anything(_ size: Int) throws -> [UInt8] {
            let (session, kind) = (Int(random.fraction(of: 1)), random.fraction(of: 19))
            guard size >= Limits.outerHeader else { return random.bytes(size) }
            guard size >= 56 else {
                return kind < 10 ? headed(.data0, size, index: senders[session].remoteIndex) : random.bytes(size)
            }
            var datagram = try packet(size, session: session)
            switch kind {
            case 0:
                let payload = [UInt8](repeating: 7, count: size - Limits.layerOverhead)
                datagram = try #require(
                    senders[session].sealFrame(type: .keepalive, payload: payload, now: Fixture.now))
            case 1:
                let payload = [UInt8](repeating: 0, count: size - Limits.layerOverhead)
                datagram = try #require(senders[session].sealFrame(type: .pad, payload: payload, now: Fixture.now))
            case 2: datagram = try packet(size, session: session, source: 1 - session)
            case 3: datagram = headed(.s1, size)
            case 4: datagram = random.bytes(size)
            case 5: datagram[5] ^= 0x40
            case 6: datagram[size - 1] ^= 1
            case 7: datagram[1] = DatagramType.data1.rawValue
            case 8: datagram[3] ^= 1
            case 9: datagram = try violation(size, session: session)
            case 12, 13, 14: datagram = try relayed(size, session: session)
            case 10, 11:
                let earlier = history.filter { $0.count == size }
                if !earlier.isEmpty { datagram = earlier[Int(random.fraction(of: UInt64(earlier.count - 1)))] }
            default: break
            }
            history.append(datagram)
            if history.count > 200 { history.removeFirst() }
            return datagram
        }
    }

    @Test(arguments: UInt64(1)...30) func trainsEqualSingleDatagrams(seed: UInt64) throws {
        var rig = try Rig(seed: seed)
        let sizes = [1, 15, 16, 20, 35, 36, 55, 56, 57, 100, 300, 1232, 1233, 1472]
        for _ in 0..<60 {
            let size = sizes[Int(rig.random.fraction(of: UInt64(sizes.count - 1)))]
            let count = 1 + Int(rig.random.fraction(of: rig.random.chance(0.3) ? 129 : 8))
            var datagrams = try (0..<count - 1).map { _ in try rig.anything(size) }
            let last = rig.random.chance(0.5) ? size : 1 + Int(rig.random.fraction(of: UInt64(size - 1)))
            datagrams.append(try rig.anything(last))
            // A single datagram is as long as it is.
            let mark = CongestionMark(trafficClass: UInt8(rig.random.fraction(of: 3)))
            #expect(rig.receive(datagrams, congestion: mark).count == count)
        }
        rig.check()
        #expect(rig.trainSessions.allSatisfy { $0.statistics.packetsIn > 20 })
        #expect(rig.relayedInTrains.packets > 20)
        #expect(Set(rig.firstData).count == rig.firstData.count && rig.firstData.count == 2)
    }

    /// Two full trains' worth and more in one, and the order is kept.
    @Test(arguments: [63, 64, 65, 127, 128, 129, 200]) func longTrains(count: Int) throws {
        var rig = try Rig(seed: 1)
        let packets = (0..<count).map { _ in Fixture.packet(from: "10.77.0.1", to: "10.77.0.2", payload: 40) }
        let datagrams = try packets.enumerated().map { place, packet in
            var packet = packet
            packet[packet.count - 1] = UInt8(place)
            return try #require(rig.senders[0].sealFrame(type: .ip, payload: packet, now: Fixture.now))
        }
        let marks = rig.receive(datagrams).map { outcome -> UInt8? in
            if case .deliver(let packet) = outcome { packet.last } else { nil }
        }
        #expect(marks == (0..<count).map { UInt8($0) as UInt8? })
        #expect(rig.trainSessions[0].statistics.packetsIn == UInt64(count))
        rig.check()
    }

    /// What is relayed lies where it lay, with the next circuit's id, between packets that stay.
    @Test func relayedAmongOthers() throws {
        var rig = try Rig(seed: 7)
        var forged = try rig.relayed(100)
        forged[50] ^= 1
        let again = try rig.relayed(100)
        let train = [
            again, try rig.packet(100), try rig.relayed(100, session: 1), forged, try rig.relayed(100), again,
            try rig.relayed(80),
        ]
        let outcomes = rig.receive(train)
        func head(_ place: Int) -> (id: [UInt8], slot: PeerSlot)? {
            guard case .relay(let payload, let slot) = outcomes[place] else { return nil }
            return (id: Array(payload.prefix(4)), slot: slot)
        }
        for place in [0, 4, 6] {
            let found = try #require(head(place))
            #expect(found.slot == 1 && found.id == [0x85, 6, 7, 8])
        }
        let back = try #require(head(2))
        #expect(back.slot == 0 && back.id == [1, 2, 3, 4])
        #expect(outcomes[3] == .drop(.authentication) && outcomes[5] == .drop(.replayDuplicate))
        #expect(rig.relayedInTrains.packets == 4)
        rig.check()
    }

    @Test func theFirstDataIsToldOnce() throws {
        var rig = try Rig(seed: 2)
        // Not by what is not authentic, whatever comes behind it in the same train.
        var forged = try rig.packet(100)
        forged[99] ^= 1
        _ = rig.receive([forged])
        #expect(rig.firstData.isEmpty)
        let train = [forged, try rig.packet(100), try rig.packet(100), try rig.packet(100, session: 1)]
        _ = rig.receive(train)
        #expect(rig.firstData == [0xB000_0001, 0xB000_0002])
        _ = rig.receive([try rig.packet(100), try rig.packet(100, session: 1)])
        #expect(rig.firstData.count == 2)
        rig.check()
    }

    /// It is the node that closes a session; until then its datagrams count, and others' are none the worse.
    @Test func aViolationDoesNotStopTheRest() throws {
        var rig = try Rig(seed: 3)
        let train = [
            try rig.packet(100), try rig.violation(100), try rig.packet(100, session: 1), try rig.violation(100),
            try rig.packet(100), try rig.violation(100, session: 1), try rig.packet(80),
        ]
        let outcomes = rig.receive(train)
        #expect(outcomes[1] == .violation(.unknownFrameType) && outcomes[3] == .drop(.unknownFrameType))
        #expect(outcomes[5] == .violation(.unknownFrameType))
        for place in [0, 2, 4, 6] {
            guard case .deliver = outcomes[place] else { return fail("packet \(place) was not delivered") }
        }
        rig.check()
    }

    @Test func duplicatesWithinATrain() throws {
        var rig = try Rig(seed: 4)
        let (one, two) = (try rig.packet(200), try rig.packet(200))
        let outcomes = rig.receive([two, one, one, two, one])
        #expect(outcomes[2...] == [.drop(.replayDuplicate), .drop(.replayDuplicate), .drop(.replayDuplicate)])
        #expect(rig.trainSessions[0].statistics.packetsIn == 2)
        rig.check()
    }

    @Test func anEmptyDatagramIsOneDatagram() throws {
        var rig = try Rig(seed: 5)
        #expect(rig.receive([[]]) == [.drop(.tooShort)])
        #expect(Train(5..<5).count == 1 && Train(5..<5, segment: 0).count == 1)
        #expect(Train(0..<10, segment: 3).count == 4 && Train(0..<9, segment: 3).count == 3)
        #expect(Train(0..<10).count == 1 && Train(0..<2, segment: 3).count == 1)
    }

    /// Nothing of a train that was not told to its end comes out of the next one.
    @Test func aNewTrainForgetsTheOld() throws {
        var rig = try Rig(seed: 6)
        let (old, new) = (try (0..<10).map { _ in try rig.packet(100) }, try rig.packet(100, session: 1))
        var bytes = old.flatMap { $0 }
        var span = bytes.mutableSpan
        rig.trains.begin(Train(0..<1000, segment: 100))
        for _ in 0..<3 { _ = rig.trains.next(&span, now: Fixture.now) }
        guard case .deliver = rig.receive([new])[0] else { return fail("the new train was not delivered") }
    }
}
