// SPDX-License-Identifier: Apache-2.0
// The routes into the tunnel that this node has made in the kernel, and how they become others while it runs.
internal import VPNCore
internal import VPNEngine

struct KernelRoutes {
    private(set) var routes: Set<IPPrefix>
    /// The interface's own networks, to which the kernel makes the routes itself.
    private let connected: Set<IPPrefix>
    /// Nil while there is none: what is wanted is remembered until there is.
    private var interface: NetworkInterface?
    /// Nil = the main one.
    private let table: UInt32?
    /// What packets by a route have for a source where their program chose none; without, it is the kernel's choice.
    private(set) var sources: [IPPrefix: IPAddress] = [:]

    /// What an engine made at its start.
    init(_ tunnel: EngineConfiguration.Tunnel?, interface: NetworkInterface?) {
        connected = tunnel?.connected ?? []
        table = tunnel?.table
        routes = Set(tunnel?.routes ?? []).subtracting(connected)
        self.interface = interface
    }

    /// The interface vanished, and the kernel's routes with it.
    mutating func loseInterface() {
        interface = nil
        sources = [:]
    }

    /// Makes those again that the kernel forgot when the interface was set down. False where all are there.
    mutating func restore() -> Bool {
        guard let interface else { return false }
        var isOne = false
        for family in [IPAddress.Family.v4, .v6] {
            let those = routes.filter { $0.family == family }
            // Those of a family go together: one tells of all.
            guard let first = those.first, interface.restoreRoute(first, table: table) else { continue }
            for prefix in those where prefix != first { _ = interface.restoreRoute(prefix, table: table) }
            isOne = true
        }
        if isOne { sources = [:] }
        return isOne
    }

    /// Makes these the sources of those routes that there are. Words about what could not be done.
    mutating func prefer(_ wanted: [IPPrefix: IPAddress]) -> [String] {
        guard let interface else { return [] }
        var complaints: [String] = []
        for prefix in routes.union(sources.keys).sorted(by: { "\($0)" < "\($1)" })
        where sources[prefix] != wanted[prefix] {
            do throws(EngineError) {
                try interface.prefer(wanted[prefix], for: prefix, table: table)
                sources[prefix] = wanted[prefix]
            } catch { complaints.append(error.description) }
        }
        return complaints
    }

    /// Makes these the routes. All or nothing: where one cannot be added, those that were added are taken back. One that
    /// cannot be removed is named in the result and leads nowhere.
    mutating func replace(by wanted: [IPPrefix]) throws(EngineError) -> [String] {
        let wanted = Set(wanted).subtracting(connected)
        guard let interface else {
            routes = wanted
            return []
        }
        var added: [IPPrefix] = []
        for prefix in wanted.subtracting(routes) {
            do throws(EngineError) {
                try interface.addRoute(prefix, table: table)
                added.append(prefix)
            } catch {
                for prefix in added { try? interface.removeRoute(prefix, table: table) }
                throw error
            }
        }
        var complaints: [String] = []
        for prefix in routes.subtracting(wanted) {
            do throws(EngineError) {
                if sources.removeValue(forKey: prefix) != nil { try interface.prefer(nil, for: prefix, table: table) }
                try interface.removeRoute(prefix, table: table)
            } catch { complaints.append(error.description) }
        }
        routes = wanted
        return complaints
    }
}
