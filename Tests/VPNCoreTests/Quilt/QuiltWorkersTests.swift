// SPDX-License-Identifier: Apache-2.0
// Paths of one session that come to different workers, since they lie in sessions of others (§8, §9): one worker opens them all and puts
// them in order.
import Testing
import VPNCrypto

@testable import VPNCore

@Suite struct QuiltWorkersTests {
    /// The receiving end, with two workers; its session and the second path of it belong to worker 1.
    private struct End {
        static let (own, added): (UInt32, UInt32) = (0xB000_0001, 0xB000_0103)
        static let (first, second) = (CircuitPlace(outer: 1, id: 5), CircuitPlace(outer: 2, id: 6))

        let sender: Session
        let session: Session
        var planes: [InboundPlane]
        var passedOn: [(worker: Int, trafficClass: UInt8)] = []
        var drops: [DropReason] = []
        var delivered: [UInt8] = []
        /// The far ends of the sessions around circuits, by the peer's slot.
        private var links: [PeerSlot: Session] = [:]

        init() throws {
            func key(_ fill: UInt8) -> KeyRatchet {
                KeyRatchet(
                    .aes256GCM, key: Secret(copying: [UInt8](repeating: fill, count: 32)),
                    iv: Secret(copying: [UInt8](repeating: fill, count: 12)))
            }
            func session(
                _ local: UInt32, _ remote: UInt32, _ keys: (UInt8, UInt8), _ role: SessionRole, peer: PeerSlot = 0,
                on place: CircuitPlace? = End.first
            ) -> Session {
                Session(
                    id: [UInt8](repeating: 1, count: 16), localIndex: local, remoteIndex: remote, peer: peer,
                    role: role,
                    cipher: .aes256GCM, sendKeys: key(keys.0), receiveKeys: key(keys.1), counterStart: 100,
                    isConfirmed: true, establishedAt: Fixture.now, place: place)
            }
            sender = session(0xA000_0001, End.own, (1, 2), .initiator)
            self.session = session(End.own, 0xA000_0001, (2, 1), .responder)
            var own: [Session] = []
            for slot in [End.first.outer, End.second.outer] where links[slot] == nil {
                let number = UInt8(10 + slot)
                links[slot] = session(
                    UInt32(number), 0xC000 + UInt32(number), (number, number + 100), .initiator, on: nil)
                own.append(
                    session(
                        0xC000 + UInt32(number), UInt32(number), (number + 100, number), .responder, peer: slot, on: nil
                    ))
            }
            let routes = try Fixture.routes([("10.77.0.1/32", 0)])
            planes = (0..<2).map { InboundPlane(worker: $0, of: 2) }
            for place in planes.indices {
                planes[place].apply(.routes(routes))
                planes[place].apply(.activate(self.session, .circuit(End.first)))
                for link in own { planes[place].apply(.install(link)) }
            }
        }

        mutating func addPath() {
            let quilt = Quilt(session, QuiltConfiguration())
            for (number, place) in [End.first, End.second].enumerated() {
                quilt.withState {
                    $0.join(number, .circuit(place), remoteIndex: UInt32(number + 1), mtu: 1200, now: Fixture.now)
                }
            }
            for place in planes.indices {
                planes[place].apply(.patch(quilt, number: 1, index: End.added))
                planes[place].apply(.quilt(quilt))
            }
        }

        func packet(_ number: UInt8) -> [UInt8] {
            var packet = Fixture.packet(from: "10.77.0.1", to: "10.77.0.2")
            packet[28] = number
            return sender.sealFrame(type: .ip, payload: packet, now: Fixture.now)!
        }

