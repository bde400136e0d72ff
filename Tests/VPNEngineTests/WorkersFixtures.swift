// SPDX-License-Identifier: Apache-2.0
// Two whole engines with as many workers as a test likes, each with its interface and its sockets in a namespace of its own, and a
// cable between them.
//
//   namespace A                                                                       namespace B
//   10.77.0.1 ── TUN, n queues ── engine A ── UDP 10.99.0.1 ═ veth ═ UDP 10.99.0.2 ── engine B ── TUN ── 10.77.0.2

import Glibc
import Testing
import VPNCore
import VPNCrypto
import VPNLock

@testable import VPNEngine

/// A command of the shell in the calling thread's namespace; whether it succeeded.
func shell(_ command: String) -> Bool { unsafe system("{ \(command); } >/dev/null 2>&1") == 0 }

/// Two hosts with a cable: 10.99.0.1 and 10.99.0.2 on interfaces called outer0.
struct CabledHosts {
    let hosts: [PrivateHost]

    /// Nil, after saying so loudly, where there can be none.
    init?(_ test: String) throws {
        guard let a = PrivateHost.make(test), let b = PrivateHost.make(test) else { return nil }
        hosts = [a, b]
        let place = try b.run { CabledHosts.namespace }
        var isMade = try a.run { shell("ip link add outer0 type veth peer name outer0 netns \(place)") }
        for (number, host) in hosts.enumerated() where isMade {
            isMade = try host.run {
                shell("ip address add 10.99.0.\(number + 1)/24 dev outer0 && ip link set outer0 up")
            }
        }
        guard isMade else {
            print("SKIPPED: \(test): it needs ip, and veth of the kernel")
            return nil
        }
    }

    /// Where the calling thread's namespace is to be found.
    private static var namespace: String {
        var name = [CChar](repeating: 0, count: 64)
        let count = unsafe readlink("/proc/thread-self", &name, name.count)
        let text = String(decoding: name.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return "/proc/\(text)/ns/net"
    }

    static func endpoint(_ number: Int, port: UInt16 = 9000) -> Endpoint {
        Endpoint(v4: 0x0A63_0000 | UInt32(number), port: port)
    }

    /// An engine on a host, number 1 or 2; it is not started.
    func engine(
        _ number: Int, workers: Int, mtu: Int = 1420, onWake: @escaping @Sendable () -> Void = {}
    ) throws -> Engine {
        let tunnel = EngineConfiguration.Tunnel(
            name: "pqt0",
            addresses: [
                try InterfaceAddress("10.77.0.\(number)/24"), try InterfaceAddress("fd77::\(number)/64"),
            ], mtu: mtu, routes: [])
        let configuration = EngineConfiguration(
            tunnel: tunnel, listen: CabledHosts.endpoint(number), workers: workers)
        return try hosts[number - 1].run { try Engine(configuration, onWake: onWake) }
    }

    /// Both engines, started and with one session.
    func engines(workers: Int) throws -> (a: Engine, b: Engine, sessionA: Session, sessionB: Session) {
        let (a, b) = (try engine(1, workers: workers), try engine(2, workers: workers))
        try a.start()
        try b.start()
        let (sessionA, sessionB) = Fixture.sessionPair()
        a.post(.routes(try Fixture.routes("10.77.0.2/32", "fd77::2/128")))
        b.post(.routes(try Fixture.routes("10.77.0.1/32", "fd77::1/128")))
        b.post(.activate(sessionB, .udp(CabledHosts.endpoint(1))))
        a.post(.activate(sessionA, .udp(CabledHosts.endpoint(2))))
        return (a, b, sessionA, sessionB)
    }

    /// A socket of host 1 or 2, bound to an address of it.
    func open(_ number: Int, _ address: String, _ type: __socket_type, port: UInt16 = 0) throws -> InnerSocket {
        try hosts[number - 1].run {
            var local = InnerAddress(IPAddress(address)!, port: port)
            let raw = socket(local.family, Int32(type.rawValue), 0)
            setPatience(raw)
            guard unsafe local.with({ unsafe bind(raw, $0, $1) }) == 0 else {
                throw EngineError(.system, errno: errno, "bind")
            }
            unsafe local.read { unsafe getsockname(raw, $0, $1) }
            return InnerSocket(raw: raw, local: local)
        }
    }

    /// Two datagram sockets through the tunnel, connected to each other.
    func flow(isV4: Bool) throws -> (a: InnerSocket, b: InnerSocket) {
        let prefix = isV4 ? "10.77.0." : "fd77::"
        let (a, b) = (try open(1, prefix + "1", SOCK_DGRAM), try open(2, prefix + "2", SOCK_DGRAM))
        try a.connect(to: b.local)
        try b.connect(to: a.local)
        return (a, b)
    }
}

/// An open socket and where it is bound; to be closed by whoever opened it.
struct InnerSocket: Sendable {
    let raw: Int32
    let local: InnerAddress

    func connect(to remote: InnerAddress) throws {
        var remote = remote
        guard unsafe remote.with({ unsafe Glibc.connect(raw, $0, $1) }) == 0 else {
            throw EngineError(.system, errno: errno, "connect")
        }
    }

    /// Sends on a connected socket; 0 or the errno.
    func send(_ bytes: [UInt8]) -> Int32 {
        let count = unsafe bytes.withUnsafeBytes { unsafe Glibc.send(raw, $0.baseAddress, $0.count, 0) }
        return count == bytes.count ? 0 : errno
    }

    func receive() -> [UInt8]? { readPacket(raw) }

    /// Sets an option of an int; whether the kernel took it.
    func set(_ level: Int32, _ option: Int32, _ value: Int32) -> Bool {
        var value = value
        return unsafe setsockopt(raw, level, option, &value, socklen_t(MemoryLayout<Int32>.size)) == 0
    }

    func get(_ level: Int32, _ option: Int32) -> Int32? {
        var value: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        return unsafe getsockopt(raw, level, option, &value, &size) == 0 ? value : nil
    }

    func close() { _ = Glibc.close(raw) }
}

/// A socket address as the system calls take it.
struct InnerAddress: Sendable {
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
