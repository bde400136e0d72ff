// SPDX-License-Identifier: Apache-2.0
// An interface that somebody deletes while the node runs: it comes back with all that it had, and sessions know nothing of it.
//
//     host a: pqvpn0, deleted under its daemon ══ outer0 ───── outer0 ══ pqvpn0: host b
import Foundation
import Testing

@testable import VPNNode

extension WaitingNamespaceTests {
    @Suite("A deleted interface")
    struct DeletedInterface {
        /// Addresses, MTU and routes, as the kernel has them; without numbers that are the interface's own.
        private func facts(_ host: DemoHost) throws -> String {
            let link = try host.ip("-n", host.namespace, "-o", "link", "show", "dev", DemoHost.interface)
            let mtu = link.split(separator: " ").drop { $0 != "mtu" }.dropFirst().first ?? ""
            let addresses = try host.ip("-n", host.namespace, "-br", "address", "show", "dev", DemoHost.interface)
            let v4 = try host.ip("-n", host.namespace, "route", "show", "dev", DemoHost.interface)
            let v6 = try host.ip("-n", host.namespace, "-6", "route", "show", "dev", DemoHost.interface)
            return "mtu \(mtu)\n\(addresses)\(v4)\(v6)"
        }

        private func delete(_ host: DemoHost) throws {
            try host.ip("-n", host.namespace, "link", "delete", DemoHost.interface)
        }

        private func status(_ node: StageNode, in stage: Stage) throws -> StatusReport {
            let outcome = try stage.run(
                "status", on: node.host, [stage.pqvpn, "status", "--json"], environment: node.environment)
            return try StatusReport(answer: outcome.output)
        }

        @Test("It comes back with addresses, MTU and routes, each time, and the session goes on")
        func restored() throws {
            try Stage.perform { stage in
                let (a, b) = try stage.pair()
                try stage.reach(b.host.innerIPv4, from: a.host)
                let before = try facts(b.host)
                let sessions = b.events("session.established").count
                for number in 1...3 {
                    try delete(b.host)
                    try b.event("tunnel.restored") { _ in b.events("tunnel.restored").count == number }
                    #expect(b.events("tunnel.gone").count == number)
                    #expect(try facts(b.host) == before)
                    try stage.reach(b.host.innerIPv4, from: a.host)
                    #expect(try stage.answers(a.host.innerIPv6, from: b.host))
                }
                #expect(b.events("session.established").count == sessions && b.events("session.ended").isEmpty)
                #expect(try status(b, in: stage).health.isEmpty)
                #expect(try b.end(SIGTERM) == 0)
                #expect(!b.host.hasInterface)
                try a.event("session.ended") { $0["reason"] == "closed_by_peer" }
            }
        }

        @Test("What stands in its way is told, tried again, and the node is not ready meanwhile")
        func hindered() throws {
            try Stage.perform { stage in
                let (a, b) = try stage.pair()
                b.configuration.extraLines = ["metrics: { prometheus: true, bind_port: 9464 }"]
                try b.end(SIGTERM)
                try b.start()
                try stage.reach(b.host.innerIPv4, from: a.host)
                let before = try facts(b.host)
                let sessions = b.events("session.established").count
                // Another one for a's network, which the deletion leaves behind.
                let route = "\(a.host.innerIPv4)/32"
                try b.host.ip("-n", b.host.namespace, "route", "append", route, "dev", DemoHost.cable)
                try delete(b.host)
                let told = try b.event("tunnel.not_restored")
                #expect(told["msg"]?.contains(route) == true && told["retry_in_s"] == "1")
                #expect(!b.host.hasInterface, "nothing is left of a try that failed")
                let report = try status(b, in: stage)
                #expect(report.tunnel?.isUp == false && report.health.map(\.code).contains("TUNNEL_GONE"))
                // The session lives, and nothing is in it.
                #expect(report.verdict == .disconnected && report.peers.first?.state == "connected")
                let curl = "exec 3<>/dev/tcp/127.0.0.1/9464; printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' >&3; head -1 <&3"
                let ready = try stage.run("ready", on: b.host, ["/bin/bash", "-c", curl])
                #expect(ready.output.contains(" 503 "), "\(ready.output)\(ready.errors)")
                // A reload meanwhile is taken, and counts for the interface to come.
                b.configuration.peers[0].allowedIPs += ["10.88.0.0/16"]
                try b.writeConfiguration()
                b.daemon?.send(SIGHUP)
                try b.event("config.reloaded")
                try b.event("tunnel.not_restored") { $0["retry_in_s"] == "2" }

                try b.host.ip("-n", b.host.namespace, "route", "delete", route, "dev", DemoHost.cable)
                try b.event("tunnel.restored")
                try stage.reach(b.host.innerIPv4, from: a.host)
                let after = try facts(b.host)
                #expect(after.contains("10.88.0.0/16"))
                let old = after.split(separator: "\n").filter { !$0.contains("10.88.0.0/16") }
                #expect(old == before.split(separator: "\n"))
                #expect(b.events("session.established").count == sessions)
                let again = try stage.run("ready", on: b.host, ["/bin/bash", "-c", curl])
                #expect(again.output.contains(" 200 "), "\(again.output)")
            }
        }

        @Test("An end in the middle of it is an end in order")
        func ended() throws {
            try Stage.perform { stage in
                let (a, b) = try stage.pair()
                try stage.reach(b.host.innerIPv4, from: a.host)
                let route = "\(a.host.innerIPv4)/32"
                try b.host.ip("-n", b.host.namespace, "route", "append", route, "dev", DemoHost.cable)
                try delete(b.host)
                try b.event("tunnel.not_restored")
                #expect(try b.end(SIGTERM) == 0)
                #expect(!b.host.hasInterface)
                try a.event("session.ended") { $0["reason"] == "closed_by_peer" }
            }
        }

        @Test("One that vanishes before it is known to be there is made once more")
        func vanishedAgain() {
            var loss = TunnelLoss()
            #expect(!loss.isGone)
            let (first, second) = (loss.vanished(), loss.vanished())
            #expect(first && !second && loss.isGone)
            let isThere = loss.made()
            #expect(!isThere && loss.isGone)
            let isThereAgain = loss.made()
            #expect(isThereAgain && !loss.isGone)
            let third = loss.vanished()
            #expect(third && loss.isGone)
        }

        @Test("Pauses grow to half a minute and no further")
        func pauses() {
            var pause = RestoringPause()
            #expect((0..<7).map { _ in pause.next() } == [1, 2, 4, 8, 16, 30, 30])
        }
    }
}
