// SPDX-License-Identifier: Apache-2.0
// The doctor's look at a configuration: whether it can be read, what in it is unsafe, and where its endpoints are.
internal import VPNCore
internal import VPNEngine

extension Doctor {
    /// Nil, and said, where the file is no good.
    mutating func load(_ file: String) -> LoadedConfiguration? {
        do {
            let loaded = try LoadedConfiguration(file: file)
            add(.ok("config", "\(file) can be read"))
            for warning in loaded.warnings {
                add(.warn("config.doubt", warning.description(file: file), fix: "pqvpn config check \(file)"))
            }
            return loaded
        } catch let error as ConfigurationError {
            for issue in error.issues {
                add(.fail("config", issue.description(file: file), fix: "pqvpn config check \(file)"))
            }
        } catch {
            add(
                .fail(
                    "config", NodeFailure(error).message,
                    fix: ProtectedFile.exists(file) ? "ls -l \(file)" : "pqvpn config default > \(file)"))
        }
        return nil
    }

    mutating func checkSettings(_ configuration: NodeConfiguration) {
        let security = configuration.security
        for setting in configuration.insecureSettings {
            add(.warn(setting.doctorCode, setting.text, fix: setting.fix(in: configuration.file)))
        }
        if case .temporary = configuration.identity, !security.trustsOnFirstUse, !configuration.peers.isEmpty {
            add(
                .warn(
                    "keys.temporary",
                    "this node has another identity at each start: no peer that pins identities believes it twice",
                    fix: "pqvpn keygen --out \(configuration.keyDirectory)  # and keys.runtime_temp_keys: false"))
        }
    }

    /// Where peers and bootstrap entries are, how wide the way there is, and whether a route would swallow it.
    mutating func checkPlaces(_ configuration: NodeConfiguration) {
        var endpoints: [Endpoint] = []
        for name in Set(configuration.peers.compactMap(\.endpoint) + configuration.bootstrapPeers)
            .sorted(by: { $0.description < $1.description })
        {
            let found: [Endpoint]
            do throws(NodeFailure) {
                found = try name.resolve().filter { configuration.network.reaches($0) }
            } catch {
                add(.warn("endpoint.name", error.message, fix: "getent ahosts \(hostText(name))"))
                continue
            }
            guard let endpoint = found.first else {
                add(
                    .warn(
                        "endpoint.family", "\(name) has no address of a family that network.bind_host serves",
                        fix: "set network.bind_host: \"::\" in \(configuration.file)"))
                continue
            }
            endpoints.append(endpoint)
            checkWay(to: endpoint, name, mark: configuration.network.mark)
        }
        guard configuration.tunnel.isEnabled else { return }
        var swallowed: [String] = []
        _ = NodePlan.routes(configuration, avoiding: endpoints, warnings: &swallowed)
        for warning in swallowed {
            add(
                .warn(
                    "routes.swallow", warning,
                    fix:
                        "ip route get \(endpoints.first.map { "\($0.address)" } ?? "ADDRESS")  # and `pqvpn up`, or narrower allowed_ips"
                ))
        }
    }

    private mutating func checkWay(to endpoint: Endpoint, _ name: EndpointName, mark: UInt32?) {
        let command = "ip route get \(endpoint.address)"
        guard let mtu = Route.mtu(to: endpoint, mark: mark) else {
            return add(.warn("endpoint.route", "there is no route to \(name) (\(endpoint.text))", fix: command))
        }
        let inner = Limits.innerMTU(path: min(mtu, Limits.largestPathMTU), isV4: endpoint.isV4)
        if inner < Limits.smallestIPv6MTU {
            add(
                .warn(
                    "endpoint.mtu", "the way to \(name) takes \(mtu) bytes and leaves \(inner) inside: no IPv6 fits",
                    fix: command))
        } else {
            add(.ok("endpoint.mtu", "the way to \(name) takes \(mtu) bytes and leaves \(inner) inside"))
        }
    }

    private func hostText(_ name: EndpointName) -> String {
        switch name.host {
        case .address(let address): "\(address)"
        case .name(let text): text
        }
    }
}
