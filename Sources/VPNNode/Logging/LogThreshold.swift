// SPDX-License-Identifier: Apache-2.0
// The level below which lines are not written, shared by all loggers of a run and changed while it runs.
public import Logging
internal import Synchronization

public final class LogThreshold: Sendable {
    private let stored: Mutex<Logger.Level>

    public init(_ level: Logger.Level) { stored = Mutex(level) }

    public var level: Logger.Level {
        get { stored.withLock { $0 } }
        set { stored.withLock { $0 = newValue } }
    }
}