        /// A datagram comes on a circuit to a worker, in a link's.
        mutating func take(
            _ datagram: [UInt8], under index: UInt32, on place: CircuitPlace, by worker: Int, ecn: UInt8 = 0
        ) {
            var bytes = datagram
            OuterHeader.address(&bytes, to: index)
            bytes = links[place.outer]!.sealFrame(
                type: .relay, payload: RelayMessage.encoded(id: place.id, datagram: bytes), now: Fixture.now)!
            planes[worker].begin(Train(bytes.indices), congestion: CongestionMark(trafficClass: ecn))
            drain(&bytes, by: worker)
        }

        private mutating func note(_ verdict: InboundVerdict, _ bytes: inout [UInt8], by worker: Int) {
            switch verdict.outcome {
            case .deliver(let range): delivered.append(bytes[range.lowerBound + 28])
            case .deliverReleased(let length):
                var room = [UInt8](repeating: 0, count: length)
                var span = room.mutableSpan
                planes[worker].copyReleased(into: &span, at: 0)
                delivered.append(room[28])
            case .passOn(let range, let other, let trafficClass):
                passedOn.append((other, trafficClass))
                var copy = Array(bytes[range])
                planes[other].begin(
                    Train(copy.indices), from: .circuit(verdict.place!),
                    congestion: CongestionMark(trafficClass: trafficClass))
                drain(&copy, by: other)
            case .drop(let reason): drops.append(reason)
            default: break
            }
        }

        private mutating func drain(_ bytes: inout [UInt8], by worker: Int) {
            while true {
                var span = bytes.mutableSpan
                guard let verdict = planes[worker].next(&span, now: Fixture.now) else { return }
                note(verdict, &bytes, by: worker)
            }
        }
    }

    /// The first path comes to worker 0, the second to worker 1.
    @Test func onePutsAllInOrder() throws {
        var end = try End()
        // Before there is a second path, whoever has it opens it.
        end.take(end.packet(1), under: End.own, on: End.first, by: 0)
        #expect(end.delivered == [1] && end.passedOn.isEmpty)
        end.addPath()
        let datagrams = (2...9).map { end.packet(UInt8($0)) }
        // 2 and 3 show that both bring something; then the first path's are late.
        end.take(datagrams[0], under: End.own, on: End.first, by: 0)
        end.take(datagrams[1], under: End.added, on: End.second, by: 1)
        #expect(end.delivered == [1, 2, 3])
        for number in [5, 7, 9] { end.take(datagrams[number - 2], under: End.added, on: End.second, by: 1) }
        #expect(end.delivered == [1, 2, 3])
        for number in [4, 6, 8] { end.take(datagrams[number - 2], under: End.own, on: End.first, by: 0) }
        #expect(end.delivered == Array(1...9), "\(end.drops)")
        #expect(end.passedOn.map(\.worker) == [1, 1, 1, 1])
        // A second time, by any worker: the replay window is one.
        end.take(datagrams[0], under: End.own, on: End.first, by: 0)
        end.take(datagrams[0], under: End.added, on: End.second, by: 1)
        #expect(end.drops == [.replayDuplicate, .replayDuplicate] && end.delivered.count == 9)
    }

    @Test func nothingElseIsPassedOn() throws {
        var end = try End()
        end.addPath()
        // The session's own index on another circuit, and an index of nobody.
        end.take(end.packet(1), under: End.own, on: End.second, by: 0)
        end.take(end.packet(2), under: 0xB000_0105, on: End.second, by: 0)
        #expect(end.drops == [.circuitSession, .unknownIndex] && end.passedOn.isEmpty)
        // What is no datagram of the session goes over, and ends there.
        var forged = end.packet(3)
        forged[20] ^= 1
        end.take(forged, under: End.added, on: End.second, by: 0)
        #expect(end.passedOn.map(\.worker) == [1] && end.delivered.isEmpty)
        #expect(end.drops.last == .authentication)
        // The mark of the way is not lost: this packet's ends do not know it.
        end.take(end.packet(4), under: End.added, on: End.second, by: 0, ecn: 3)
        #expect(end.passedOn.last?.trafficClass == 3 && end.drops.last == .congestion)
    }
}
