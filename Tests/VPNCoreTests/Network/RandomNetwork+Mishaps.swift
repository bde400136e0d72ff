// SPDX-License-Identifier: Apache-2.0
// What happens to a network drawn at random: nodes that stop and move, ways that break, operators who change their minds, and
// everybody who means harm: on the way, from afar and from within.
import VPNCrypto
import VPNTesting

@testable import VPNCore

extension RandomNetwork {
    /// Something happens, then a moment of traffic.
    func step() {
        counts.happenings += 1
        switch Int.random(in: 0..<20, using: &random) {
        case 0: restart(says: false)
        case 1: restart(says: true)
        case 2, 3: roam()
        case 4: divide()
        case 5: links.islands = [:]
        case 6: renew()
        case 7: reconfigure()
        case 8: tamperWithCircuits()
        case 9, 10: sitDown()
        case 11: links.removeAttackers()
        case 12: flood()
        case 13, 14: sayNonsense()
        case 15: redrawLinks()
        case 16: suspendOrResume()
        case 17: run(for: .seconds(Int.random(in: 1...20, using: &random)))
        case 18: inquire()
        default: break
        }
        chatter()
    }

    private func chatter() {
        let routes = routes
        for _ in 0..<Int.random(in: 1...12, using: &random) {
            guard let route = routes.randomElement(using: &random) else { break }
            for _ in 0..<Int.random(in: 1...3, using: &random) {
                send(route, length: Int.random(in: PacketLedger.smallest...1100, using: &random))
            }
            run(for: .microseconds(Int.random(in: 1000...200_000, using: &random)))
        }
    }

    private func anyHost(_ isWanted: (Int) -> Bool = { _ in true }) -> (node: Int, host: VirtualHost)? {
        let node = hosts.indices.filter { hosts[$0] != nil && hosts[$0]?.isStopped == false && isWanted($0) }
            .randomElement(using: &random)
        return node.map { ($0, hosts[$0]!) }
    }

    private func restart(says goodbye: Bool) {
        guard let (node, _) = anyHost() else { return }
        stop(node, says: goodbye)
        returns.append((node, now + .milliseconds(Int.random(in: 0...20_000, using: &random))))
    }

    /// A client gets another address, or its NAT forgets it.
    private func roam() {
        guard let (node, host) = anyHost({ !plan.nodes[$0].isPublic }) else { return }
        if plan.nodes[node].translation != nil {
            tell("NAT of \(host.name) restarts")
            return network.rebindNAT(of: host)
        }
        let endpoint = Endpoint(
            v4: 0x2800_0001 | UInt32(node) << 16 | UInt32.random(in: 0...255, using: &random) << 8,
            port: UInt16.random(in: 1024...65535, using: &random))
        tell("\(host.name) moves to \(endpoint.v4)")
        endpoints[node] = endpoint
        links.own(endpoint, by: node)
        network.move(host, to: endpoint)
    }

    private func divide() {
        for node in hosts.indices { links.islands[node] = Int.random(in: 0...1, using: &random) }
        tell("islands: \(hosts.indices.map { links.islands[$0]! })")
    }

    func renew() {
        guard let (_, host) = anyHost(), let peer = host.snapshot(now: now).randomElement(using: &random) else {
            return
        }
        tell("\(host.name) renews with \(peer.name)")
        network.renew(peer.slot, at: host)
    }

    /// Operators change their minds; `restoreConfigurations` is how they change them back.
    private func reconfigure() {
        guard let (node, host) = anyHost() else { return }
        tell("\(host.name) is configured anew")
        switch Int.random(in: 0..<6, using: &random) {
        case 0:
            let ends: [Route] = plan.pairs.indices.compactMap { number in
                let pair = plan.pairs[number]
                return pair.caller == node || pair.called == node ? .pair(number, isBack: pair.called == node) : nil
            }
            guard let end = ends.randomElement(using: &random) else { return }
            if absent.remove(end) == nil { absent.insert(end) }
            network.updatePeers(peers(node), of: host)
        case 1: network.limitHandshakes(perMinute: Int.random(in: 0...30, using: &random), of: host)
        case 2:
            if revoking.remove(node) == nil { revoking.insert(node) }
            network.updateRevoked(revoking.contains(node) ? revoked(by: node) : [], of: host)
            // What was revoked left the directory, too.
            if !revoking.contains(node) { importRelays(node, host) }
        case 3 where plan.nodes[node].isRelay:
            network.enableRelay(nil, of: host)
            run(for: .milliseconds(Int.random(in: 0...3000, using: &random)))
            if let host = hosts[node] { network.enableRelay(relayPolicy, of: host) }
        case 4 where plan.nodes[node].isExit:
            guard let terms = exitTerms(node, policy: "reject tcp/*:25; accept *") else { return }
            network.changeExit(terms.fence, at: host)
        case 5:
            guard let peer = host.snapshot(now: now).randomElement(using: &random) else { return }
            _ = network.drop(peer.slot, of: host)
        default: break
        }
    }

