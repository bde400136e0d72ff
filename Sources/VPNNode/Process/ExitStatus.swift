// SPDX-License-Identifier: Apache-2.0
// How a command ends: the statuses of docs/commands.md, and the error that carries one to the shell.
internal import VPNEngine

/// Exit statuses, stable across versions.
public enum ExitStatus: Int32, Sendable, CaseIterable {
    case ok = 0
    case failure = 1
    case usage = 2
    case daemonNotRunning = 3
    case permission = 4
    case timeout = 5
    case degraded = 6
    case untrustedIdentity = 7

    /// One line for help texts.
    public var meaning: String {
        switch self {
        case .ok: "ok"
        case .failure: "error"
        case .usage: "wrong usage or configuration"
        case .daemonNotRunning: "the daemon is not running"
        case .permission: "a privilege or a file's permissions are missing or too wide"
        case .timeout: "timeout"
        case .degraded: "degraded"
        case .untrustedIdentity: "untrusted identity"
        }
    }
}

/// A failure that a person is told: what is wrong, with which file or value, and what to do.
public struct NodeFailure: Error, Equatable, Sendable, CustomStringConvertible {
    public let status: ExitStatus
    public let message: String

    public init(_ status: ExitStatus, _ message: String) {
        self.status = status
        self.message = message
    }

    public var description: String { message }

    /// Any error as one: the known kinds with their status, all others as plain failures.
    public init(_ error: any Error) {
        switch error {
        case let failure as NodeFailure: self = failure
        case let failure as ConfigurationError: self.init(.usage, failure.description)
        case let failure as EngineError: self.init(failure.exitStatus, failure.description)
        case let failure as SystemCallError:
            self.init(failure.errno == 1 || failure.errno == 13 ? .permission : .failure, failure.description)
        default: self.init(.failure, String(describing: error))
        }
    }
}

extension EngineError {
    fileprivate var exitStatus: ExitStatus {
        switch kind {
        case .tunPermission, .noNetAdmin, .portPermission: .permission
        case .badInterfaceName, .badMTU: .usage
        case .noTunDevice, .interfaceNameTaken, .interfaceAddress, .routeTaken, .route, .addressInUse,
            .addressNotAvailable, .ipv6Missing, .system:
            .failure
        }
    }
}
