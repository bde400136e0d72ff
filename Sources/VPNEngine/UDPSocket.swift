// SPDX-License-Identifier: Apache-2.0
// The outer UDP socket: bound once, never connected, never waiting; datagrams move in batches.

import CLinux
import Glibc
public import VPNCore

/// What a UDP socket turned out to be after it was bound.
public struct UDPSocketFacts: Hashable, Sendable {
    /// The address and port that it is really bound to.
    public var local: Endpoint
    /// Whether it reaches IPv4 and IPv6 endpoints.
    public var hasV4: Bool
    public var hasV6: Bool
    /// SO_RCVBUF and SO_SNDBUF as the kernel reports them: twice the bytes that can be used.
    public var receiveBuffer: Int
    public var sendBuffer: Int
    /// Which of `.sendTrains` and `.receiveTrains` the kernel granted.
    public var offloads: Offloads
}

struct UDPSocket: ~Copyable, Sendable {
    private let descriptor: FileDescriptor
    private let family: Int32
    let facts: UDPSocketFacts
    /// Of all sockets that share its port.
    let addresses: LocalAddresses

    /// Opens and binds. The IPv6 wildcard speaks IPv4 as well, and becomes the IPv4 wildcard on a host without IPv6.
    ///
    /// - Parameter offloads: what to ask for; what the kernel lacks is left out.
    static func open(
        _ local: Endpoint, receiveBuffer: Int, sendBuffer: Int, offloads: Offloads = .all
    ) throws(EngineError) -> UDPSocket {
        if local.isV4 {
            return try bind(family: 4, local, receiveBuffer, sendBuffer, offloads)
        }
        let isWildcard = local.high == 0 && local.low == 0
        do {
            return try bind(family: isWildcard ? 46 : 6, local, receiveBuffer, sendBuffer, offloads)
        } catch  where error.kind == .ipv6Missing && isWildcard {
            return try bind(family: 4, Endpoint(v4: 0, port: local.port), receiveBuffer, sendBuffer, offloads)
        }
    }

    /// One more socket at the same address; the kernel gives all datagrams of one sender to one of them. This one was bound
    /// alone, so that an address in use was noticed.
    ///
    /// - Parameter receiveBuffer: in bytes; nil = as large as this one's.
    func shared(receiveBuffer: Int? = nil, offloads: Offloads? = nil) throws(EngineError) -> UDPSocket {
        let result = clinux_udp_share(raw)
        guard result == 0 else { throw EngineError(.system, errno: -result, "sharing a UDP port") }
        return try UDPSocket.bind(
            family: family, facts.local, receiveBuffer ?? facts.receiveBuffer / 2, facts.sendBuffer / 2,
            offloads ?? facts.offloads, sharing: addresses)
    }

    /// Gives the sockets that share this one's port what is for each: the first `workers` that were bound the data of sessions,
    /// by receiver index, and the next one all else. False where the kernel cannot.
    func steer(workers: Int) -> Bool { clinux_udp_steer(raw, Int32(workers)) == 0 }

    /// Marks all that it sends from now on; nil = leaves it as it is.
    func mark(_ mark: UInt32?) throws(EngineError) {
        guard let mark else { return }
        let result = clinux_udp_mark(raw, mark)
        if result == -EPERM { throw EngineError(.noNetAdmin, errno: EPERM, "network.fwmark") }
        guard result == 0 else { throw EngineError(.system, errno: -result, "marking the outer datagrams") }
    }

    private static func bind(
        family: Int32, _ local: Endpoint, _ receiveBuffer: Int, _ sendBuffer: Int, _ offloads: Offloads,
        sharing addresses: LocalAddresses? = nil
    ) throws(EngineError) -> UDPSocket {
        let raw = clinux_udp_open(family)
        let subject = text(local)
        if raw == -EAFNOSUPPORT, family != 4 { throw EngineError(.ipv6Missing, errno: EAFNOSUPPORT, "UDP \(subject)") }
        let descriptor = try FileDescriptor(raw, "opening a UDP socket")

        if addresses != nil {
            let result = clinux_udp_share(raw)
            guard result == 0 else { throw EngineError(.system, errno: -result, "sharing a UDP port") }
        }
        // §7: a datagram that is too long for its path is lost, not cut up: that is how the path is measured.
        let result = clinux_udp_probe_path(raw, family)
        guard result == 0 else { throw EngineError(.system, errno: -result, "turning fragmentation off") }
        // Without it ECN ends at the tunnel, which is allowed.
        _ = clinux_udp_report_class(raw, family)
        // Bound to one address, it answers from that one anyway.
        let isWildcard = local.isV4 ? local.v4 == 0 : local.high == 0 && local.low == 0
        if isWildcard { _ = clinux_udp_report_local(raw, family) }
        var address = clinux_address(local)
        // SAFETY: the pointers are to locals that outlive the calls.
        let bound = unsafe clinux_udp_bind(raw, family, &address)
        switch -bound {
        case 0: break
        case EADDRINUSE: throw EngineError(.addressInUse, errno: EADDRINUSE, subject)
        case EADDRNOTAVAIL: throw EngineError(.addressNotAvailable, errno: EADDRNOTAVAIL, subject)
        case EACCES, EPERM: throw EngineError(.portPermission, errno: -bound, subject)
        case EAFNOSUPPORT: throw EngineError(.ipv6Missing, errno: EAFNOSUPPORT, "UDP \(subject)")
        default: throw EngineError(.system, errno: -bound, "binding UDP \(subject)")
        }
        let named = unsafe clinux_udp_local_address(raw, &address)
        guard named == 0 else { throw EngineError(.system, errno: -named, "getsockname") }
        var (receive, send): (Int32, Int32) = (0, 0)
        let limit = Int(Int32.max) / 2
        unsafe clinux_udp_buffers(
            raw, Int32(clamping: min(receiveBuffer, limit)), Int32(clamping: min(sendBuffer, limit)), &receive, &send)
        var granted: Offloads = []
        if offloads.contains(.sendTrains), clinux_udp_can_send_trains(raw) == 0 { granted.insert(.sendTrains) }
        if offloads.contains(.receiveTrains), clinux_udp_receive_trains(raw) == 0 { granted.insert(.receiveTrains) }
        let facts = UDPSocketFacts(
            local: Endpoint(address), hasV4: family != 6, hasV6: family != 4, receiveBuffer: Int(receive),
            sendBuffer: Int(send), offloads: granted)
        return UDPSocket(
            descriptor: descriptor, family: family, facts: facts, addresses: addresses ?? LocalAddresses())
    }

