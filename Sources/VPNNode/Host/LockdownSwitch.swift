// SPDX-License-Identifier: Apache-2.0
// `pqvpn lockdown`: by hand, without a daemon and, if need be, without a configuration. What the table holds is LockdownPlan's
// matter, how it gets into the kernel Lockdown's.

public struct LockdownSwitch: Sendable {
    public var places: HostPlaces
    /// As PATH; nil = this process's.
    public var path: String?

    public init(places: HostPlaces = HostPlaces(), path: String? = nil) {
        self.places = places
        self.path = path
    }

    private var lockdown: Lockdown { Lockdown(tools: HostTools(path: path, scratch: places.state), places: places) }

    /// On until it is taken back by hand, with the exceptions of these profiles; of all of the host's where none is named.
    public func on(_ profiles: [String]) throws -> LockdownReport {
        let keeper = try HostKeeper(places)
        let names = profiles.isEmpty ? HostProfile.names(places) : profiles
        var plans: [LockdownPlan] = []
        for name in names {
            let configuration = try LoadedConfiguration(file: HostProfile(name, places).file).configuration
            guard configuration.tunnel.isEnabled else { continue }
            if !profiles.isEmpty, configuration.network.mark == nil {
                throw NodeFailure(
                    .usage,
                    "\(configuration.file): network.fwmark is 0, by which the tunnel's own datagrams are known: take auto"
                )
            }
            plans.append(LockdownPlan(configuration))
        }
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
