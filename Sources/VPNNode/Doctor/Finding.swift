// SPDX-License-Identifier: Apache-2.0
// One thing that the doctor looked at. Codes are stable: programs go by them, and docs/commands.md lists them.

/// A check and its result.
public struct Finding: Encodable, Sendable, Equatable {
    public enum Verdict: String, Encodable, Sendable { case ok, warn, fail }

    /// "tun.device"; several findings may have one code.
    public let code: String
    public let verdict: Verdict
    /// One line.
    public let message: String
    /// A command, or a line for the configuration, that mends it; nil where all is well.
    public let fix: String?

    static func ok(_ code: String, _ message: String) -> Finding {
        Finding(code: code, verdict: .ok, message: message, fix: nil)
    }

    static func warn(_ code: String, _ message: String, fix: String) -> Finding {
        Finding(code: code, verdict: .warn, message: message, fix: fix)
    }

    static func fail(_ code: String, _ message: String, fix: String) -> Finding {
        Finding(code: code, verdict: .fail, message: message, fix: fix)
    }
}
