// SPDX-License-Identifier: Apache-2.0
// What the tests of the engine stand on: a pipe in place of a TUN, a log of events, a thread in a network namespace of
// its own, and sessions with fixed keys.

import Dispatch
import Glibc
import Testing
import VPNCore
import VPNCrypto
import VPNLock

@testable import VPNEngine

/// How long a test waits for something that must happen; it fails then, and never measures.
let patienceSeconds = 20

/// A socket pair that keeps packets apart: one end for an engine in place of a TUN, one for the test.
final class PacketPipe: Sendable {
    private let end: FileDescriptor

    static func make() throws -> (pipe: PacketPipe, engineEnd: Int32) {
        var ends: [Int32] = [-1, -1]
        guard unsafe socketpair(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue), 0, &ends) == 0 else {
            throw EngineError(.system, errno: errno, "socketpair")
        }
        _ = fcntl(ends[1], F_SETFL, O_NONBLOCK)
        setPatience(ends[0])
        return (PacketPipe(end: FileDescriptor(owning: ends[0])), ends[1])
    }

    private init(end: consuming FileDescriptor) { self.end = end }

    func write(_ packet: [UInt8]) {
        let written = unsafe packet.withUnsafeBytes { unsafe Glibc.write(end.raw, $0.baseAddress!, $0.count) }
        #expect(written == packet.count)
    }

    /// What an engine sees as the end of its interface.
    func shutDown() { _ = shutdown(end.raw, Int32(SHUT_RDWR)) }

    /// The next packet that the engine delivered; nil if none comes.
    func read() -> [UInt8]? { readPacket(end.raw) }
}

func setPatience(_ descriptor: Int32) {
    var patience = timeval(tv_sec: patienceSeconds, tv_usec: 0)
    unsafe setsockopt(
        descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
}

func readPacket(_ descriptor: Int32) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: 65_536)
    let count = unsafe bytes.withUnsafeMutableBytes { unsafe recv(descriptor, $0.baseAddress!, $0.count, 0) }
    return count < 0 ? nil : Array(bytes.prefix(count))
}

/// Collects an engine's events and lets a test wait for one.
final class EventLog: Sendable {
    private let events = Guarded<[EngineEvent]>([])
    private let bell = DispatchSemaphore(value: 0)
    private let engine = Guarded<Engine?>(nil)

    func attach(_ engine: Engine) { self.engine.withLock { $0 = engine } }

    var onWake: @Sendable () -> Void { { [bell] in bell.signal() } }

    /// Waits for the first event that `pick` takes, and removes it; nil if none comes.
    func next<Value>(_ pick: (EngineEvent) -> Value?) -> Value? {
        let deadline = DispatchTime.now() + .seconds(patienceSeconds)
        while true {
            let fresh = engine.withLock { $0?.drainEvents() ?? [] }
            let found = events.withLock { events -> Value? in
                events += fresh
                for (place, event) in events.enumerated() {
                    if let value = pick(event) {
                        events.remove(at: place)
                        return value
                    }
                }
                return nil
            }
            if let found { return found }
            guard bell.wait(timeout: deadline) == .success else { return nil }
        }
    }

    func detach() { engine.withLock { $0 = nil } }
}

/// One thread that lives in a network namespace of its own and runs what it is given.
final class PrivateHost: Sendable {
    private let pool: JobPool

    /// Nil, after saying so loudly, where namespaces or TUN devices cannot be made.
    static func make(_ test: String) -> PrivateHost? {
        guard geteuid() == 0, unsafe access("/dev/net/tun", R_OK | W_OK) == 0 else {
            print("SKIPPED: \(test): it needs root and /dev/net/tun")
            return nil
        }
        do {
            let host = PrivateHost(pool: try JobPool(threads: 1, capacity: 4))
            try host.run { try PrivateNetwork.enter() }
            return host
        } catch {
            print("SKIPPED: \(test): \(error)")
            return nil
        }
    }

    private init(pool: JobPool) { self.pool = pool }

