// SPDX-License-Identifier: Apache-2.0
// From a checked configuration to what the core and the engine are made with. Pure but for looking up names.
internal import Foundation
internal import VPNCore
internal import VPNCrypto
internal import VPNEngine

/// What a node will be, before it is anything.
struct NodePlan {
    var parameters: NodeParameters
    var peers: [PeerConfiguration]
    var engine: EngineConfiguration
    var jobCapacity: Int
    var unresolved: [EndpointName] = []
    /// The endpoint of each peer that has one, as the operator wrote it.
    var names: [String: EndpointName] = [:]
    var warnings: [String] = []
    var quilts = WantedQuilts()

    /// Two: one for each core of the smallest machine; handshakes of strangers never take both packet cores for long.
    static let jobThreads = 2
    /// Enough for a burst of callers; each is 1.85 ms of work and 200 bytes.
    static let ephemeralsKept = 16
    static let resolvePause = Duration.seconds(30)
    /// As many as an engine takes.
    static let mostWorkers = EngineConfiguration.mostWorkers
    /// Revocations must reach live sessions within 60 s; two stat calls every 5 s cost nothing.
    static let trustPause = Duration.seconds(5)

    /// - Parameter presharedKeys: by the name of the peer.
    init(
        _ configuration: NodeConfiguration, identity: LoadedIdentity, presharedKeys: [String: PresharedKey] = [:]
    ) {
        var unresolved: [EndpointName] = []
        var warnings: [String] = []
        func resolve(_ name: EndpointName) -> Endpoint? {
            do {
                if let endpoint = try name.resolve().first(where: { configuration.network.reaches($0) }) {
                    return endpoint
                }
                warnings.append("\(name) has no address of a family that network.bind_host serves")
            } catch {
                warnings.append("\(error); trying again every \(NodePlan.resolvePause.components.seconds) s")
            }
            unresolved.append(name)
            return nil
        }
        peers = configuration.directPeers.map { peer in
            PeerConfiguration(
                name: peer.name, peerID: peer.peerID, endpoint: peer.endpoint.flatMap(resolve),
                allowedIPs: peer.allowedIPs, keepaliveSeconds: peer.keepaliveSeconds,
                presharedKey: presharedKeys[peer.name])
        }
        quilts = WantedQuilts(configuration.directPeers, resolve: resolve)
        var called = Set(peers.compactMap(\.endpoint))
        let names = Set(configuration.directPeers.compactMap(\.endpoint))
        for name in configuration.bootstrapPeers where !names.contains(name) {
            let endpoint = resolve(name)
            // Whoever sits there is called already, with the rights of its own entry.
            if let endpoint, !called.insert(endpoint).inserted { continue }
            peers.append(
                PeerConfiguration(
                    name: NodePlan.bootstrapName(name), peerID: nil, endpoint: endpoint, allowedIPs: [],
                    isBootstrap: true))
        }
        for peer in configuration.directPeers { self.names[peer.name] = peer.endpoint }
        self.names.merge(quilts.names) { first, _ in first }
        for name in configuration.bootstrapPeers { self.names[NodePlan.bootstrapName(name)] = name }
        let endpoints = peers.compactMap(\.endpoint)
        let mtu = configuration.tunnel.mtu ?? NodePlan.automaticMTU(endpoints, mark: configuration.network.mark)
        parameters = NodeParameters(
            offers: Offers(hasAESHardware: PacketCipher.hasAESHardware), mtu: UInt16(mtu),
            trust: configuration.security.policy, descriptor: identity.descriptor.encoded,
            handshakesPerMinute: configuration.security.handshakesPerMinutePerAddress,
            maximumJobs: configuration.network.maximumConcurrentDatagrams,
            rekeyThreshold: .seconds(configuration.rekey.thresholdSeconds),
            rekeyInterval: .seconds(configuration.rekey.intervalSeconds), unixSeconds: UnixTime.now)
        parameters.rekeyBytes = UInt64(configuration.rekey.bytes)
        parameters.exchangesDirectory = configuration.directory.exchanges
        parameters.relayAddresses = configuration.directory.rule
        parameters.rekeyPackets = UInt64(configuration.rekey.packets)
        parameters.padding = configuration.obfuscation.padding
        parameters.coverBytesPerSecond = configuration.obfuscation.coverBytesPerSecond
        // Each caller costs two jobs at most, each peer one of its own, and the ephemerals one.
        jobCapacity = configuration.network.maximumConcurrentDatagrams * 2 + peers.count * 2 + 16
        var tunnel: EngineConfiguration.Tunnel?
        if configuration.tunnel.isEnabled {
            let routes = NodePlan.routes(configuration, avoiding: endpoints, warnings: &warnings)
            tunnel = .init(
                name: configuration.tunnel.interface,
                addresses: configuration.tunnel.addresses
                    + (configuration.exit.isOpen ? configuration.exit.addresses : []), mtu: mtu,
                routes: routes, table: configuration.tunnel.table)
        }
        engine = EngineConfiguration(
            tunnel: tunnel, listen: Endpoint(configuration.network.bindHost, port: configuration.network.listenPort),
            receiveBuffer: configuration.network.socketBufferSize, sendBuffer: configuration.network.socketBufferSize,
            padding: configuration.obfuscation.padding, mark: configuration.network.mark,
            carriesDSCP: configuration.tunnel.carriesDSCP,
            workers: configuration.network.workers
                ?? min(ProcessInfo.processInfo.activeProcessorCount, NodePlan.mostWorkers))
        self.unresolved = unresolved
        self.warnings = warnings
        planQuilts(configuration)
    }

