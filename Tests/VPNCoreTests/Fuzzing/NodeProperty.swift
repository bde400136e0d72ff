// SPDX-License-Identifier: Apache-2.0
// Two whole nodes and the network between them under any list of operations: no packet comes twice or spoilt, what is kept stays
// bounded, and when the network is well again the two agree again.
import VPNCrypto
import VPNTesting

@testable import VPNCore

enum NodeProperty {
    /// One way between the two.
    static func check(_ input: inout FuzzInput, _ primitives: Primitives) throws {
        let shape = input.byte()
        var (alice, bob) = (NodeOptions(), NodeOptions())
        bob.callsPeer = shape & 1 == 1
        if shape & 2 != 0 { alice.keepaliveSeconds = 5 }
        if shape & 4 != 0 { (alice.rekeyPackets, alice.rekeyThreshold) = (20, .seconds(30)) }
        if shape & 8 != 0 { (alice.hasAESHardware, bob.hasAESHardware) = (false, false) }
        if shape & 16 != 0 { bob.handshakesPerMinute = 6 }
        let scenario = Scenario(
            seed: UInt64(shape), primitives: primitives, alice: alice, bob: bob, starting: false)
        var run = NodeRun(
            network: scenario.network, hosts: [scenario.alice, scenario.bob],
            homes: [Scenario.aliceEndpoint, Scenario.bobEndpoint])
        scenario.network.attach(scenario.bob)
        scenario.network.attach(scenario.alice)
        if shape & 0x60 != 0x60 { scenario.network.run(for: .seconds(3)) }
        try run.operate(&input)
        try run.settle()
    }

    /// Two or three ways, used at once.
    static func checkQuilt(_ input: inout FuzzInput) throws {
        let shape = input.byte()
        let schedulers: [QuiltScheduler] = QuiltScheduler.allCases
        let scenario = QuiltScenario(
            seed: UInt64(shape), ways: [LinkConditions](repeating: LinkConditions(), count: 2 + Int(shape & 1)),
            scheduler: schedulers[Int(shape >> 1) % schedulers.count])
        scenario.network.run(for: .seconds(2 + Int(shape >> 6)))
        let ways = 1...scenario.ways.count
        var run = NodeRun(
            network: scenario.network, hosts: [scenario.alice, scenario.bob],
            homes: [QuiltScenario.endpoint(1, 1), QuiltScenario.endpoint(1, 2)])
        run.changeWay = { way, kind, amount in
            let way = 1 + way % ways.count
            switch kind & 3 {
            case 0: scenario.cut.formSymmetricDifference([way])
            case 1: scenario.cutThere.formSymmetricDifference([way])
            case 2: scenario.ways[way - 1] = NodeRun.conditions(kind, amount)
            default: scenario.longestBytes[way] = amount < 128 ? 200 + 10 * Int(amount) : nil
            }
        }
        run.mendWays = {
            scenario.cut = []
            scenario.cutThere = []
            scenario.longestBytes = [:]
            for way in ways { scenario.ways[way - 1] = LinkConditions() }
        }
        try run.operate(&input)
        try run.settle()
    }
}

/// What is done to two nodes, and what must hold of them.
struct NodeRun {
    let network: VirtualNetwork
    let hosts: [VirtualHost]
    /// Where they are when all is well.
    let homes: [Endpoint]
    /// A way, what is done to it, and how much.
    var changeWay: ((Int, UInt8, UInt8) -> Void)?
    var mendWays: (() -> Void)?

    /// Inner packets on their way, by the host that is to get them.
    private var sent: [Set<[UInt8]>] = [[], []]
    private var seen = [0, 0]
    private var number: UInt32 = 0
    private var stopped: Set<Int> = []
    /// What is done to the next datagrams.
    private let mischief = Mischief()

    /// Shared with the network.
    private final class Mischief {
        var flips: [(place: Int, mask: UInt8)] = []
        var recent: [VirtualDatagram] = []

        func meet(_ datagram: VirtualDatagram) -> VirtualNetwork.Intervention {
            if recent.count == 32 { recent.removeFirst() }
            recent.append(datagram)
            guard let flip = flips.popLast() else { return .pass }
            if flip.mask == 0 { return .drop }
            var bytes = datagram.bytes
            bytes[flip.place % bytes.count] ^= flip.mask
            return .replace(bytes)
        }
    }

    init(network: VirtualNetwork, hosts: [VirtualHost], homes: [Endpoint]) {
        (self.network, self.hosts, self.homes) = (network, hosts, homes)
        network.isCapturing = false
        let (mischief, others) = (mischief, network.intervene)
        network.intervene = { datagram in
            if let others, case .drop = others(datagram) { return .drop }
            return mischief.meet(datagram)
        }
    }

    static func conditions(_ kind: UInt8, _ amount: UInt8) -> LinkConditions {
        var conditions = LinkConditions()
        conditions.loss = [0, 0.1, 0.5, 1][Int(amount & 3)]
        conditions.duplication = amount & 4 == 0 ? 0 : 0.5
        conditions.reordering = amount & 8 == 0 ? 0 : 0.5
        conditions.jitter = .milliseconds(amount & 16 == 0 ? 0 : 40)
        conditions.latency = .milliseconds(Int(kind >> 2) + 1)
        conditions.largestDatagram = amount & 0xE0 == 0xE0 ? 1000 : 1472
        return conditions
    }

    // MARK: - Operations