    func run<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) throws -> Value {
        let result = Guarded<Result<Value, any Error>?>(nil)
        let box = ResultBox(result: result)
        let done = DispatchSemaphore(value: 0)
        guard
            pool.submit({
                let value = Result { try body() }
                box.result.withLock { $0 = value }
                done.signal()
            })
        else { throw EngineError(.system, "submitting a job") }
        done.wait()
        return try box.result.withLock { $0! }.get()
    }

    private final class ResultBox<Value: Sendable>: Sendable {
        let result: Guarded<Result<Value, any Error>?>

        init(result: consuming Guarded<Result<Value, any Error>?>) { self.result = result }
    }
}

enum Fixture {
    static let loopback = Endpoint(v4: 0x7F00_0001, port: 0)
    static let loopbackV6 = Endpoint(high: 0, low: 1, port: 0)

    static func sessionPair(isConfirmedAtB: Bool = false) -> (Session, Session) {
        func key(_ direction: UInt8) -> KeyRatchet {
            KeyRatchet(
                .aes256GCM, key: Secret(copying: [UInt8](repeating: direction, count: 32)),
                iv: Secret(copying: [UInt8](repeating: direction, count: 12)))
        }
        let id = [UInt8](repeating: 9, count: 16)
        let a = Session(
            id: id, localIndex: 1, remoteIndex: 2, peer: 0, role: .initiator, cipher: .aes256GCM, sendKeys: key(1),
            receiveKeys: key(2), counterStart: 5, isConfirmed: true, establishedAt: MonotonicClock.now)
        let b = Session(
            id: id, localIndex: 2, remoteIndex: 1, peer: 0, role: .responder, cipher: .aes256GCM, sendKeys: key(2),
            receiveKeys: key(1), counterStart: 5, isConfirmed: isConfirmedAtB, establishedAt: MonotonicClock.now)
        return (a, b)
    }

    static func routes(_ prefixes: String...) throws -> RouteTable {
        var table = PrefixTable<PeerSlot>()
        for prefix in prefixes { table.insert(try IPPrefix(prefix), 0) }
        return RouteTable(table)
    }

    /// An IPv4 or IPv6 packet with right lengths; nobody looks at checksums here.
    static func packet(from source: String, to destination: String, payload: Int, mark: UInt8 = 0) -> [UInt8] {
        let (from, to) = (IPAddress(source)!, IPAddress(destination)!)
        let content = (0..<payload).map { UInt8(truncatingIfNeeded: $0) ^ mark }
        if from.family == .v4 {
            let total = 20 + payload
            let head: [UInt8] = [0x45, 0, UInt8(total >> 8), UInt8(total & 0xFF), 0, 0, 0, 0, 64, 17, 0, 0]
            return head + from.bytes + to.bytes + content
        }
        let head: [UInt8] = [0x60, 0, 0, 0, UInt8(payload >> 8), UInt8(payload & 0xFF), 17, 64]
        return head + from.bytes + to.bytes + content
    }

    /// Whether the checksum of a UDP packet without extensions is right: RFC 1071 in its own words.
    static func hasValidUDPChecksum(_ packet: [UInt8]) -> Bool {
        let (addresses, start) = packet[0] >> 4 == 4 ? (12..<20, 20) : (8..<40, 40)
        let length = packet.count - start
        let bytes = Array(packet[addresses]) + [UInt8(length >> 8), UInt8(length & 0xFF), 0, 17] + packet[start...]
        var sum = 0
        for (place, byte) in bytes.enumerated() { sum += Int(byte) << (place % 2 == 0 ? 8 : 0) }
        while sum > 0xFFFF { sum = sum >> 16 + sum & 0xFFFF }
        return sum == 0xFFFF && packet[start + 6...start + 7] != [0, 0]
    }

    /// Descriptors that this process has open.
    static var openDescriptors: Int {
        (0..<4096).count { fcntl(Int32($0), F_GETFD) >= 0 }
    }
}

/// The tests that own threads, descriptors and namespaces run one after the other, since one of them counts what is open.
@Suite(.serialized) enum Threads {}
