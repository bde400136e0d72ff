// SPDX-License-Identifier: Apache-2.0
// What an engine is made of, as validated values.

public import VPNCore

public struct EngineConfiguration: Sendable {
    /// The TUN side. A relay has none.
    public struct Tunnel: Sendable {
        /// 1 to 15 bytes; see `NetworkInterface.isValid`.
        public var name: String
        public var addresses: [InterfaceAddress]
        /// The inner MTU in bytes, computed by the node from the outer path.
        public var mtu: Int
        /// Networks to route into the tunnel; those that an address of the interface covers are there already.
        public var routes: [IPPrefix]
        /// The routing table that they go to, without exception; nil = the main one.
        public var table: UInt32?

        public init(
            name: String, addresses: [InterfaceAddress], mtu: Int, routes: [IPPrefix], table: UInt32? = nil
        ) {
            self.name = name
            self.addresses = addresses
            self.mtu = mtu
            self.routes = routes
            self.table = table
        }

        /// The networks to which the kernel makes the routes itself, in the main table.
        public var connected: Set<IPPrefix> { table == nil ? Set(addresses.map(\.network)) : [] }
    }

    public var tunnel: Tunnel?
    /// Where to listen. The IPv6 wildcard listens on both families; port 0 lets the kernel choose.
    public var listen: Endpoint
    /// Bytes of kernel buffer to ask for; 0 leaves the system's default.
    public var receiveBuffer: Int
    public var sendBuffer: Int
    /// What to ask the kernel for; it may grant less.
    public var offloads: Offloads
    public var padding: PaddingPolicy
    /// The mark of all outer datagrams, for policy routing and filters; nil = none.
    public var mark: UInt32?
    /// Whether the DSCP of inner packets is shown outside; ECN always is.
    public var carriesDSCP: Bool
    /// How many workers to ask for, at least 1: each is a queue of the TUN interface, a UDP socket and two threads.
    public var workers: Int
    /// Handshake datagrams, and as many control frames, that may wait for the node.
    public var eventCapacity: Int
    /// Datagrams of the node that may wait for a worker.
    public var transmitCapacity: Int

    /// Of the socket of handshakes: some hundred datagrams, since what waits longer is repeated anyway.
    static let doorBuffer = 2 << 20
    /// More workers than that share one interface badly.
    public static let mostWorkers = 64

    public init(
        tunnel: Tunnel?, listen: Endpoint, receiveBuffer: Int = 4 << 20, sendBuffer: Int = 4 << 20,
        offloads: Offloads = .all, padding: PaddingPolicy = .none, mark: UInt32? = nil, carriesDSCP: Bool = true,
        workers: Int = 1, eventCapacity: Int = 1024, transmitCapacity: Int = 1024
    ) {
        precondition((1...EngineConfiguration.mostWorkers).contains(workers))
        self.tunnel = tunnel
        self.listen = listen
        self.receiveBuffer = receiveBuffer
        self.sendBuffer = sendBuffer
        self.offloads = offloads
        self.padding = padding
        self.mark = mark
        self.carriesDSCP = carriesDSCP
        self.workers = workers
        self.eventCapacity = eventCapacity
        self.transmitCapacity = transmitCapacity
    }
}
