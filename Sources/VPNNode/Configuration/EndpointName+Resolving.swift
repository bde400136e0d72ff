// SPDX-License-Identifier: Apache-2.0
// Looking up the name of an endpoint with the system's resolver. One look-up, no cache: when to look again is the node's.
internal import Glibc
public import VPNCore

extension EndpointName {
    /// All addresses behind this name, in the resolver's order. Blocks while a name is looked up: not for an actor's
    /// thread. Throws where the name does not resolve.
    public func resolve() throws(NodeFailure) -> [Endpoint] {
        guard case .name(let name) = host else { return literal.map { [$0] } ?? [] }
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = Int32(SOCK_DGRAM.rawValue)
        unsafe hints.ai_flags = AI_ADDRCONFIG
        var list: UnsafeMutablePointer<addrinfo>?
        // SAFETY: getaddrinfo fills `list`, which is freed below; nothing of it is kept.
        let status = unsafe getaddrinfo(name, nil, &hints, &list)
        guard status == 0 else {
            let reason = unsafe String(cString: gai_strerror(status))
            throw NodeFailure(.failure, "the name '\(name)' does not resolve: \(reason)")
        }
        defer { unsafe freeaddrinfo(list) }
        var endpoints: [Endpoint] = []
        var next = unsafe list
        while let entry = unsafe next {
            if let endpoint = unsafe Self.endpoint(entry.pointee, port: port), !endpoints.contains(endpoint) {
                endpoints.append(endpoint)
            }
            unsafe next = entry.pointee.ai_next
        }
        return endpoints
    }

    private static func endpoint(_ info: addrinfo, port: UInt16) -> Endpoint? {
        guard let raw = unsafe UnsafeRawPointer(info.ai_addr) else { return nil }
        // SAFETY: ai_addr points to a socket address of the family that ai_family names.
        switch unsafe info.ai_family {
        case AF_INET:
            let address = unsafe raw.loadUnaligned(as: sockaddr_in.self)
            return Endpoint(v4: UInt32(bigEndian: address.sin_addr.s_addr), port: port)
        case AF_INET6:
            var address = unsafe raw.loadUnaligned(as: sockaddr_in6.self)
            let scope = address.sin6_scope_id
            let bytes = unsafe withUnsafeBytes(of: &address.sin6_addr) { unsafe [UInt8]($0) }
            return IPAddress(bytes: bytes).map { Endpoint($0, port: port, scope: scope) }
        default: return nil
        }
    }
}
