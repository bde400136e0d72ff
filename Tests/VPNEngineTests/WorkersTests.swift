// SPDX-License-Identifier: Apache-2.0
// Several workers against one: the same bytes, the same order within a flow, the same sums; and starts that must fail however
// many there are.

import Glibc
import Testing
import VPNCore
import VPNCrypto
import VPNLock

@testable import VPNEngine

/// What threads of a test count together.
private final class Tally: Sendable {
    let bytes = Guarded(0)
    let faults = Guarded(0)

    func add(bytes more: Int = 0, faults wrong: Int = 0) {
        bytes.withLock { $0 += more }
        faults.withLock { $0 += wrong }
    }
}

extension Threads {
    @Suite(.serialized) struct WorkersTests {
        /// A datagram that says which one it is, of a size that follows from that.
        private func datagram(_ flow: Int, _ number: Int, _ direction: UInt8) -> [UInt8] {
            let size = 8 + (number * 61 + flow * 7) % 1200
            var bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 5 &+ number) }
            bytes.replaceSubrange(0..<4, with: [direction, UInt8(flow), UInt8(number >> 8), UInt8(number & 0xFF)])
            return bytes
        }

        /// A byte of a stream, which no shift of it repeats within a segment.
        private static func content(_ place: Int, _ seed: Int) -> UInt8 {
            UInt8(truncatingIfNeeded: (place &* 7919 &+ seed) >> 3)
        }

        private static let streamBytes = 2 << 20

        /// All of a stream. A loop, since generic code that is not specialised takes minutes for it under ThreadSanitizer.
        private static func stream(_ seed: Int) -> [UInt8] {
            var bytes = [UInt8](repeating: 0, count: streamBytes)
            var place = 0
            while place < streamBytes {
                bytes[place] = content(place, seed)
                place += 1
            }
            return bytes
        }

        /// A TCP connection through the tunnel, both ways at once, in four threads.
        private func stream(_ hosts: CabledHosts, _ seed: Int, _ tally: Tally) throws -> (
            threads: [WorkerThread], sockets: [Int32]
        ) {
            let prefix = seed % 2 == 0 ? "10.77.0." : "fd77::"
            let listener = try hosts.open(2, prefix + "2", SOCK_STREAM)
            let client = try hosts.open(1, prefix + "1", SOCK_STREAM)
            #expect(listen(listener.raw, 1) == 0)
            try client.connect(to: listener.local)
            let server = accept(listener.raw, nil, nil)
            setPatience(server)
            let total = Self.streamBytes
            var threads: [WorkerThread] = []
            for (raw, own, other) in [(client.raw, seed, seed + 1000), (server, seed + 1000, seed)] {
                threads.append(
                    try WorkerThread(name: "writer") {
                        let data = Self.stream(own)
                        var sent = 0
                        while sent < total {
                            let chunk = data[sent..<min(sent + 50_000, total)]
                            let count = unsafe chunk.withUnsafeBytes { unsafe write(raw, $0.baseAddress!, $0.count) }
                            guard count > 0 else { return tally.add(faults: 1) }
                            sent += count
                        }
                    })
                threads.append(
                    try WorkerThread(name: "reader") {
                        var chunk = [UInt8](repeating: 0, count: 65_536)
                        var (received, wrong) = (0, 0)
                        while received < total {
                            let count = unsafe recv(raw, &chunk, chunk.count, 0)
                            guard count > 0 else { break }
                            var place = 0
                            while place < count {
                                if chunk[place] != Self.content(received + place, other) { wrong += 1 }
                                place += 1
                            }
                            received += count
                        }
                        tally.add(bytes: received, faults: wrong)
                    })
            }
            return (threads, [listener.raw, client.raw, server])
        }

        /// Waits until what one engine sent arrived at the other, both ways, and nobody says any more.
        private func settle(_ a: Engine, _ b: Engine) -> Bool {
            var (last, quiet): ([UInt64], Int) = ([], 0)
            for _ in 0..<patienceSeconds * 10 {
                let (one, other) = (a.counters(), b.counters())
                let counts = [
                    one.datagramsSent, other.datagramsSent, other.datagramsReceived, one.datagramsReceived,
                ]
                quiet = counts == last && counts[0] == counts[2] && counts[1] == counts[3] ? quiet + 1 : 0
                if quiet == 3 { return true }
                last = counts
                usleep(100_000)
            }
            return false
        }

        /// 32 flows of datagrams, one way or both, and four streams. A flow that goes both ways says one word each way first: with
        /// the first answer the kernel may give its packets to another queue, where they can overtake.
        @Test(arguments: [1, 2, 4]) func nothingIsLostOrReordered(workers: Int) throws {
            guard let hosts = try CabledHosts("nothingIsLostOrReordered") else { return }
            let (a, b, sessionA, sessionB) = try hosts.engines(workers: workers)
            #expect(a.workers == workers && b.workers == workers)
            let flows = try (0..<32).map { try hosts.flow(isV4: $0 % 8 < 4) }
            defer { for flow in flows { [flow.a, flow.b].forEach { $0.close() } } }
            func goes(_ flow: Int) -> (forth: Bool, back: Bool) { (flow % 4 != 1, flow % 4 != 0) }
            var (wrong, failures) = (0, 0)
            for (number, flow) in flows.enumerated() where goes(number).forth && goes(number).back {
                failures += flow.a.send([1]) == 0 && flow.b.receive() == [1] ? 0 : 1
                failures += flow.b.send([2]) == 0 && flow.a.receive() == [2] ? 0 : 1
            }
            let tally = Tally()
            let streams = try (0..<4).map { try stream(hosts, $0, tally) }
            for round in 0..<25 {
                let numbers = round * 6..<round * 6 + 6
                for (place, flow) in flows.enumerated() {
                    for number in numbers {
                        if goes(place).forth { failures += flow.a.send(datagram(place, number, 1)) == 0 ? 0 : 1 }
                        if goes(place).back { failures += flow.b.send(datagram(place, number, 2)) == 0 ? 0 : 1 }
                    }
                }
                for (place, flow) in flows.enumerated() where failures == 0 && wrong == 0 {
                    for number in numbers where wrong == 0 {
                        if goes(place).forth { wrong += flow.b.receive() == datagram(place, number, 1) ? 0 : 1 }
                        if goes(place).back { wrong += flow.a.receive() == datagram(place, number, 2) ? 0 : 1 }
                    }
                }
            }
            #expect(failures == 0 && wrong == 0)
            for stream in streams {
                for thread in stream.threads { thread.join() }
                for raw in stream.sockets { close(raw) }
            }
            #expect(tally.faults.withLock { $0 } == 0)
            #expect(tally.bytes.withLock { $0 } == 8 * Self.streamBytes)
            #expect(settle(a, b))
            a.stop()
            b.stop()
            let (countersA, countersB) = (a.counters(), b.counters())
            #expect(countersA.drops.isEmpty && countersB.drops.isEmpty, "\(countersA.drops), \(countersB.drops)")
            for (here, there) in [(countersA, countersB), (countersB, countersA)] {
                #expect(here.packetsFromTunnel == here.datagramsSent && here.datagramsSent == there.datagramsReceived)
                #expect(here.bytesSent == there.bytesReceived && there.packetsToTunnel == there.datagramsReceived)
            }
            let (statisticsA, statisticsB) = (sessionA.statistics, sessionB.statistics)
            #expect(statisticsA.packetsOut == countersA.datagramsSent && statisticsA.bytesOut == countersA.bytesSent)
            #expect(statisticsB.packetsIn == countersB.datagramsReceived)
            #expect(statisticsB.bytesIn == countersB.bytesReceived && statisticsB.failedOpens == 0)
        }

        /// A session with numbers and keys of its own.
        private func sessions(_ number: Int) -> (Session, Session) {
            func key(_ direction: UInt8) -> KeyRatchet {
                KeyRatchet(
                    .aes256GCM,
                    key: Secret(copying: [UInt8(number & 0xFF), direction] + [UInt8](repeating: 0, count: 30)),
                    iv: Secret(copying: [UInt8](repeating: direction, count: 12)))
            }
            let (id, here, there) = ([UInt8](repeating: 1, count: 16), UInt32(100 + number), UInt32(9100 + number))
            let now = MonotonicClock.now
            let a = Session(
                id: id, localIndex: here, remoteIndex: there, peer: 0, role: .initiator, cipher: .aes256GCM,
                sendKeys: key(1), receiveKeys: key(2), counterStart: 5, isConfirmed: true, establishedAt: now)
            let b = Session(
                id: id, localIndex: there, remoteIndex: here, peer: 0, role: .responder, cipher: .aes256GCM,
                sendKeys: key(2), receiveKeys: key(1), counterStart: 5, isConfirmed: false, establishedAt: now)
            return (a, b)
        }

        /// 200 new sessions while four flows ask and answer: no question and no answer gets lost at any change.
        @Test(arguments: [2, 4]) func newSessionsLoseNothing(workers: Int) throws {
            guard let hosts = try CabledHosts("newSessionsLoseNothing") else { return }
            let (a, b, _, _) = try hosts.engines(workers: workers)
            let flows = try (0..<4).map { try hosts.flow(isV4: $0 % 2 == 0) }
            defer { for flow in flows { [flow.a, flow.b].forEach { $0.close() } } }
            let (tally, stop) = (Tally(), Tally())
            let threads = try flows.map { flow in
                try WorkerThread(name: "asker") {
                    var number = 0
                    while stop.bytes.withLock({ $0 }) == 0 {
                        let question = [UInt8(number & 0xFF), UInt8(number >> 8 & 0xFF), 7]
                        guard flow.a.send(question) == 0, flow.b.receive() == question, flow.b.send(question) == 0,
                            flow.a.receive() == question
                        else { return tally.add(faults: 1) }
                        number += 1
                    }
                    tally.add(bytes: number)
                }
            }
            for number in 0..<200 {
                let (mine, theirs) = sessions(number)
                // As the node does it: the responder can receive before the initiator sends, and sends after that.
                b.post(.install(theirs))
                a.post(.activate(mine, .udp(CabledHosts.endpoint(2))))
                b.post(.activate(theirs, .udp(CabledHosts.endpoint(1))))
                usleep(2000)
            }
            stop.add(bytes: 1)
            for thread in threads { thread.join() }
            #expect(tally.faults.withLock { $0 } == 0)
            #expect(tally.bytes.withLock { $0 } > 0)
            #expect(settle(a, b))
            a.stop()
            b.stop()
            #expect(a.counters().drops.isEmpty && b.counters().drops.isEmpty)
        }

        private func failure(_ host: PrivateHost, _ configuration: EngineConfiguration) throws -> EngineError.Kind? {
            try host.run {
                do throws(EngineError) {
                    _ = try Engine(configuration, onWake: {})
                    return nil
                } catch {
                    return error.kind
                }
            }
        }

        /// Sockets of one engine share its port; those of another do not get in.
        @Test(arguments: [1, 2], [1, 2]) func aPortInUseIsNoticed(first: Int, second: Int) throws {
            guard let host = PrivateHost.make("aPortInUseIsNoticed") else { return }
            let engine = try host.run {
                try Engine(
                    EngineConfiguration(tunnel: nil, listen: Fixture.loopback, workers: first), onWake: {})
            }
            #expect(engine.workers == first)
            let again = EngineConfiguration(tunnel: nil, listen: engine.socket.local, workers: second)
            #expect(try failure(host, again) == .addressInUse)
            engine.stop()
            #expect(try failure(host, again) == nil)
        }

        @Test(arguments: [1, 2], [1, 2]) func aNameInUseIsNoticed(first: Int, second: Int) throws {
            guard let host = PrivateHost.make("aNameInUseIsNoticed") else { return }
            let tunnel = EngineConfiguration.Tunnel(
                name: "pqt0", addresses: [try InterfaceAddress("10.77.0.1/24")], mtu: 1420, routes: [])
            let one = EngineConfiguration(tunnel: tunnel, listen: Fixture.loopback, workers: first)
            let other = EngineConfiguration(tunnel: tunnel, listen: Fixture.loopback, workers: second)
            let engine = try host.run { try Engine(one, onWake: {}) }
            #expect(engine.workers == first)
            #expect(try failure(host, other) == .interfaceNameTaken)
            engine.stop()
            // A child that another test starts just now holds the device until it is another program.
            var left = try failure(host, other)
            for _ in 0..<patienceSeconds * 10 where left == .interfaceNameTaken {
                usleep(100_000)
                left = try failure(host, other)
            }
            #expect(left == nil)
        }

        /// An interface that the operator made has one queue, and so there is one worker; it stays when the engine goes.
        @Test func anInterfaceOfOneQueueHasOneWorker() throws {
            guard let host = PrivateHost.make("anInterfaceOfOneQueueHasOneWorker") else { return }
            guard try host.run({ shell("ip tuntap add dev pqt0 mode tun") }) else {
                return print("SKIPPED: anInterfaceOfOneQueueHasOneWorker: it needs ip")
            }
            let tunnel = EngineConfiguration.Tunnel(
                name: "pqt0", addresses: [try InterfaceAddress("10.77.0.1/24")], mtu: 1420, routes: [])
            let configuration = EngineConfiguration(tunnel: tunnel, listen: Fixture.loopback, workers: 4)
            let engine = try host.run { try Engine(configuration, onWake: {}) }
            #expect(engine.workers == 1)
            try engine.start()
            engine.stop()
            #expect(try host.run { shell("ip link show dev pqt0") })
        }
    }
}
