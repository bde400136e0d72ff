// SPDX-License-Identifier: Apache-2.0
// What a stranger can take of an HTTP server: so many connections, for so long, with headers of such a size.
internal import NIOCore

struct ConnectionLimits: Sendable {
    /// A connection beyond waits in the kernel until one ends.
    var connections = 32
    /// Without a byte of a request.
    var idle = TimeAmount.seconds(10)
    /// Whatever it does. A scraper that keeps its connection opens a new one then.
    var lifetime = TimeAmount.seconds(120)
    /// Bytes of the header of a request, all fields together.
    var header = 8192
}

/// Closes a connection at a certain age, however busy it looks: one byte now and then would keep it idle for ever.
final class LifetimeLimit: ChannelInboundHandler, RemovableChannelHandler, Sendable {
    typealias InboundIn = NIOAny

    private let lifetime: TimeAmount

    init(_ lifetime: TimeAmount) { self.lifetime = lifetime }

    func handlerAdded(context: ChannelHandlerContext) {
        let channel = context.channel
        let end = channel.eventLoop.scheduleTask(in: lifetime) { channel.close(promise: nil) }
        channel.closeFuture.whenComplete { _ in end.cancel() }
    }
}