    private init(
        descriptor: consuming FileDescriptor, family: Int32, facts: UDPSocketFacts, addresses: LocalAddresses
    ) {
        self.descriptor = descriptor
        self.family = family
        self.facts = facts
        self.addresses = addresses
    }

    var raw: Int32 { descriptor.raw }

    /// Whether the socket has the endpoint's family.
    @inline(__always)
    func reaches(_ endpoint: Endpoint) -> Bool { endpoint.isV4 ? facts.hasV4 : facts.hasV6 }

    /// Receives into the first `count` of the batch; the number of messages or −errno.
    @inline(__always)
    func receive(_ batch: UnsafeMutableBufferPointer<clinux_datagram>, _ count: Int) -> Int {
        // SAFETY: every element's base has room for its length, which the batch's owner guarantees.
        Int(unsafe clinux_udp_receive(descriptor.raw, batch.baseAddress!, Int32(min(count, batch.count))))
    }

    /// Sends trains of a batch; how many went, or −errno of the first.
    @inline(__always)
    func send(
        _ batch: UnsafeMutableBufferPointer<clinux_datagram>, _ trains: UnsafeMutablePointer<clinux_train>, _ count: Int
    ) -> Int {
        // SAFETY: every datagram's base has its length of bytes, and every train lies within the batch, which the
        // batch's owner guarantees.
        Int(unsafe clinux_udp_send(descriptor.raw, family, batch.baseAddress!, trains, Int32(count)))
    }

    private static func text(_ endpoint: Endpoint) -> String {
        endpoint.isV4 ? "\(endpoint.address):\(endpoint.port)" : "[\(endpoint.address)]:\(endpoint.port)"
    }
}

/// Routes as this host knows them; nothing is sent.
public enum Route {
    /// The MTU of the route to an endpoint, in bytes; nil where there is none.
    ///
    /// - Parameter mark: of the packets that would go there.
    public static func mtu(to endpoint: Endpoint, mark: UInt32? = nil) -> Int? {
        var address = clinux_address(endpoint)
        // SAFETY: the pointer is to a local that outlives the call.
        let result = unsafe clinux_udp_route_mtu(&address, mark ?? 0)
        return result > 0 ? Int(result) : nil
    }

    /// The address that packets to an endpoint would be sent from, with any port; nil where there is no route.
    public static func source(to endpoint: Endpoint, mark: UInt32? = nil) -> Endpoint? {
        var (address, source) = (clinux_address(endpoint), clinux_address())
        // SAFETY: the pointers are to locals that outlive the call.
        return unsafe clinux_udp_route_source(&address, mark ?? 0, &source) == 0 ? Endpoint(source) : nil
    }
}

// MARK: - Addresses

extension clinux_address {
    @inline(__always)
    init(_ endpoint: Endpoint) {
        self.init()
        // SAFETY: 16 bytes of plain integers, in network order as the C side has them.
        unsafe withUnsafeMutableBytes(of: &bytes) { bytes in
            unsafe bytes.storeBytes(of: endpoint.high.bigEndian, toByteOffset: 0, as: UInt64.self)
            unsafe bytes.storeBytes(of: endpoint.low.bigEndian, toByteOffset: 8, as: UInt64.self)
        }
        port = endpoint.port
        scope = endpoint.scope
    }
}

extension Endpoint {
    @inline(__always)
    init(_ address: clinux_address) {
        // SAFETY: 16 bytes of plain integers, in network order as the C side has them.
        let (high, low) = unsafe withUnsafeBytes(of: address.bytes) { bytes in
            unsafe (
                UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self)),
                UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            )
        }
        self.init(high: high, low: low, port: address.port, scope: address.scope)
    }
}