    /// What such an entry is called, and whoever is first met behind it: as short as names of pins are, and unlike any other entry's.
    static func bootstrapName(_ name: EndpointName) -> String {
        let text = "bootstrap \(name)"
        guard text.utf8.count > 63 else { return text }
        let sum = Hash.sha256([UInt8](text.utf8)).prefix(4).map { Hex.encode([$0]) }.joined()
        return "\(text.prefix(54))-\(sum)"
    }

    /// §8: what the narrowest route to an endpoint leaves; without one, what a path of 1500 bytes does where IPv6 may be it.
    private static func automaticMTU(_ endpoints: [Endpoint], mark: UInt32?) -> Int {
        let known = endpoints.map { endpoint in
            let route = min(Route.mtu(to: endpoint, mark: mark) ?? Limits.usualPathMTU, Limits.largestPathMTU)
            return Limits.innerMTU(path: route, isV4: endpoint.isV4)
        }
        return max(known.min() ?? Limits.innerMTUOverIPv6, Limits.smallestInnerMTU)
    }

    /// Why there can be no route for a network in the main table; nil where there can.
    static func complaint(aboutRoute prefix: IPPrefix, _ endpoints: [Endpoint]) -> String? {
        guard prefix.length == 0 || endpoints.contains(where: { prefix.contains($0.address) }) else { return nil }
        return
            "no route for \(prefix): it would lead the tunnel's own datagrams into the tunnel; `pqvpn up` routes it by rules"
    }

    /// Peers' networks go into the tunnel, but never one that would swallow the tunnel's own datagrams: in a table of our own
    /// none does, since the rules that lead there leave those datagrams out.
    static func routes(
        _ configuration: NodeConfiguration, avoiding endpoints: [Endpoint], warnings: inout [String]
    ) -> [IPPrefix] {
        let prefixes = configuration.peers.flatMap(\.allowedIPs) + configuration.circuit.allowedIPs
        // The kernel's own route, in its main table: a mark does not lead around that.
        for prefix in configuration.tunnel.addresses.map(\.network) {
            for endpoint in endpoints where prefix.contains(endpoint.address) {
                warnings.append(
                    "\(endpoint.text) is in \(prefix), the tunnel's own network: no datagram gets there but through the tunnel; "
                        + "its endpoint must be an address outside")
            }
        }
        guard configuration.tunnel.table == nil else { return prefixes }
        var routes: [IPPrefix] = []
        for prefix in prefixes {
            if let complaint = complaint(aboutRoute: prefix, endpoints) {
                warnings.append(complaint)
            } else {
                routes.append(prefix)
            }
        }
        return routes
    }
}

extension NodeConfiguration.Network {
    /// Whether a socket bound there can send to this endpoint.
    func reaches(_ endpoint: Endpoint) -> Bool {
        bindHost.family == .v6 ? bindHost.value == 0 || !endpoint.isV4 : endpoint.isV4
    }
}
