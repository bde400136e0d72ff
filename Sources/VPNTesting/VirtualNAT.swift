// SPDX-License-Identifier: Apache-2.0
// A network address translator between one host and the rest (RFC 4787's vocabulary).
public import VPNCore

/// Maps one host's endpoint to public ones.
public struct VirtualNAT: Sendable {
    public enum Mapping: Sendable {
        /// One public port for all destinations.
        case endpointIndependent
        /// Another public port for each destination ("symmetric").
        case endpointDependent
    }

    let mapping: Mapping
    let publicEndpoint: Endpoint
    let timeout: TimeSpan
    private var ports: [Endpoint?: (port: UInt16, used: Instant)] = [:]
    private var nextPort: UInt16

    /// `timeout`: of an idle mapping.
    public init(_ mapping: Mapping, publicEndpoint: Endpoint, timeout: TimeSpan) {
        self.mapping = mapping
        self.publicEndpoint = publicEndpoint
        self.timeout = timeout
        nextPort = publicEndpoint.port
    }

    /// Forgets all mappings, as a restart does: the next datagrams leave by other ports.
    mutating func rebind() { ports = [:] }

    /// The source that the destination sees.
    mutating func outbound(to destination: Endpoint, now: Instant) -> Endpoint {
        let key: Endpoint? = mapping == .endpointDependent ? destination : nil
        var port = nextPort
        if let entry = ports[key], now.since(entry.used) < timeout {
            port = entry.port
        } else {
            nextPort &+= 1
        }
        ports[key] = (port, now)
        var endpoint = publicEndpoint
        endpoint.port = port
        return endpoint
    }

    /// Whether a datagram from `source` to our public `port` gets in: only where something went out to it before.
    mutating func admits(from source: Endpoint, port: UInt16, now: Instant) -> Bool {
        let key: Endpoint? = mapping == .endpointDependent ? source : nil
        guard let entry = ports[key], entry.port == port, now.since(entry.used) < timeout else { return false }
        ports[key] = (port, now)
        return true
    }
}
