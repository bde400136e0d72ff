// SPDX-License-Identifier: Apache-2.0
// The circuits through a node, and one path of a circuit of its own (§8), under any list of operations: tables that say the same
// from both sides, quotas that hold, an end that comes once.
import VPNCrypto
import VPNTesting

@testable import VPNCore

enum RelayProperty {
    static func check(_ input: inout FuzzInput) throws {
        if input.byte() & 1 == 0 { try checkRelay(&input) } else { try checkPath(&input) }
    }

    // MARK: - Circuits that pass

    private static let target = PeerID(bytes: [UInt8](repeating: 3, count: 32))!

    /// What a naive relay would remember.
    private struct Model {
        struct Circuit {
            var link: PeerSlot
            var until: Instant?
            var onward: CircuitPlace?
            var used: Instant
        }
        var circuits: [CircuitPlace: Circuit] = [:]
        var extends: [PeerSlot: [Instant]] = [:]

        func count(_ client: PeerSlot) -> Int { circuits.keys.count { $0.outer == client } }
        func links(_ link: PeerSlot) -> Int { circuits.values.count { $0.link == link } }
    }

    private static func checkRelay(_ input: inout FuzzInput) throws {
        var policy = RelayPolicy()
        policy.circuitsPerClient = 3
        policy.circuitsPerLink = 5
        policy.circuits = 8
        policy.extendsPerMinute = Int(input.byte() & 7)
        var relay = RelayStateMachine()
        relay.policy = policy
        var model = Model()
        var now = Instant.origin + .seconds(100)
        for step in 0..<200 where !input.isEmpty {
            let kind = input.byte()
            let place = CircuitPlace(outer: Int(kind >> 3 & 3), id: 1 + UInt32(input.byte() & 7))
            let link = 4 + Int(kind >> 5 & 3)
            switch kind & 7 {
            case 0:
                let recent = (model.extends[place.outer] ?? []).filter { now.since($0) < .seconds(60) }
                let isAdmitted = policy.extendsPerMinute == 0 || recent.count < policy.extendsPerMinute
                try FuzzFinding.unless(
                    relay.admitExtend(from: place.outer, now: now) == isAdmitted, "step \(step): admitted, or not")
                if isAdmitted { model.extends[place.outer] = recent + [now] }
            case 1, 2:
                let hasRoom =
                    model.circuits.count < 8 && model.count(place.outer) < 3 && model.links(link) < 5
                try FuzzFinding.unless(
                    relay.hasRoom(from: place.outer, to: link) == hasRoom, "step \(step): room \(!hasRoom)")
                guard hasRoom, !relay.isUsed(place) else { continue }
                relay.begin(place, to: target, over: link, now: now)
                model.circuits[place] = Model.Circuit(link: link, until: now + Limits.linkWait, used: now)
            case 3:
                guard let circuit = model.circuits[place], circuit.onward == nil else { continue }
                let onLink = CircuitPlace(outer: circuit.link, id: 0x100 + UInt32(input.byte() & 15))
                guard !relay.isUsed(onLink), let held = relay[place] else { continue }
                _ = relay.open(held, onward: onLink, now: now)
                model.circuits[place]?.onward = onLink
                model.circuits[place]?.until = nil
                model.circuits[place]?.used = now
            case 4:
                guard let circuit = relay.circuit(at: place) else { continue }
                relay.remove(circuit)
                // Twice does no harm.
                if kind & 0x80 != 0 { relay.remove(circuit) }
                model.circuits[place] = nil
            case 5:
                now += .milliseconds(input.number(below: 30_000))
                let late = relay.overdue(now: now).map(\.client)
                let expected = model.circuits.filter { $0.value.until.map { $0 <= now } ?? false }.keys
                try FuzzFinding.unless(Set(late) == Set(expected), "step \(step): late \(late), not \(expected)")
                for client in late {
                    if let circuit = relay[client] { relay.remove(circuit) }
                    model.circuits[client] = nil
                }
            case 6:
                relay.tidy(now: now)
                let idle = Set(relay.idle(now: now).map(\.client))
                let expected = model.circuits.filter {
                    $0.value.onward != nil && now.since($0.value.used) >= Limits.circuitIdle
                }
                try FuzzFinding.unless(idle == Set(expected.keys), "step \(step): idle \(idle)")
            default:
                relay.forget(place.outer)
                model.extends[place.outer] = nil
            }
            try agree(relay, model, "step \(step)")
        }
        for circuit in relay.all { relay.remove(circuit) }
        now += .seconds(61)
        relay.tidy(now: now)
        try FuzzFinding.unless(relay.count == 0 && relay.remembered == 0, "\(relay.remembered) peers are remembered")
    }

