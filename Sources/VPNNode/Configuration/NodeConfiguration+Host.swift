// SPDX-License-Identifier: Apache-2.0
// The part of a configuration that is about the host: marks, what goes around the tunnel, name servers; and its rules between
// keys. What is done with it is in Host/.
internal import VPNCore

extension ConfigurationDocument {
    /// `network.fwmark`; nil = none.
    var outerMark: UInt32? {
        guard let number = effective("network.fwmark").integer else {
            return boolean("tunnel.enabled") ? HostNumbers.mark : nil
        }
        return number == 0 ? nil : UInt32(number)
    }

    /// `tunnel.allow_lan`.
    var lanAccess: LANAccess {
        switch effective("tunnel.allow_lan") {
        case .boolean(true): .usual
        case .list: .networks(prefixes("tunnel.allow_lan"))
        default: .none
        }
    }

    func prefixes(_ path: String) -> [IPPrefix] { texts(path).compactMap { try? IPPrefix($0) } }

    mutating func checkHost() {
        checkMark()
        for key in ["tunnel.exclude_routes", "tunnel.allow_lan"] {
            for (entry, prefix) in prefixes(key).enumerated() where prefix.length == 0 {
                let path = "\(key)[\(entry)]"
                report(
                    .conflict, path, at: mark(path),
                    "\(prefix) is everything: leave tunnel.lockdown off and the peer's "
                        + "allowed_ips narrow instead")
            }
        }
        // An exit may bring some.
        let hasLease =
            !texts("circuit.allowed_ips").isEmpty
            || (0..<count(of: "peers")).contains { effective("peers[\($0)].exit").boolean ?? false }
        let hasServers = !texts("dns.servers").isEmpty || hasLease
        for key in ["dns.mode", "dns.search"] where values[key] != nil && !hasServers {
            guard effective(key) != ConfigurationTable.rows[key]?.fallback else { continue }
            if key == "dns.mode", text(key).lowercased() == ResolverMode.off.rawValue { continue }
            report(.conflict, key, at: mark(key), "has no effect while dns.servers is empty", severity: .warning)
        }
    }

    private mutating func checkMark() {
        let isLocked = effective("tunnel.lockdown").boolean == true
        if isLocked, effective("tunnel.enabled").boolean == false {
            report(
                .conflict, "tunnel.lockdown", at: mark("tunnel.lockdown"),
                "would let nothing out at all while tunnel.enabled is false")
        }
        guard let number = effective("network.fwmark").integer else { return }
        if (253...255).contains(number) {
            report(
                .conflict, "network.fwmark", at: mark("network.fwmark"),
                "\(number) is one of the kernel's own routing tables: take another number")
        }
        if number == 0, isLocked {
            report(
                .conflict, "network.fwmark", at: mark("network.fwmark"),
                "0 leaves the lockdown nothing to know the tunnel's own datagrams by: take auto")
        }
    }
}