    mutating func operate(_ input: inout FuzzInput) throws {
        for _ in 0..<60 where !input.isEmpty {
            let kind = input.byte()
            let who = Int(kind >> 7)
            switch kind & 15 {
            case 0, 1, 2: send(from: who, count: 64 + Int(kind >> 4 & 7) * 150)
            case 3: for _ in 0..<Int(kind >> 4 & 7) * 4 { send(from: who, count: 300) }
            case 4, 5: network.run(for: .milliseconds(Int(input.byte()) * (kind & 0x40 == 0 ? 1 : 100)))
            case 6:
                if let changeWay {
                    changeWay(Int(kind >> 4), input.byte(), input.byte())
                } else {
                    network.conditions = Self.conditions(kind, input.byte())
                }
            case 7: mischief.flips.append((input.number(below: 1500), input.byte()))
            case 8: replay(input.byte(), input.byte())
            case 9: inject(&input, to: who)
            case 10: network.renew(0, at: hosts[who])
            case 11:
                if kind & 0x40 == 0 { _ = network.ask(0, of: hosts[who]) } else { _ = network.drop(0, of: hosts[who]) }
            case 12: stop(who, kind)
            case 13:
                let place = UInt32(input.byte() & 3)
                network.move(hosts[who], to: Endpoint(v4: homes[who].v4 &+ place << 3, port: homes[who].port))
            case 14: say(&input, from: who)
            default: network.limitHandshakes(perMinute: Int(input.byte()), of: hosts[who])
            }
            try look()
        }
    }

    private mutating func send(from who: Int, count: Int) {
        number += 1
        let ends: (UInt8, UInt8) = who == 0 ? (1, 2) : (2, 1)
        var packet = Scenario.packet(from: ends.0, to: ends.1, tag: UInt8(truncatingIfNeeded: number), count: count)
        for place in 0..<4 { packet[28 + place] = UInt8(truncatingIfNeeded: number >> UInt32(24 - 8 * place)) }
        sent[1 - who].insert(packet)
        network.sendInner(packet, from: hosts[who])
    }

    private static func number(of packet: [UInt8]) -> UInt32 { packet[28..<32].reduce(0) { $0 << 8 | UInt32($1) } }

    /// Something of before, once more, perhaps changed.
    private func replay(_ which: UInt8, _ change: UInt8) {
        guard !mischief.recent.isEmpty else { return }
        var datagram = mischief.recent[Int(which) % mischief.recent.count]
        if change & 1 != 0 { datagram.bytes[Int(which) % datagram.bytes.count] ^= change }
        if change & 0x40 != 0 { datagram.source.port ^= 1 }
        network.inject(datagram)
    }

    private func inject(_ input: inout FuzzInput, to who: Int) {
        let kind = input.byte()
        let type = DatagramType.allCases[Int(kind) % DatagramType.allCases.count]
        let size = [112, 1216, 16, 40, 200, 1000][Int(kind >> 4) % 6]
        var bytes = OuterHeader.bytes(
            type, bodyLength: size, receiverIndex: UInt32(input.byte()), word: UInt64(input.byte()))
        bytes += input.take(8)
        bytes.append(zeros: 16 + size - bytes.count)
        network.inject(VirtualDatagram(bytes: bytes, source: homes[1 - who], destination: hosts[who].endpoint))
    }

    private mutating func stop(_ who: Int, _ kind: UInt8) {
        if stopped.remove(who) != nil {
            network.resume(hosts[who])
        } else if kind & 0x10 != 0 {
            stopped.insert(who)
            network.suspend(hosts[who])
        }
    }

    /// A frame of one end's own making; it may say anything but inner packets.
    private func say(_ input: inout FuzzInput, from who: Int) {
        let types = FrameType.allCases.filter { $0 != .ip && $0 != .repair && $0 != .relay }
        let type = types[Int(input.byte()) % types.count]
        network.say(type, input.take(Int(input.byte() & 63)), to: 0, from: hosts[who])
    }

    // MARK: - What must hold

    private mutating func look() throws {
        for (place, host) in hosts.enumerated() {
            for packet in host.delivered[seen[place]...] where sent[place].remove(packet) == nil {
                throw FuzzFinding("\(host.name) got a packet that was not sent, or twice: \(packet.prefix(40))")
            }
            seen[place] = host.delivered.count
            let size = host.footprint
            try FuzzFinding.unless(
                size.peers <= 8 && size.sessions <= 16 && size.initiations <= size.peers && size.jobs <= 200
                    && size.reassemblies <= 256 && size.inboundHandshakes <= 600 && size.receiverIndices <= 64
                    && size.chainedKeys <= 16, "\(host.name) keeps \(size)")
        }
    }

    /// The network is made well, and the two have time.
    mutating func settle() throws {
        mendWays?()
        network.conditions = LinkConditions()
        mischief.flips = []
        for place in hosts.indices {
            network.move(hosts[place], to: homes[place])
            network.limitHandshakes(perMinute: 0, of: hosts[place])
        }
        for who in stopped.sorted() { network.resume(hosts[who]) }
        stopped = []
        // The longest pause between two attempts is 120 s, and a session that is of no use is given up after as long.
        for _ in 0..<60 {
            let before = number
            send(from: 0, count: 100)
            send(from: 1, count: 100)
            let isWell = network.run(for: .seconds(6)) {
                hosts.allSatisfy { host in host.delivered.last.map { Self.number(of: $0) > before } ?? false }
            }
            try look()
            if isWell { return }
        }
        let text = hosts.map { "\($0.name) \($0.footprint) \($0.controlDrops.nonZero) \($0.dataPlaneDrops.nonZero)" }
        throw FuzzFinding("no traffic after all is well: \(text.joined(separator: "; "))")
    }
}
