// SPDX-License-Identifier: Apache-2.0
// A tunnel interface that somebody deleted while the node ran: it is made anew, with what it had, until that succeeds. Sessions
// know nothing of it.
internal import Logging
internal import VPNCore
internal import VPNEngine

/// Pauses between tries: short at first, and half a minute in the end.
struct RestoringPause {
    private(set) var seconds = 1

    static let longest = 30

    /// The pause after a try that failed.
    mutating func next() -> Int {
        defer { seconds = min(seconds * 2, Self.longest) }
        return seconds
    }
}

extension Node {
    var isTunnelGone: Bool { tunnelLoss.isGone }

    /// Nothing goes through it.
    var isTunnelOut: Bool { isTunnelGone || isLinkDown }

    /// Every few seconds. An interface that is set down stays down, as its operator wants, and is told of. When it is up again it
    /// gets back what the kernel took: without routes its packets would leave in clear.
    func lookAtLink() {
        guard hasStarted, !isTunnelGone, let interface = engine.interface, let plan = tunnelPlan else {
            isLinkDown = false
            return
        }
        let wasDown = isLinkDown
        isLinkDown = interface.isUp == false
        if isLinkDown {
            guard !wasDown else { return }
            logger.error(
                "the tunnel interface was set down: nothing goes through it until it is up",
                metadata: ["event": "tunnel.down", "interface": "\(interface.name)"])
            return
        }
        let missing = plan.addresses.filter { !NetworkInterface.isLocal($0.address) }
        for address in missing {
            do throws(EngineError) { try interface.addAddress(address) } catch {
                logger.warning("\(error)", metadata: ["event": "config.warning"])
            }
        }
        guard routes.restore() || !missing.isEmpty || wasDown else { return }
        settled.addresses = settled.addresses.filter { NetworkInterface.isLocal($0) }
        settleLeases()
        logger.notice(
            "the tunnel interface is up again, with its addresses and routes",
            metadata: ["event": "tunnel.restored", "interface": "\(interface.name)"])
    }

    func tunnelVanished() {
        guard tunnelLoss.vanished() else { return }
        routes.loseInterface()
        logger.error("the tunnel interface is gone: it is made anew", metadata: ["event": "tunnel.gone"])
        restoring = Task { await restoreTunnel() }
    }

    /// The end of the run.
    func endRestoring() async {
        restoring?.cancel()
        // Nothing may appear after the engine has stopped.
        await restoring?.value
    }

    private func restoreTunnel() async {
        var pause = RestoringPause()
        while let plan = tunnelPlan, !Task.isCancelled {
            var tunnel = plan
            tunnel.routes = routes.routes.sorted { "\($0)" < "\($1)" }
            // Not on the node: the kernel takes its time with addresses.
            let (engine, wanted) = (engine, tunnel)
            let failure = await Task.detached { () -> EngineError? in
                do throws(EngineError) {
                    try engine.restoreTunnel(wanted)
                    return nil
                } catch { return error }
            }.value
            if failure == nil, tunnelLoss.made() { return tunnelRestored(tunnel) }
            let seconds = pause.next()
            let complaint = failure.map { "\($0)" } ?? "it vanished again"
            logger.warning(
                "the tunnel interface cannot be made: \(complaint); trying again in \(seconds) s",
                metadata: ["event": "tunnel.not_restored", "retry_in_s": .stringConvertible(seconds)])
            do { try await Task.sleep(for: .seconds(seconds), clock: .continuous) } catch { return }
        }
    }

    private func tunnelRestored(_ tunnel: EngineConfiguration.Tunnel) {
        let wanted = routes.routes
        routes = KernelRoutes(tunnel, interface: engine.interface)
        // A reload may have asked for others meanwhile.
        do throws(EngineError) {
            for complaint in try routes.replace(by: wanted.sorted { "\($0)" < "\($1)" }) {
                logger.warning("\(complaint)", metadata: ["event": "config.warning"])
            }
        } catch { logger.warning("\(error)", metadata: ["event": "config.warning"]) }
        settleInterface()
        logger.notice(
            "the tunnel interface is there again",
            metadata: ["event": "tunnel.restored", "interface": "\(tunnel.name)"])
    }
}
