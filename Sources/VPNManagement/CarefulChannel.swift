// SPDX-License-Identifier: Apache-2.0
// HTTP/1 connections that may be dropped at any time. A server that is cancelled forgets the connections that it has accepted
// and not yet handed on; the library's own values trap in that case (swift-nio issues 2637 and 2813), these close.
internal import HummingbirdCore
internal import Logging
internal import NIOCore
internal import Synchronization

/// A connection on its way from the listener to the task that serves it.
final class AcceptedConnection: ServerChildChannelValue {
    typealias Stream = HTTP1Channel.Value

    var channel: any Channel { stream.channel }
    private let stream: Stream
    private let isTaken = Atomic(false)

    init(_ stream: Stream) { self.stream = stream }

    /// For who serves it, and closes it then.
    func take() -> Stream {
        isTaken.store(true, ordering: .relaxed)
        return stream
    }

    deinit {
        guard !isTaken.load(ordering: .relaxed) else { return }
        // The one way to let go of such a stream.
        Task { [stream] in try? await stream.executeThenClose { _, _ in } }
    }
}

/// The library's HTTP/1 with such connections.
struct CarefulChannel: ServerChildChannel {
    let base: HTTP1Channel

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<AcceptedConnection> {
        base.setup(channel: channel, logger: logger).map(AcceptedConnection.init)
    }

    func handle(value: AcceptedConnection, logger: Logger) async {
        await base.handle(value: value.take(), logger: logger)
    }
}
