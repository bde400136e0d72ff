// SPDX-License-Identifier: Apache-2.0
// Many nodes on one thread with real sockets: poll for what comes, a look at all deadlines for what is due.
import Foundation
import Glibc
import Nodes
import VPNCore
import VPNCrypto

struct Crowd {
    let identities: [SoftwareIdentity]
    private let server: IdentityPublicKeys
    private let cryptography = SystemCryptography()
    private var nodes: [HandshakeNode] = []
    private var sockets: [pollfd] = []
    private var endpoint = Endpoint(v4: 0, port: 0)
    private var buffer = [UInt8](repeating: 0, count: 65_536)
    private var lastLook = Instant.origin

    /// Handshakes that are under way at once: few enough for each to be answered in time.
    private static let underWay = 32

    init(count: Int, server: IdentityPublicKeys) throws {
        self.server = server
        identities = try (0..<count).map { _ in try SoftwareIdentity() }
    }

    var confirmed: Int { nodes.count { $0.confirmed != nil } }

    private var now: Instant { Instant(nanoseconds: DispatchTime.now().uptimeNanoseconds) }

    /// Seconds until all have a session.
    mutating func call(_ address: String, _ port: UInt16) throws -> Double {
        var numeric = in_addr()
        // SAFETY: the kernel's form of an address, written by inet_pton.
        guard unsafe inet_pton(AF_INET, address, &numeric) == 1 else { throw CrowdFailure("\(address): not IPv4") }
        endpoint = Endpoint(v4: UInt32(bigEndian: numeric.s_addr), port: port)
        let began = now
        var done = 0
        while done < identities.count {
            while nodes.count < identities.count, nodes.count - done < Self.underWay { try start(now: now) }
            try turn(milliseconds: 5)
            done = nodes.count { $0.confirmed != nil }
            if now.since(began).seconds > 1800 {
                throw CrowdFailure("\(done) of \(identities.count) after half an hour")
            }
        }
        return now.since(began).seconds
    }

    /// Answers and keeps time until the standard input ends.
    mutating func hold() throws {
        var input = pollfd(fd: 0, events: Int16(POLLIN), revents: 0)
        // SAFETY: one pollfd, which lives as long as the call.
        while unsafe Glibc.poll(&input, 1, 0) == 0 { try turn(milliseconds: 20) }
    }

    private mutating func start(now: Instant) throws {
        let number = nodes.count
        let socket = Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0)
        guard socket >= 0 else { throw CrowdFailure("socket \(number): errno \(errno)") }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = endpoint.port.bigEndian
        address.sin_addr.s_addr = endpoint.v4.bigEndian
        // SAFETY: a sockaddr_in of its own size, which lives as long as the call.
        let connected = unsafe withUnsafePointer(to: &address) { pointer in
            unsafe pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard connected == 0 else { throw CrowdFailure("connect: errno \(errno)") }
        sockets.append(pollfd(fd: socket, events: Int16(POLLIN), revents: 0))
        let node = HandshakeNode(
            identity: identities[number], peer: server, address: 0x0A4D_0001, endpoint: endpoint,
            cryptography: cryptography, now: now)
        nodes.append(node)
        node.start(now: now)
        send(number)
    }

    private mutating func turn(milliseconds: Int32) throws {
        // SAFETY: the kernel writes into as many entries as there are.
        guard unsafe poll(&sockets, nfds_t(sockets.count), milliseconds) >= 0 else {
            throw CrowdFailure("poll: errno \(errno)")
        }
        for number in sockets.indices where sockets[number].revents != 0 {
            while true {
                // SAFETY: the kernel writes at most so many bytes.
                let length = unsafe recv(sockets[number].fd, &buffer, buffer.count, 0)
                guard length > 0 else { break }
                nodes[number].receive(Array(buffer[..<length]), from: endpoint, now: now)
                send(number)
            }
        }
        guard now.since(lastLook) >= .milliseconds(50) else { return }
        lastLook = now
        for number in nodes.indices where nodes[number].nextDeadline <= lastLook {
            nodes[number].timeout(now: lastLook)
            send(number)
        }
    }

    private func send(_ number: Int) {
        for datagram in nodes[number].takeOutbox() {
            // SAFETY: the kernel reads so many bytes.
            _ = unsafe Glibc.send(sockets[number].fd, datagram, datagram.count, 0)
        }
    }
}
