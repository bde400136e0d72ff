// SPDX-License-Identifier: Apache-2.0
// Real TUN interfaces, each in a network namespace that the test makes.
//
//   namespace of the test                              host
//   ┌───────────────────────────────┐
//   │ UDP 10.77.0.1 ─ route ─ TUN A │── engine A ── loopback UDP ── engine B ── pipe
//   └───────────────────────────────┘

import Glibc
import Testing
import VPNCore

@testable import VPNEngine

extension Threads {
    @Suite(.serialized) struct TunnelTests {
        private func tunnel(_ name: String = "pqt0", mtu: Int = 1420) throws -> EngineConfiguration.Tunnel {
            .init(
                name: name, addresses: [try InterfaceAddress("10.77.0.1/24"), try InterfaceAddress("fd77::1/64")],
                mtu: mtu,
                routes: [
                    try IPPrefix("10.77.0.0/24"), try IPPrefix("10.99.0.0/16"), try IPPrefix("fd99::/64"),
                    try IPPrefix("10.77.0.9/32"),
                ])
        }

        private func open(_ host: PrivateHost, _ tunnel: EngineConfiguration.Tunnel, _ log: EventLog) throws -> Engine {
            try host.run {
                try Engine(EngineConfiguration(tunnel: tunnel, listen: Fixture.loopback), onWake: log.onWake)
            }
        }

        /// A UDP socket in the namespace, and what was sent to it or through it.
        private func socket(_ host: PrivateHost, _ address: String) throws -> (raw: Int32, port: UInt16) {
            try host.run {
                let endpoint = Endpoint(IPAddress(address)!, port: 0)
                let socket = try UDPSocket.open(endpoint, receiveBuffer: 0, sendBuffer: 0)
                let raw = dup(socket.raw)
                _ = fcntl(raw, F_SETFL, 0)
                setPatience(raw)
                return (raw, socket.facts.local.port)
            }
        }