    private static func agree(_ relay: RelayStateMachine, _ model: Model, _ place: String) throws {
        try FuzzFinding.unless(
            Set(relay.all.map(\.client)) == Set(model.circuits.keys) && relay.count == model.circuits.count,
            "\(place): circuits \(relay.all.map(\.client))")
        for (client, circuit) in model.circuits {
            try FuzzFinding.unless(
                relay[client]?.link == circuit.link && relay[client]?.onward == circuit.onward, "\(place): \(client)")
            guard let onward = circuit.onward else { continue }
            try FuzzFinding.unless(
                relay.circuit(at: onward)?.client == client && relay.isUsed(onward), "\(place): \(client) from behind")
        }
        for slot in 0..<8 {
            let belongs = model.circuits.filter { $0.key.outer == slot || $0.value.link == slot }
            try FuzzFinding.unless(
                Set(relay.circuits(of: slot).map(\.client)) == Set(belongs.keys), "\(place): circuits of \(slot)")
            try FuzzFinding.unless(relay.usesLink(slot) == (model.links(slot) > 0), "\(place): link \(slot)")
        }
    }

    // MARK: - A path of one's own

    private static func checkPath(_ input: inout FuzzInput) throws {
        let hops = 1 + Int(input.byte() & 7)
        let endsUnmet = input.byte() & 1 == 1
        var path = CircuitStateMachine(
            hops: hops, firstWords: (0..<Int(input.byte() & 7)).map { .seconds(1 + $0) }, endsUnmet: endsUnmet)
        var now = Instant.origin + .seconds(100)
        var (isReady, isOver, extends, greeted) = (false, false, [Int: Int](), 0)
        func note(_ effects: [CircuitEffect], _ place: String) throws {
            for effect in effects {
                try FuzzFinding.unless(!isOver, "\(place): \(effect) after the end")
                switch effect {
                case .enter: break
                case .extend(let hop):
                    extends[hop, default: 0] += 1
                    try FuzzFinding.unless(
                        (1..<hops).contains(hop) && extends[hop]! <= 1 + Limits.extendRepeats.count,
                        "\(place): EXTEND \(hop) of \(hops), \(extends)")
                case .identify(let hop), .greet(let hop):
                    try FuzzFinding.unless(
                        (1..<hops).contains(hop) && !(endsUnmet && hop == hops - 1), "\(place): \(effect) of \(hops)")
                    if case .greet = effect { greeted += 1 }
                case .ready:
                    let met = endsUnmet ? max(0, hops - 2) : hops - 1
                    try FuzzFinding.unless(!isReady && greeted == met, "\(place): ready after \(greeted) of \(hops)")
                    isReady = true
                case .failed(_, let hop):
                    try FuzzFinding.unless((0..<hops).contains(hop), "\(place): hop \(hop) of \(hops) failed")
                    isOver = true
                case .drained:
                    try FuzzFinding.unless(isReady, "\(place): drained before it was ready")
                    isOver = true
                }
            }
        }
        let isEntered = input.byte() & 1 == 1
        try note(path.start(isEntered: isEntered, now: now), "start")
        for step in 0..<100 where !input.isEmpty {
            let kind = input.byte()
            let hop = Int(kind >> 3 & 7)
            let effects: [CircuitEffect]
            switch kind & 7 {
            case 0: effects = path.entered(now: now)
            case 1: effects = path.extended(hop: hop, .ready(largest: input.word() | 0x400), now: now)
            case 2: effects = kind & 0xC0 == 0 ? path.extended(hop: hop, .refused(.busy), now: now) : []
            case 3: effects = path.identified(hop: hop, kind & 0xC0 != 0, now: now)
            case 4: effects = path.greeted(hop: hop, now: now)
            case 5:
                now += .milliseconds(input.number(below: 9_000))
                effects = path.timeout(hasAnswered: kind & 8 == 0, now: now)
            case 6:
                if isReady, path.stage == .ready { path.drain(now: now) }
                effects = []
            default: effects = kind & 0xF0 == 0xF0 ? path.fail(.lost, hop: min(hop, hops - 1)) : []
            }
            try note(effects, "step \(step)")
            try FuzzFinding.unless(
                path.isBuilding == (!isReady && !isOver) && (path.stage == .over) == isOver,
                "step \(step): \(path.stage), ready \(isReady), over \(isOver)")
            try FuzzFinding.unless(
                (path.deadline == nil) == (isOver || path.stage == .ready),
                "step \(step): \(path.stage) has no deadline")
        }
        // Left alone, a path that is not ready comes to its end.
        for _ in 0..<100 where !isOver && path.stage != .ready {
            now = max(now, path.deadline ?? now)
            try note(path.timeout(now: now), "end")
        }
        try FuzzFinding.unless(isOver || path.stage == .ready, "\(path.stage) has no end")
    }
}
