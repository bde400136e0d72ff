// SPDX-License-Identifier: Apache-2.0
// What whoever watches a node is told of one that is stuck, or not ready: by the status, which is all that most of them look at.
import Logging
import Testing

@testable import VPNManagement
@testable import VPNNode

@Suite struct MetricsServerTests {
    private func serve(isReady: Bool, isAlive: Bool, _ body: (UInt16) async throws -> Void) async throws {
        let server = MetricsServer(
            host: "127.0.0.1", port: 0, logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() }),
            metrics: { _ in "# nothing\n" }, isReady: { isReady }, isAlive: { isAlive })
        let (ports, told) = AsyncStream<Int>.makeStream()
        let serving = Task {
            defer { told.finish() }
            try await server.run(onServing: { port in told.yield(port) })
        }
        defer { serving.cancel() }
        var iterator = ports.makeAsyncIterator()
        let port = try #require(await iterator.next(), "it serves")
        try await body(UInt16(port))
    }

    /// Asks on a thread that may wait: the server needs those of tasks.
    private func ask(_ port: UInt16, _ path: String, method: String = "GET") async throws -> LoopbackHTTP.Answer {
        try #require(
            await Task(executorPreference: WaitingThreads.programs) {
                LoopbackHTTP.ask(port, path, method: method)
            }.value)
    }

    @Test(arguments: [true, false], [true, false])
    func theStatusSaysWhetherTheNodeAnswersAndIsReady(isReady: Bool, isAlive: Bool) async throws {
        try await serve(isReady: isReady, isAlive: isAlive) { port in
            let alive = try await ask(port, "/livez")
            #expect(alive.status == (isAlive ? 200 : 503))
            #expect(alive.body == (isAlive ? "ok\n" : "the node does not answer\n"))
            let ready = try await ask(port, "/readyz")
            #expect(ready.status == (isReady ? 200 : 503))
            #expect(ready.body == (isReady ? "ok\n" : "not ready\n"))
            // Who asks for the head alone is told as much.
            let head = try await ask(port, "/livez", method: "HEAD")
            #expect(head.status == alive.status && head.body.isEmpty)
            // Nobody takes an answer of before for one of now.
            #expect(alive.head.contains("cache-control: no-store") && ready.head.contains("cache-control: no-store"))
            // Figures are there all the same: they tell why.
            let metrics = try await ask(port, "/metrics")
            #expect(metrics.status == 200 && metrics.body == "# nothing\n")
        }
    }
}
