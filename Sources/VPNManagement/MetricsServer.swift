// SPDX-License-Identifier: Apache-2.0
// GET /metrics, /livez and /readyz, and nothing else: no state, no parameters, no secrets, no way to change anything. It works
// for whoever reaches the socket; keeping others away is a matter of the address.
internal import HTTPTypes
internal import Hummingbird
internal import HummingbirdCore
internal import Logging
internal import NIOCore
public import VPNNode

/// The server of a node's metrics.
public struct MetricsServer: Sendable {
    /// For `pqvpn run`: a server where metrics.prometheus is true.
    public static let companion = NodeCompanion { context in
        guard context.configuration.metrics.isEnabled else { return nil }
        let settings = context.configuration.metrics
        let page = MetricPage(context.node, output: context.output)
        let server = MetricsServer(
            host: "\(settings.bindHost)", port: Int(settings.bindPort), logger: context.logger,
            metrics: { await page.text($0) }, isReady: { await page.isReady }, isAlive: { await page.isAlive })
        return { onServing in try await server.run(onServing: onServing) }
    }

    let host: String
    /// 0 = the kernel chooses.
    let port: Int
    let logger: Logger
    let metrics: @Sendable (MetricFormat) async -> String
    let isReady: @Sendable () async -> Bool
    let isAlive: @Sendable () async -> Bool
    var limits = ConnectionLimits()

    /// Serves until its task is cancelled. Throws `NodeFailure` where the address cannot be had.
    ///
    /// - Parameter onServing: called once, with the port, when connections are taken.
    func run(onServing: @escaping @Sendable (Int) -> Void) async throws {
        var quiet = logger
        // A stranger's broken request is no news, and must not fill anybody's disk.
        quiet.logLevel = .critical
        let limits = limits
        let channel = HTTP1Channel.Configuration(
            additionalChannelHandlers: [LifetimeLimit(limits.lifetime)], idleTimeout: limits.idle,
            httpDecoderConfiguration: .init(
                maxHeaderFieldSize: limits.header, maxHeaderListSize: limits.header, maxHeaderFieldCount: 64))
        let log = logger
        let application = Application(
            responder: CallbackResponder<BasicRequestContext> { request, _ in await respond(to: request) },
            server: HTTPServerBuilder { CarefulChannel(base: HTTP1Channel(responder: $0, configuration: channel)) },
            configuration: ApplicationConfiguration(
                address: .hostname(host, port: port), backlog: limits.connections,
                availableConnectionsDelegate: .maximum(limits.connections, logger: quiet)),
            onServerRunning: { channel in
                let port = channel.localAddress?.port ?? 0
                log.info(
                    "metrics are served",
                    metadata: [
                        "event": "metrics.listening", "address": "\(host.contains(":") ? "[\(host)]" : host):\(port)",
                    ])
                onServing(port)
            },
            logger: quiet)
        do { try await application.run() } catch let error as IOError { throw failure(error) }
    }

    func run(onServing: @escaping @Sendable () -> Void) async throws {
        try await run(onServing: { _ in onServing() })
    }

    private func failure(_ error: IOError) -> NodeFailure {
        let why =
            switch error.errnoCode {
            case 98: "is in use; choose another metrics.bind_port"
            case 99: "is no address of this machine: see metrics.bind_host"
            case 13: "needs a privilege; choose a metrics.bind_port of 1024 or more"
            default: "cannot be bound (errno \(error.errnoCode))"
            }
        return NodeFailure(
            error.errnoCode == 13 ? .permission : .failure,
            "metrics: TCP port \(port) of metrics.bind_host \(host) \(why)")
    }

    private func respond(to request: Request) async -> Response {
        let known = ["/metrics", "/livez", "/readyz"]
        guard known.contains(request.uri.path) else { return plain(.notFound, "not found\n", request) }
        guard request.method == .get || request.method == .head else {
            var response = plain(.methodNotAllowed, "only GET and HEAD\n", request)
            response.headers[.allow] = "GET, HEAD"
            return response
        }
        switch request.uri.path {
        case "/livez":
            let isAlive = await isAlive()
            return plain(
                isAlive ? .ok : .serviceUnavailable, isAlive ? "ok\n" : "the node does not answer\n", request)
        case "/readyz":
            let isReady = await isReady()
            return plain(isReady ? .ok : .serviceUnavailable, isReady ? "ok\n" : "not ready\n", request)
        default:
            let format = MetricFormat(accept: request.headers[.accept])
            return answer(.ok, await metrics(format), type: format.contentType, request)
        }
    }

    private func plain(_ status: HTTPResponse.Status, _ text: String, _ request: Request) -> Response {
        answer(status, text, type: "text/plain; charset=utf-8", request)
    }

    private func answer(
        _ status: HTTPResponse.Status, _ text: String, type: String, _ request: Request
    ) -> Response {
        var headers = HTTPFields()
        headers[.contentType] = type
        headers[.cacheControl] = "no-store"
        headers[.xContentTypeOptions] = "nosniff"
        let bytes = ByteBuffer(string: text)
        // HEAD tells the length and sends nothing.
        headers[.contentLength] = "\(bytes.readableBytes)"
        let body = request.method == .head ? ResponseBody() : ResponseBody(byteBuffer: bytes)
        return Response(status: status, headers: headers, body: body)
    }
}
