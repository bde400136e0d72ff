// SPDX-License-Identifier: Apache-2.0
// `pqvpn up` and `pqvpn down`: a plan is carried out step by step, each on disk before it is done, and taken back as a whole
// where one fails. The plan itself is HostPlan's.
internal import Foundation
internal import VPNCore
internal import VPNEngine

/// What connects a host and disconnects it. Blocking: for commands.
public struct HostSwitch: Sendable {
    public var places: HostPlaces
    /// As PATH; nil = this process's.
    public var path: String?

    public init(places: HostPlaces = HostPlaces(), path: String? = nil) {
        self.places = places
        self.path = path
    }

    /// How to connect.
    public struct Order: Sendable {
        /// NAME or FILE.
        public var profile: String
        /// Whether a daemon is started; else one must run already.
        public var startsDaemon = true
        /// Seconds to wait for sessions; nil = does not wait.
        public var wait: Double?
        /// Of the daemon's command line, besides.
        public var daemonArguments: [String] = []

        public init(profile: String) { self.profile = profile }
    }

    // MARK: Up

    /// Throws ``NodeFailure``; the host is as before then, but for a lockdown that held before, and for a wait that was in
    /// vain, which leaves everything up.
    public func up(_ order: Order) throws -> UpReport {
        let profile = try HostProfile(order.profile, places)
        let configuration = try LoadedConfiguration(file: profile.file).configuration
        if order.wait != nil, !configuration.control.isEnabled {
            throw NodeFailure(.usage, "--wait asks the daemon, and control.enabled is false in \(profile.file)")
        }
        var report = try connect(profile, configuration, order)
        // Nobody else has to wait with us.
        if let seconds = order.wait { report.connected = try Self.wait(seconds, profile.name, configuration) }
        return report
    }

    private func connect(
        _ profile: HostProfile, _ configuration: NodeConfiguration, _ order: Order
    ) throws -> UpReport {
        let keeper = try HostKeeper(places)
        let tools = HostTools(path: path, scratch: places.state)
        let former = try keeper.state(of: profile.name)
        if let former, let process = former.pidFile.flatMap({ BackgroundDaemon(pidFile: $0).process }) {
            throw NodeFailure(
                .failure, "'\(profile.name)' is up, process \(process): `pqvpn down \(profile.name)` takes it down")
        }
        if let former, former.pidFile == nil, order.startsDaemon, NetworkInterface.exists(former.interface) {
            throw NodeFailure(
                .failure,
                "'\(profile.name)' is up with a daemon that something else runs, such as the unit pqvpn@\(profile.name): stop that"
            )
        }
        let others = try keeper.others(than: profile.name)
        var surroundings = HostSurroundings(tools, places)
        // It is 1 because another profile wants it so, and this one does when that one has gone; or since a crash has left it.
        if (others + [former].compactMap { $0 }).contains(where: { $0.hasSet(places.arpSetting) }) {
            surroundings.answersForAll = true
        }
        let plan = HostPlan(configuration, surroundings, places)
        try check(plan, configuration, others, tools)
        var state = HostState(
            profile: profile.name, configuration: profile.file,
            interface: configuration.tunnel.isEnabled ? configuration.tunnel.interface : "",
            mark: configuration.tunnel.isEnabled ? configuration.network.mark : nil)
        if let former {
            // What a crash has left. The lockdown goes on if it is wanted again: there is no gap.
            var left = former
            try takeBack(&left, keepsLockdown: plan.lockdown != nil, keeper, tools)
            state.isLocked = left.isLocked
        }
        let wasLocked = state.isLocked
        do {
            let pid = try carryOut(plan, order, configuration, &state, others, keeper, tools)
            return UpReport(
                profile: profile.name, configuration: profile.file,
                interface: configuration.tunnel.isEnabled ? configuration.tunnel.interface : nil, pid: pid,
                lockdown: state.isLocked, networks: plan.lockdown?.networks,
                changes: state.undo.map(\.title), warnings: plan.warnings)
        } catch {
            let failure = NodeFailure(error)
            do {
                try takeBack(&state, keepsLockdown: wasLocked, keeper, tools)
            } catch {
                throw NodeFailure(
                    failure.status, "\(failure.message)\nand not all could be taken back: \(NodeFailure(error).message)"
                )
            }
            throw NodeFailure(
                failure.status,
                failure.message + "\n"
                    + (wasLocked
                        ? "everything was taken back but the lockdown, which was on before"
                        : "everything was taken back"))
        }
    }

