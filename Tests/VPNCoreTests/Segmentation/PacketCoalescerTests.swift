// SPDX-License-Identifier: Apache-2.0
// Joining against the model: whatever is written, an interface that divides it must give back every packet as it came,
// in order.

import Testing

@testable import VPNCore

@Suite struct PacketCoalescerTests {
    private func join(_ packets: [[UInt8]], tcp: Bool = true, udp: Bool = true) -> [JoinedPackets.Write] {
        let joined = JoinedPackets(packets, tcp: tcp, udp: udp)
        #expect(joined.fault == nil)
        return joined.writes
    }

    /// A run of one flow's packets.
    private func run(_ model: PacketModel, _ sizes: [Int], last: UInt8? = nil) -> [[UInt8]] {
        var model = model
        var packets: [[UInt8]] = []
        for (place, size) in sizes.enumerated() {
            model.payload = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ place) }
            if place == sizes.count - 1, let last { model.flags = last }
            packets.append(model.encoded())
            model.sequence &+= UInt32(size)
            model.id &+= 1
        }
        return packets
    }

    @Test(arguments: [true, false], [true, false]) func runsAreJoined(isIPv4: Bool, isTCP: Bool) {
        var model = PacketModel()
        (model.isIPv4, model.isTCP, model.tcpOptions) = (isIPv4, isTCP, [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2])
        model.dontFragment = false
        model.sequence = 0xFFFF_FF00
        for sizes in [[100, 100], [1000, 1000, 1000, 1], Array(repeating: 1300, count: 45), [700, 700, 699]] {
            let packets = run(model, sizes)
            let writes = join(packets)
            #expect(writes.map(\.count) == [sizes.count])
            #expect(Int(writes[0].header.segmentSize) == sizes[0])
        }
        #expect(join(run(model, [100, 100]), tcp: !isTCP, udp: isTCP).map(\.count) == [1, 1])
        // 65,535 bytes and 128 packets, 64 of UDP, are the limits of one write.
        #expect(join(run(model, Array(repeating: 1400, count: 47))).map(\.count) == [46, 1])
        let full = isTCP ? [128, 128, 44] : [64, 64, 64, 64, 44]
        #expect(join(run(model, Array(repeating: 10, count: 300))).map(\.count) == full)
        let more = isTCP ? 129 : 65
        #expect(join(run(model, Array(repeating: 10, count: more))).map(\.count) == [more - 1, 1])
        // A shorter one ends a run, a longer one begins another.
        #expect(join(run(model, [100, 50, 50, 100, 100])).map(\.count) == [2, 1, 2])
    }

    @Test func edges() {
        let model = PacketModel()
        let push = run(model, [100, 100, 100], last: 0x18)
        let pushed = join(push)
        #expect(pushed.map(\.count) == [3] && pushed[0].packet[33] == 0x18)
        // After PSH a new write begins; FIN, SYN, RST, URG and CWR stand alone.
        let more =
            push
            + run(
                {
                    var next = model; next.sequence = 300; return next
                }(), [100, 100])
        #expect(join(more).map(\.count) == [3, 2])
        for flags in [0x11, 0x12, 0x14, 0x30, 0x90] as [UInt8] {
            let packets = run(model, [100, 100, 100], last: flags)
            #expect(join(packets).map(\.count) == [2, 1])
        }
        var echo = model
        echo.flags = 0x50
        #expect(join(run(echo, [100, 100])).map(\.count) == [2])
        // Acknowledgements without data are never joined.
        #expect(join(run(model, [0, 0, 0])).map(\.count) == [1, 1, 1])
    }

    @Test func whatDiffersIsNotJoined() {
        var first = PacketModel()
        (first.dontFragment, first.tcpOptions) = (false, [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2])
        let changes: [(String, (inout PacketModel) -> Void)] = [
            ("source", { $0.source = 9 }), ("destination", { $0.destination = 9 }), ("tos", { $0.trafficClass = 4 }),
            ("ce", { $0.trafficClass = 3 }), ("ttl", { $0.hops = 63 }), ("df", { $0.dontFragment = true }),
            ("id", { $0.id = 7 }), ("sport", { $0.sourcePort = 9 }), ("dport", { $0.destinationPort = 9 }),
            ("sequence", { $0.sequence &+= 1 }), ("again", { $0.sequence = 0 }), ("ack", { $0.acknowledgement = 9 }),
            ("window", { $0.window = 9 }), ("options", { $0.tcpOptions[7] = 9 }),
            ("longer", { $0.tcpOptions += [1, 1, 1, 1] }),
            ("shorter", { $0.tcpOptions = [] }), ("ip options", { $0.ipOptions = [1, 1, 1, 0] }),
            ("protocol", { $0.isTCP = false }), ("family", { $0.isIPv4 = false }),
        ]
        first.payload = [UInt8](repeating: 3, count: 100)
        for (name, change) in changes {
            var second = first
            (second.sequence, second.id) = (100, 1)
            #expect(join([first.encoded(), second.encoded()]).map(\.count) == [2])
            change(&second)
            let packets = [first.encoded(), second.encoded()]
            #expect(join(packets).map(\.count) == [1, 1], "\(name)")
        }
    }

    /// A checksum that is wrong stays wrong: nothing is vouched for that was damaged.
    @Test(arguments: [true, false]) func damagedPacketsStayAsTheyAre(isTCP: Bool) {
        var model = PacketModel()
        model.isTCP = isTCP
        for damaged in 0..<3 {
            for place in [10, 11, isTCP ? 36 : 26, isTCP ? 37 : 27, 60] {
                var packets = run(model, [100, 100, 100])
                packets[damaged][place] ^= 0x10
                let writes = join(packets)
                #expect(writes.flatMap { PacketModel.segments($0.packet, $0.header) } == packets)
            }
        }
        if isTCP { return }
        // UDP without a checksum stays without.
        var packets = run(model, [100, 100])
        for place in 0..<2 { packets[place].replaceSubrange(26..<28, with: [0, 0]) }
        #expect(join(packets).map(\.count) == [1, 1])
    }

    @Test func randomTrafficComesBackAsItWent() {
        var random = SeededGenerator(4)
        var joined = 0
        for _ in 0..<400 {
            var flows = (0..<3).map { _ in PacketModel.random(&random) }
            for place in flows.indices where Bool.random(using: &random) {
                (flows[place].flags, flows[place].ipOptions) = (0x10, [])
            }
            var packets: [[UInt8]] = []
            while packets.count < 150 {
                let flow = Int.random(in: 0..<3, using: &random)
                let size = Int.random(in: 1...600, using: &random)
                for _ in 0..<Int.random(in: 1...12, using: &random) {
                    var packet = flows[flow]
                    let isOdd = Int.random(in: 0..<12, using: &random) == 0
                    packet.payload = .random(isOdd ? Int.random(in: 0...600, using: &random) : size, &random)
                    switch Int.random(in: 0..<30, using: &random) {
                    case 0: packet.flags = .random(in: 0...255, using: &random)
                    case 1: packet.flags |= 8
                    case 2: packet.window = .random(in: 0...9, using: &random)
                    case 3: packet.sequence &-= 10
                    case 4: packet.trafficClass ^= 3
                    case 5: packet.id &+= 5
                    default: break
                    }
                    var bytes = packet.encoded()
                    if Int.random(in: 0..<40, using: &random) == 0 {
                        bytes[Int.random(in: 0..<bytes.count, using: &random)] ^= 1
                    }
                    if Int.random(in: 0..<60, using: &random) == 0 {
                        bytes.removeLast(Int.random(in: 1...20, using: &random))
                    }
                    packets.append(bytes)
                    flows[flow].sequence &+= UInt32(packet.payload.count)
                    flows[flow].id &+= 1
                }
            }
            let writes = join(packets)
            joined += writes.count { $0.count > 1 }
        }
        #expect(joined > 2000)
    }

    /// What a splitter divides, joins again to the same bytes.
    @Test func splittingAndJoiningAreInverse() throws {
        var random = SeededGenerator(5)
        for _ in 0..<300 {
            var model = PacketModel.random(&random)
            (model.ipOptions, model.flags) = ([], 0x18)
            let size = Int.random(in: 600...1400, using: &random)
            let most = model.isTCP ? 60_000 : min(60_000, size * PacketCoalescer.datagrams)
            model.payload = .random(Int.random(in: size + 1...most, using: &random), &random)
            let packet = model.encoded(partial: true)
            let parts = PacketModel.segments(packet, model.header(segmentSize: size))
            let writes = join(parts)
            #expect(writes.count == 1 && writes[0].packet == packet)
            #expect(writes[0].header == model.header(segmentSize: size))
        }
    }
}
