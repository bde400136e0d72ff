// SPDX-License-Identifier: Apache-2.0
// What runs beside a node for its whole life without the node's knowing it: servers that look at it. VPNNode knows no HTTP;
// whoever puts the program together brings them along.
public import Logging
internal import ServiceLifecycle
internal import Synchronization

/// A companion of one run. The node counts as up when all of them are, and a run ends with the first that fails.
public struct NodeCompanion: Sendable {
    /// Runs until its task is cancelled; calls its argument once, when it does its work. Throws `NodeFailure`.
    public typealias Body = @Sendable (_ onServing: @escaping @Sendable () -> Void) async throws -> Void

    /// What a companion may look at.
    public struct Context: Sendable {
        public let configuration: NodeConfiguration
        public let node: Node
        /// Where its log goes, with the last lines of it.
        public let output: LogOutput
        public let logger: Logger
    }

    let make: @Sendable (Context) throws -> Body?

    /// - Parameter make: nil where the configuration does not ask for it.
    public init(_ make: @escaping @Sendable (Context) throws -> Body?) { self.make = make }
}

/// A companion as a service: a shutdown cancels it.
struct CompanionService: Service {
    let body: NodeCompanion.Body
    let onServing: @Sendable () -> Void

    func run() async throws {
        do {
            try await cancelWhenGracefulShutdown { try await body(onServing) }
        } catch is CancellationError {
            return
        }
    }
}

/// Opens once all have come who are waited for.
final class StartGate: Sendable {
    private let missing: Mutex<Int>
    private let open: @Sendable () -> Void

    /// Waits for one; more are added before it comes.
    init(_ open: @escaping @Sendable () -> Void) {
        missing = Mutex(1)
        self.open = open
    }

    func expectOneMore() { missing.withLock { $0 += 1 } }

    func arrive() {
        let isLast = missing.withLock { count in
            count -= 1
            return count == 0
        }
        if isLast { open() }
    }
}
