// SPDX-License-Identifier: Apache-2.0
// What `pqvpn up`, `down` and `lockdown` have done, for people and for programs.

/// What `up` did.
public struct UpReport: Report {
    public static let schema = "pqvpn.up/1"
    public var profile: String
    public var configuration: String
    public var interface: String?
    /// Nil where somebody else runs the daemon.
    public var pid: Int32?
    public var lockdown: Bool
    /// What is reached in clear in spite of it.
    public var networks: [String]?
    /// What was changed, in order.
    public var changes: [String]
    public var warnings: [String]
    /// Peers with a session, where they were waited for.
    public var connected: [String]?

    public var text: String {
        var lines = [
            "'\(profile)' is up" + (interface.map { " on \($0)" } ?? "") + (pid.map { ", process \($0)" } ?? "")
        ]
        if lockdown {
            let open = networks.flatMap { $0.isEmpty ? nil : ", and in clear to \($0.joined(separator: ", "))" } ?? ""
            lines.append("lockdown: nothing leaves this host but through the tunnel\(open)")
        }
        if let connected { lines.append("connected: \(connected.joined(separator: ", "))") }
        lines += warnings.map { "warning: \($0)" }
        return lines.joined(separator: "\n")
    }
}

/// What `down` did.
public struct DownReport: Report {
    public static let schema = "pqvpn.down/1"
    public var profile: String
    /// What was taken back, in order.
    public var changes: [String]
    /// What somebody else had changed, and what was not as gentle as it should be.
    public var notes: [String]

    public var text: String { (["'\(profile)' is down"] + notes.map { "note: \($0)" }).joined(separator: "\n") }
}

/// How the lockdown stands.
public struct LockdownReport: Report, Equatable {
    public static let schema = "pqvpn.lockdown/1"

    public enum State: String, Codable, Sendable, CaseIterable {
        /// The kernel has the table that it should have.
        case on
        case off
        /// Somebody wanted it and the kernel has none.
        case missing
        /// The kernel has a table of this name that is not the one it should have.
        case different
    }

    public var state: State
    public var interfaces: [String]
    public var marks: [UInt32]
    /// Reached in clear.
    public var networks: [String]
    /// "by hand", and profiles.
    public var holders: [String]

    /// After an emergency nobody holds it.
    public static let off = LockdownReport(state: .off, plan: nil, holders: [])

    init(state: State, plan: LockdownPlan?, holders: [String]) {
        self.state = state
        interfaces = plan?.interfaces ?? []
        marks = plan?.marks ?? []
        networks = plan?.networks ?? []
        self.holders = holders
    }

    public var text: String {
        let wanted = "for \(holders.joined(separator: ", "))"
        switch state {
        case .off: return "lockdown is off"
        case .missing:
            return "lockdown is MISSING: it is wanted \(wanted), and the kernel has no such table; "
                + "mend it with `pqvpn lockdown on`, or `pqvpn up`"
        case .different:
            return "lockdown is DIFFERENT: the kernel's table \(LockdownPlan.table) is not the one that it should be"
                + (holders.isEmpty ? ", since nobody asked for it" : " \(wanted)")
                + "; mend it with `pqvpn lockdown on`, or take it away with `pqvpn lockdown off`"
        case .on:
            var lines = [
                "lockdown is on \(wanted): out go \(interfaces.joined(separator: ", ")) and the tunnel's datagrams"
            ]
            if !networks.isEmpty { lines.append("in clear, but for names: \(networks.joined(separator: ", "))") }
            return lines.joined(separator: "\n")
        }
    }
}