    /// All that can be refused before anything is changed.
    private func check(
        _ plan: HostPlan, _ configuration: NodeConfiguration, _ others: [HostState], _ tools: HostTools
    ) throws {
        try tools.require(plan.tools)
        for state in others where configuration.tunnel.isEnabled {
            let other = state.profile
            if state.interface == configuration.tunnel.interface {
                throw NodeFailure(
                    .failure,
                    "'\(other)' has the interface \(state.interface): take it down, or give this one another tunnel.interface"
                )
            }
            if let mark = state.mark, mark == configuration.network.mark {
                throw NodeFailure(
                    .failure,
                    "'\(other)' is up with the mark and routing table \(mark): take it down, or give this one another "
                        + "network.fwmark, such as \(mark &+ 1)")
            }
            let titles = Set(plan.steps.map(\.title))
            if state.undo.contains(where: { titles.contains($0.title) && $0.title.hasPrefix("name servers (/") }) {
                throw NodeFailure(
                    .failure, "'\(other)' has set the name servers: take it down, or set dns.mode to off here")
            }
        }
        for step in plan.steps {
            if case .resolverFile = step.change { _ = try step.undo() }
        }
    }

    private func carryOut(
        _ plan: HostPlan, _ order: Order, _ configuration: NodeConfiguration, _ state: inout HostState,
        _ others: [HostState], _ keeper: borrowing HostKeeper, _ tools: HostTools
    ) throws -> Int32? {
        if let lockdown = plan.lockdown {
            state.isLocked = true
            try keeper.save(state)
            try Lockdown(tools: tools, places: places).hold(for: state.profile, lockdown)
        }
        var pid: Int32?
        if order.startsDaemon {
            let pidFile = keeper.pidFile(state.profile)
            state.pidFile = pidFile
            try keeper.save(state)
            var arguments = ["run", "--config", state.configuration, "--pid-file", pidFile]
            arguments += ["--readiness-descriptor", "\(Daemonization.readinessDescriptor)"]
            if configuration.tunnel.isEnabled, configuration.network.mark != nil {
                arguments.append("--policy-routing")
            }
            arguments += [
                "--host-profile", state.profile, "--state-dir", places.state, "--resolver-file", places.resolverFile,
            ]
            pid = try Daemonization.start(arguments: arguments + order.daemonArguments)
        } else if configuration.tunnel.isEnabled, !NetworkInterface.exists(configuration.tunnel.interface) {
            throw NodeFailure(
                .daemonNotRunning,
                "there is no interface \(configuration.tunnel.interface): start the daemon first, or leave out --no-daemon"
            )
        }
        for step in plan.steps {
            let undo = try step.undo()
            state.undo.append(undo)
            try keeper.save(state)
            try step.perform(tools, isShared: others.contains { $0.place(of: undo) != nil })
        }
        try keeper.save(state)
        return pid
    }

    /// Waits until the peers that have an endpoint, or all where none has one, have a session, and all circuits are there.
    private static func wait(_ seconds: Double, _ profile: String, _ configuration: NodeConfiguration) throws
        -> [String]
    {
        let direct = configuration.directPeers
        let callable = direct.filter { $0.endpoint != nil }
        let wanted = Set((callable.isEmpty ? direct : callable).map(\.name))
            .union(configuration.circuitRequests.map(\.name))
            .union(configuration.circuit.allowedIPs.isEmpty ? [] : [NodeConfiguration.Circuit.name])
        let limit = ContinuousClock.now + .seconds(seconds)
        var missing = wanted
        repeat {
            if let path = try? ControlPlace.find(
                socket: configuration.control.socket, node: configuration.nickname),
                var client = try? ControlClient(path: path),
                let report = try? client.ask(ControlRequest(.status), as: StatusReport.self)
            {
                missing = wanted.subtracting(report.peers.filter { $0.session != nil }.map(\.name))
                    .subtracting(report.circuits.filter(\.isUp).map(\.name))
                if missing.isEmpty { return wanted.sorted() }
            }
            Thread.sleep(forTimeInterval: 0.05)
        } while ContinuousClock.now < limit
        throw NodeFailure(
            .timeout,
            "no session with \(missing.sorted().joined(separator: ", ")) within \(Int(seconds)) s; '\(profile)' stays up: "
                + "see `pqvpn status`, or take it down with `pqvpn down \(profile)`")
    }