        private func send(_ raw: Int32, _ payload: [UInt8], to address: String, port: UInt16) -> Int {
            let to = IPAddress(address)!
            if to.family == .v4 {
                var target = sockaddr_in()
                target.sin_family = sa_family_t(AF_INET)
                target.sin_port = port.bigEndian
                target.sin_addr.s_addr = UInt32(to.value).bigEndian
                return unsafe withUnsafePointer(to: &target) {
                    unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        unsafe sendto(raw, payload, payload.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                    }
                }
            }
            var target = sockaddr_in6()
            target.sin6_family = sa_family_t(AF_INET6)
            target.sin6_port = port.bigEndian
            unsafe withUnsafeMutableBytes(of: &target.sin6_addr) { unsafe $0.copyBytes(from: to.bytes) }
            return unsafe withUnsafePointer(to: &target) {
                unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    unsafe sendto(raw, payload, payload.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in6>.size))
                }
            }
        }

        /// Swaps addresses and ports, which leaves every checksum right.
        private func answer(to packet: [UInt8]) -> [UInt8] {
            var answer = packet
            let (start, size, header) = packet[0] >> 4 == 4 ? (12, 4, 20) : (8, 16, 40)
            answer.replaceSubrange(start..<start + size, with: packet[start + size..<start + 2 * size])
            answer.replaceSubrange(start + size..<start + 2 * size, with: packet[start..<start + size])
            answer.replaceSubrange(header..<header + 2, with: packet[header + 2..<header + 4])
            answer.replaceSubrange(header + 2..<header + 4, with: packet[header..<header + 2])
            return answer
        }

        @Test(
            arguments: [
                ("10.77.0.1", "10.77.0.2"), ("10.77.0.1", "10.99.3.4"), ("fd77::1", "fd77::2"), ("fd77::1", "fd99::4"),
            ], [[], .tunnelTCP, .all] as [Offloads])
        func realPacketsPassBothWays(path: (source: String, destination: String), offloads: Offloads) throws {
            let (source, destination) = path
            guard let host = PrivateHost.make("realPacketsPassBothWays") else { return }
            let (logA, logB) = (EventLog(), EventLog())
            // The outer sockets must meet: engine A's interface is in the namespace, its socket is opened outside.
            let tunnel = try tunnel()
            let (device, granted) = try host.run { () -> (Int32, Offloads) in
                let device = try TunDevice.open(name: tunnel.name, offloads: offloads)
                let interface = try NetworkInterface(name: tunnel.name)
                try interface.configure(mtu: tunnel.mtu, addresses: tunnel.addresses)
                for route in tunnel.routes.dropFirst() { try interface.addRoute(route) }
                return (dup(device.raw), device.offloads)
            }
            #expect(granted.isSubset(of: offloads))
            func engine(_ raw: Int32, _ log: EventLog, _ offloads: Offloads) throws -> Engine {
                let socket = try UDPSocket.open(Fixture.loopback, receiveBuffer: 0, sendBuffer: 0)
                let engine = try Engine(
                    EngineConfiguration(tunnel: nil, listen: Fixture.loopback), socket: socket,
                    tunnel: TunDevice(owning: FileDescriptor(owning: raw), offloads: offloads), interface: nil,
                    onWake: log.onWake)
                try engine.start()
                return engine
            }
            let (pipe, engineEnd) = try PacketPipe.make()
            let (a, b) = (try engine(device, logA, granted), try engine(engineEnd, logB, []))
            let (sessionA, sessionB) = Fixture.sessionPair()
            a.post(.routes(try Fixture.routes("10.77.0.0/24", "10.99.0.0/16", "fd77::/64", "fd99::/64")))
            b.post(.routes(try Fixture.routes("10.77.0.1/32", "fd77::1/128")))
            b.post(.activate(sessionB, .udp(a.socket.local)))
            a.post(.activate(sessionA, .udp(b.socket.local)))

            let (raw, port) = try socket(host, source)
            defer { close(raw) }
            for length in [0, 1, 100, 1300] {
                let payload = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 3) }
                #expect(send(raw, payload, to: destination, port: 7) == length)
                let packet = try #require(pipe.read())
                let header = packet[0] >> 4 == 4 ? 20 : 40
                #expect(Array(packet.dropFirst(header + 8)) == payload)
                #expect(Fixture.hasValidUDPChecksum(packet))
                #expect(UInt16(packet[header]) << 8 | UInt16(packet[header + 1]) == port)
                pipe.write(answer(to: packet))
                #expect(readPacket(raw) == payload)
            }
            // No neighbour discovery of a link-local address falls into the tunnel.
            a.stop()
            b.stop()
            #expect(a.counters().drops.isEmpty, "\(a.counters().drops)")
        }

        @Test func theInterfaceIsAsConfiguredAndVanishes() throws {
            guard let host = PrivateHost.make("theInterfaceIsAsConfiguredAndVanishes") else { return }
            let log = EventLog()
            let engine = try open(host, try tunnel(mtu: 1393), log)
            #expect(engine.interface?.name == "pqt0")
            #expect(try host.run { try readFile("/proc/thread-self/net/dev").contains("pqt0") })
            let v6 = try host.run { try readFile("/proc/thread-self/net/if_inet6") }
            #expect(v6.contains("fd770000000000000000000000000001") && !v6.contains("fe80"))
            let routes = try host.run { try readFile("/proc/thread-self/net/route") }
            // 10.99.0.0/16 and 10.77.0.9/32, little-endian as that file has them.
            #expect(routes.contains("pqt0\t0000630A") && routes.contains("pqt0\t09004D0A"))
            try engine.start()
            try host.run {
                try engine.interface!.removeRoute(IPPrefix("10.99.0.0/16"))
                try engine.interface!.removeRoute(IPPrefix("10.99.0.0/16"))
                try engine.interface!.addRoute(IPPrefix("10.98.0.0/16"))
            }
            let changed = try host.run { try readFile("/proc/thread-self/net/route") }
            #expect(!changed.contains("pqt0\t0000630A") && changed.contains("pqt0\t0000620A"))
            engine.stop()
            func isThere() throws -> Bool {
                try host.run { try readFile("/proc/thread-self/net/dev").contains("pqt0") }
            }
            // A program that another test is just starting has all descriptors of this process until it is one.
            for _ in 0..<500 where try isThere() { usleep(10_000) }
            #expect(try !isThere())
        }

        @Test func failuresAreToldApart() throws {
            guard let host = PrivateHost.make("failuresAreToldApart") else { return }
            func failure(_ tunnel: EngineConfiguration.Tunnel) throws -> EngineError? {
                try host.run {
                    do throws(EngineError) {
                        let configuration = EngineConfiguration(tunnel: tunnel, listen: Fixture.loopback)
                        _ = try Engine(configuration, onWake: {})
                        return nil
                    } catch {
                        return error
                    }
                }
            }
            for name in ["", "sixteen-bytes-xx", "a/b", "a b", "a:b", "tun%d", ".", "..", "a\u{7F}", "a\n"] {
                #expect(try failure(tunnel(name))?.kind == .badInterfaceName, "\(name)")
            }
            #expect(try failure(tunnel("fifteen-bytes-x")) == nil)
            // The loopback interface is no TUN.
            #expect(try failure(tunnel("lo"))?.kind == .interfaceNameTaken)
            let log = EventLog()
            let first = try open(host, try tunnel(), log)
            let taken = try #require(try failure(tunnel()))
            #expect(taken.kind == .interfaceNameTaken && taken.description.contains("'pqt0'"))
            var second = try tunnel("pqt1")
            second.addresses = [try InterfaceAddress("10.78.0.1/24")]
            second.routes = [try IPPrefix("10.99.0.0/16")]
            let route = try #require(try failure(second))
            #expect(route.kind == .routeTaken && route.errno == EEXIST && route.description.contains("10.99.0.0/16"))
            #expect(try failure(tunnel("pqt2", mtu: 100))?.kind == .badMTU)
            #expect(try failure(tunnel("pqt2", mtu: 100_000))?.kind == .badMTU)
            first.stop()
        }

        @Test func aHostWithIPv6DisabledSaysSo() throws {
            guard let host = PrivateHost.make("aHostWithIPv6DisabledSaysSo") else { return }
            let tunnel = try tunnel()
            let kind = try host.run { () -> EngineError.Kind? in
                guard write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1") else { return .ipv6Missing }
                do throws(EngineError) {
                    _ = try Engine(EngineConfiguration(tunnel: tunnel, listen: Fixture.loopback), onWake: {})
                    return nil
                } catch {
                    return error.kind
                }
            }
            #expect(kind == .ipv6Missing)
        }

        @Test func withoutTheCapabilityTheErrorSaysSo() throws {
            guard let host = PrivateHost.make("withoutTheCapabilityTheErrorSaysSo") else { return }
            let tunnel = try tunnel()
            func failure(_ configuration: EngineConfiguration) throws -> EngineError? {
                try host.run {
                    do throws(EngineError) {
                        _ = try Engine(configuration, onWake: {})
                        return nil
                    } catch {
                        return error
                    }
                }
            }
            try host.run { try PrivateNetwork.dropCapabilities() }
            let device = try failure(EngineConfiguration(tunnel: tunnel, listen: Fixture.loopback))
            #expect(device?.kind == .noNetAdmin)
            #expect(device?.description.contains("CAP_NET_ADMIN") == true)
            let port = try failure(EngineConfiguration(tunnel: nil, listen: Endpoint(v4: 0x7F00_0001, port: 80)))
            #expect(port?.kind == .portPermission)
        }

        @Test func aDeletedInterfaceIsReported() throws {
            guard let host = PrivateHost.make("aDeletedInterfaceIsReported") else { return }
            let log = EventLog()
            let engine = try open(host, try tunnel(), log)
            log.attach(engine)
            try engine.start()
            try host.run { try engine.interface!.remove() }
            #expect(log.next { if case .tunGone = $0 { true } else { nil } } == true)
            log.detach()
            engine.stop()
        }
    }
}

private func readFile(_ path: String) throws -> String {
    let descriptor = try FileDescriptor(unsafe Glibc.open(path, O_RDONLY), path)
    var text: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while true {
        let count = unsafe read(descriptor.raw, &chunk, chunk.count)
        guard count > 0 else { return String(decoding: text, as: UTF8.self) }
        text += chunk.prefix(count)
    }
}

private func write(_ path: String, _ text: String) -> Bool {
    guard let descriptor = try? FileDescriptor(unsafe Glibc.open(path, O_WRONLY), path) else { return false }
    return unsafe Glibc.write(descriptor.raw, text, text.utf8.count) == text.utf8.count
}
