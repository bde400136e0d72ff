// SPDX-License-Identifier: Apache-2.0
// `pqvpn lockdown`: by hand, without a daemon and, if need be, without a configuration. What the table holds is LockdownPlan's
// matter, how it gets into the kernel Lockdown's.

public struct LockdownSwitch: Sendable {
    public var places: HostPlaces
    /// As PATH; nil = this process's.
    public var path: String?
    /// Hears of profiles that are left out.
    public var warn: @Sendable (String) -> Void

    public init(
        places: HostPlaces = HostPlaces(), path: String? = nil, warn: @escaping @Sendable (String) -> Void = { _ in }
    ) {
        self.places = places
        self.path = path
        self.warn = warn
    }

    private var lockdown: Lockdown { Lockdown(tools: HostTools(path: path, scratch: places.state), places: places) }

    /// The exceptions of these profiles; of all of the host's where none is named. One of those that is no good is left out: a host
    /// that starts must not be open for the sake of one file.
    func plans(_ profiles: [String]) throws -> [LockdownPlan] {
        if !profiles.isEmpty {
            return try profiles.compactMap { name in
                let configuration = try LoadedConfiguration(file: HostProfile(name, places).file).configuration
                guard configuration.tunnel.isEnabled else { return nil }
                guard configuration.network.mark != nil else {
                    throw NodeFailure(
                        .usage,
                        "\(configuration.file): network.fwmark is 0, by which the tunnel's own datagrams are known: take auto"
                    )
                }
                return LockdownPlan(configuration)
            }
        }
        return HostProfile.names(places).compactMap { name in
            do {
                let configuration = try LoadedConfiguration(file: HostProfile(name, places).file).configuration
                return configuration.tunnel.isEnabled ? LockdownPlan(configuration) : nil
            } catch {
                warn("profile \(name) is left out, so its tunnel may not leave: \(NodeFailure(error).message)")
                return nil
            }
        }
    }

    /// On until it is taken back by hand, with the exceptions of these profiles; of all of the host's where none is named.
    public func on(_ profiles: [String]) throws -> LockdownReport {
        let keeper = try HostKeeper(places)
        let plans = try plans(profiles)
        try lockdown.hold(for: LockdownRecord.byHand, plans.isEmpty ? .plain : LockdownPlan.union(plans))
        let record = lockdown.record
        _ = consume keeper
        // The kernel has just said so; a comparison needs privileges that an early boot may lack.
        return LockdownReport(state: .on, plan: record.plan, holders: record.holders.keys.sorted())
    }

    /// Off, whoever asked for it.
    public func off() throws -> LockdownReport {
        let keeper = try HostKeeper(places)
        try lockdown.off()
        let report = try lockdown.status()
        _ = consume keeper
        return report
    }

    /// Off with nothing but nft. Returns whether it was on.
    public func emergency() throws -> Bool {
        let wasOn = try Lockdown.emergency(path: path)
        // Nobody is to bring it back, if that can be written down.
        if let keeper = try? HostKeeper(places) {
            try? lockdown.off()
            _ = consume keeper
        }
        return wasOn
    }

    public func status() throws -> LockdownReport {
        let keeper = try HostKeeper(places)
        let report = try lockdown.status()
        _ = consume keeper
        return report
    }
}