    private func tamperWithCircuits() {
        guard let place = plan.circuits.indices.randomElement(using: &random), let number = wanted[place].number,
            let host = hosts[plan.circuits[place].client], !host.isStopped
        else { return }
        tell("\(host.name) replaces or closes its circuit")
        if random.chance(0.6) {
            network.replaceCircuit(number, at: host)
        } else {
            network.closeCircuit(number, at: host)
        }
    }

    private func suspendOrResume() {
        if let stopped = hosts.compactMap({ $0 }).first(where: \.isStopped) { return network.resume(stopped) }
        guard let (_, host) = anyHost() else { return }
        tell("\(host.name) is suspended")
        network.suspend(host)
    }

    private func inquire() {
        guard let (_, host) = anyHost(), let peer = host.snapshot(now: now).randomElement(using: &random) else {
            return
        }
        _ = network.ask(peer.slot, of: host)
    }

    // MARK: - Hostile ones

    /// Somebody on a way, in both directions.
    func sitDown(addsOnly: Bool = false) {
        let from = Int.random(in: hosts.indices, using: &random)
        let to = Int.random(in: hosts.indices, using: &random)
        let chance = [0.02, 0.1, 0.4].randomElement(using: &random)!
        tell("an attacker between \(from) and \(to)")
        for (from, to) in [(from, to), (to, from)] {
            links.attack(
                OnPathAttacker(addsOnly ? .adding(chance) : .all(chance), seed: random.next()), from: from, to: to)
        }
    }

    /// Handshake messages from thousands of addresses: of the right form, or said by somebody else before.
    private func flood() {
        guard let (node, host) = anyHost({ plan.nodes[$0].isPublic }) else { return }
        let old = plan.nodes.indices.compactMap { links.recorded(from: $0) }.filter { $0.bytes.count >= 128 }
        tell("\(host.name) is flooded")
        for _ in 0..<Int.random(in: 20...300, using: &random) {
            let source = Endpoint(
                v4: 0x4600_0000 | UInt32.random(in: 0...0xFF_FFFF, using: &random),
                port: UInt16(random.fraction(of: 65_535)))
            var bytes: [UInt8]
            if let recorded = old.randomElement(using: &random), random.chance(0.5) {
                bytes = recorded.bytes
            } else {
                let type: DatagramType = [.s0, .s1, .s2, .retry, .infoRequest, .data0].randomElement(using: &random)!
                bytes = random.bytes(type == .s0 || type == .retry ? 128 : 1232)
                (bytes[0], bytes[1]) = (1, type.rawValue)
                (bytes[2], bytes[3]) = (UInt8((bytes.count - 16) >> 8), UInt8((bytes.count - 16) & 0xFF))
            }
            network.inject(
                VirtualDatagram(
                    bytes: bytes, source: source, destination: endpoints[node]))
            counts.hostile += 1
        }
        for stranger in strangers {
            network.move(
                stranger,
                to: Endpoint(v4: 0x3C00_0000 | UInt32.random(in: 1...0xFF_FFFF, using: &random), port: 9000))
        }
    }

    /// A node says anything in the sessions that it has, and packets in the name of others among it.
    private func sayNonsense() {
        guard let (node, host) = anyHost() else { return }
        var slots = host.snapshot(now: now).map(\.slot)
        slots += host.circuits(now: now).flatMap { [$0.destination] + $0.slots }
        guard let slot = slots.randomElement(using: &random) else { return }
        tell("\(host.name) says nonsense to slot \(slot)")
        for _ in 0..<Int.random(in: 1...20, using: &random) {
            counts.hostile += 1
            if random.chance(0.3) {
                let other = hosts.indices.filter { $0 != node }.randomElement(using: &random)!
                let forgery = ledger.packet(
                    from: NetworkPlan.inner(other), to: 0x0A4D_0001, sender: node, addressee: nil, length: 100,
                    now: now)
                network.say(.ip, forgery, to: slot, from: host)
                continue
            }
            let type = FrameType.allCases.randomElement(using: &random)!
            // Nobody is to get these as packets: they are of no IP version.
            var payload = random.bytes(Int.random(in: 0...200, using: &random))
            if type == .ip, !payload.isEmpty { payload[0] = 0 }
            if type == .close, random.chance(0.9) { continue }
            network.say(type, payload, to: slot, from: host)
        }
    }
}