    // MARK: Down

    /// Takes back what was done for a profile, or for the only one. Throws ``NodeFailure``; what could not be taken back is
    /// still on record then.
    public func down(_ words: String?) throws -> DownReport {
        let keeper = try HostKeeper(places)
        let tools = HostTools(path: path, scratch: places.state)
        let known = keeper.profiles()
        let name = try choose(words, known)
        guard var state = try keeper.state(of: name) else {
            let list =
                known.isEmpty ? "nothing is" : known.joined(separator: ", ") + (known.count == 1 ? " is" : " are")
            throw NodeFailure(.daemonNotRunning, "'\(name)' is not up; \(list)")
        }
        let changes = Array(state.undo.map(\.title).reversed())
        let notes = try takeBack(&state, keepsLockdown: false, keeper, tools)
        return DownReport(profile: name, changes: changes, notes: notes)
    }

    /// The configuration may be gone by now, so that its name is all that counts.
    private func choose(_ words: String?, _ known: [String]) throws -> String {
        guard let words else {
            if known.count == 1 { return known[0] }
            if known.isEmpty { throw NodeFailure(.daemonNotRunning, "nothing is up") }
            throw NodeFailure(.usage, "several are up: name one of \(known.joined(separator: ", "))")
        }
        if known.contains(words) { return words }
        let leaf = ProtectedFile.split(words).name
        return leaf.hasSuffix(".yaml") || leaf.hasSuffix(".yml") ? String(leaf[..<leaf.lastIndex(of: ".")!]) : words
    }

    /// In the reverse order; the lockdown last. Goes on past what cannot be taken back, which stays on record and is thrown.
    @discardableResult
    private func takeBack(
        _ state: inout HostState, keepsLockdown: Bool, _ keeper: borrowing HostKeeper, _ tools: HostTools
    ) throws -> [String] {
        var notes: [String] = []
        var failed: [HostUndo] = []
        var complaints: [String] = []
        // One that cannot be read keeps nobody from going.
        var others = (try? keeper.others(than: state.profile)) ?? []
        while let undo = state.undo.popLast() {
            do {
                if let heir = others.firstIndex(where: { $0.place(of: undo) != nil }) {
                    others[heir].inherit(undo)
                    try keeper.save(others[heir])
                    continue
                }
                if let note = try undo.perform(tools) { notes.append(note) }
            } catch {
                complaints.append(NodeFailure(error).message)
                failed.insert(undo, at: 0)
            }
        }
        state.undo = failed
        if let pidFile = state.pidFile {
            do {
                if try BackgroundDaemon(pidFile: pidFile).stop() {
                    notes.append("the daemon did not end and was killed")
                }
                BackgroundDaemon(pidFile: pidFile).forget()
                state.pidFile = nil
            } catch { complaints.append(NodeFailure(error).message) }
        }
        if state.isLocked, !keepsLockdown {
            do {
                if try !Lockdown(tools: tools, places: places).release(for: state.profile) {
                    notes.append("the lockdown stays on: see `pqvpn lockdown status`")
                }
                state.isLocked = false
            } catch { complaints.append(NodeFailure(error).message) }
        }
        if complaints.isEmpty, !state.isLocked {
            if keeper.profiles().contains(state.profile) { try keeper.forget(state.profile) }
        } else {
            try keeper.save(state)
        }
        guard complaints.isEmpty else {
            throw NodeFailure(
                .failure,
                complaints.joined(separator: "\n") + "\nmend that and run `pqvpn down \(state.profile)` again")
        }
        return notes
    }
}
