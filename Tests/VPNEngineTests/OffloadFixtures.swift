// SPDX-License-Identifier: Apache-2.0
// Two TUN interfaces of this kernel, each in a namespace of its own, and two engines between them: what tests of real TCP and UDP
// start with.
//
//   namespace A                                                       namespace B
//   TCP, UDP 10.77.0.1 ── TUN ── engine A ── loopback UDP ── engine B ── TUN ── 10.77.0.2

import Glibc
import Testing
import VPNCore

@testable import VPNEngine

/// One end: an interface in a namespace of its own, an engine outside.
struct OffloadEnd {
    let host: PrivateHost
    let engine: Engine
    let offloads: Offloads

    init?(_ test: String, _ addresses: [String], _ offloads: Offloads) throws {
        guard let host = PrivateHost.make(test) else { return nil }
        self.host = host
        let addresses = try addresses.map { try InterfaceAddress($0) }
        let (raw, granted) = try host.run { () -> (Int32, Offloads) in
            let device = try TunDevice.open(name: "pqt0", offloads: offloads)
            try NetworkInterface(name: "pqt0").configure(mtu: 1420, addresses: addresses)
            return (dup(device.raw), device.offloads)
        }
        let socket = try UDPSocket.open(
            Fixture.loopback, receiveBuffer: 4 << 20, sendBuffer: 4 << 20, offloads: offloads)
        engine = try Engine(
            EngineConfiguration(tunnel: nil, listen: Fixture.loopback), socket: socket,
            tunnel: TunDevice(owning: FileDescriptor(owning: raw), offloads: granted), interface: nil, onWake: {})
        self.offloads = engine.offloads
        try engine.start()
    }

    /// Two ends with one session; nil, and said so, where the machine has no room for them.
    static func pair(_ test: String, _ offloads: (Offloads, Offloads)) throws -> (OffloadEnd, OffloadEnd)? {
        guard let a = try OffloadEnd(test, ["10.77.0.1/24", "fd77::1/64"], offloads.0),
            let b = try OffloadEnd(test, ["10.77.0.2/24", "fd77::2/64"], offloads.1)
        else { return nil }
        #expect(a.offloads.isSubset(of: offloads.0) && b.offloads.isSubset(of: offloads.1))
        let (sessionA, sessionB) = Fixture.sessionPair()
        a.engine.post(.routes(try Fixture.routes("10.77.0.2/32", "fd77::2/128")))
        b.engine.post(.routes(try Fixture.routes("10.77.0.1/32", "fd77::1/128")))
        b.engine.post(.activate(sessionB, .udp(a.engine.socket.local)))
        a.engine.post(.activate(sessionA, .udp(b.engine.socket.local)))
        return (a, b)
    }

    /// A socket of the namespace, bound to an address of it, and where it is bound.
    func open(_ address: String, _ type: __socket_type) throws -> (raw: Int32, SocketAddress) {
        try host.run {
            var local = SocketAddress(IPAddress(address)!, port: 0)
            let raw = socket(local.family, Int32(type.rawValue), 0)
            setPatience(raw)
            guard unsafe local.with({ unsafe bind(raw, $0, $1) }) == 0 else {
                throw EngineError(.system, errno: errno, "bind")
            }
            unsafe local.read { unsafe getsockname(raw, $0, $1) }
            return (raw, local)
        }
    }
}

/// A byte of a stream, which no shift of it repeats within a segment.
func content(_ place: Int, _ seed: Int) -> UInt8 { UInt8(truncatingIfNeeded: (place &* 7919 &+ seed) >> 3) }

/// A socket address as the system calls take it.
struct SocketAddress {
    private var storage = sockaddr_storage()
    private var size: socklen_t
    let family: Int32

    init(_ address: IPAddress, port: UInt16) {
        family = address.family == .v4 ? AF_INET : AF_INET6
        size = socklen_t(address.family == .v4 ? MemoryLayout<sockaddr_in>.size : MemoryLayout<sockaddr_in6>.size)
        let (bytes, family) = (address.bytes, self.family)
        unsafe withUnsafeMutableBytes(of: &storage) { storage in
            unsafe storage.storeBytes(of: sa_family_t(family), as: sa_family_t.self)
            unsafe storage.storeBytes(of: port.bigEndian, toByteOffset: 2, as: UInt16.self)
            for (place, byte) in bytes.enumerated() { unsafe storage[(family == AF_INET ? 4 : 8) + place] = byte }
        }
    }

    mutating func with(_ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
        let size = size
        return unsafe withUnsafePointer(to: &storage) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe body($0, size) }
        }
    }

    mutating func read(_ body: (UnsafeMutablePointer<sockaddr>, UnsafeMutablePointer<socklen_t>) -> Int32) {
        unsafe withUnsafeMutablePointer(to: &storage) { storage in
            _ = unsafe storage.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe body($0, &size) }
        }
    }
}
