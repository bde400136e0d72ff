// SPDX-License-Identifier: Apache-2.0
// A client and a row of relays as daemons on the loopback interface: what tests of circuits by commands start with. The first relay
// knows the client, the others only their neighbours.
import Foundation
import Testing
import VPNCore

@testable import VPNNode

/// "client" wants a circuit to the last of "r1", "r2", …; all keep their control sockets in the scratch directory.
final class CircuitChain {
    let scratch: Scratch
    let names: [String]
    private let wrapper: [String]
    private(set) var daemons: [String: RunningDaemon] = [:]
    private(set) var ids: [String: String] = [:]
    private var endpoints: [String: String] = [:]

    /// A user who may do nothing: "nobody", where the tests are root's.
    static let unprivileged =
        isRoot
        ? [
            "/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all",
            "--bounding-set=-all",
        ] : []

    /// - Parameters:
    ///   - relay: the section of each relay's configuration, by name; `relay: true` where there is none.
    ///   - wrapper: what every program is started by.
    ///   - client: lines at the end of its configuration.
    init(relays count: Int, relay: [String: String] = [:], wrapper: [String] = [], client: String = "") throws {
        scratch = try Scratch()
        self.wrapper = wrapper
        names = ["client"] + (1...count).map { "r\($0)" }
        if !wrapper.isEmpty, isRoot { try scratch.giveAway("") }
        for name in names {
            let made = try run(["keygen", "--out", "\(name)-keys", "--nickname", name, "--json"])
            ids[name] = try #require(made.json?["peer_id"] as? String, "\(made.errors)")
        }
        for (place, name) in names.enumerated() {
            let others = place == 0 ? Array(names.dropFirst()) : neighbours(place)
            for other in others {
                let added = try run(["peers", "add", "\(other)-keys/identity.pub", "--known-peers", "\(name).known"])
                #expect(added.status == 0, "\(added.errors)")
            }
        }
        for name in names.dropFirst().reversed() {
            try write(name, extra: (relay[name] ?? "relay: true") + "\n")
            try start(name)
        }
        try write("client", extra: client)
        try start("client")
    }

    private func neighbours(_ place: Int) -> [String] {
        [place - 1, place + 1].filter(names.indices.contains).map { names[$0] }
    }

    /// A configuration; of a relay that ran before, with the port that it had.
    func write(_ name: String, extra: String) throws {
        let place = names.firstIndex(of: name)!
        var peers: [String] = []
        if place == 0 {
            for (position, other) in names.enumerated().dropFirst() {
                peers.append(
                    "  - { name: \(other), peer_id: \"\(ids[other]!)\""
                        + (position == 1 ? ", endpoint: \"\(endpoints[other]!)\", keepalive_seconds: 5" : "")
                        + (position > 1 && other == names.last
                            ? ", allowed_ips: [10.99.0.9/32], via: [\(names[1..<position].joined(separator: ", "))]"
                            : "")
                        + " }")
            }
        } else {
            for other in neighbours(place) {
                let isNext = names.firstIndex(of: other)! > place
                peers.append(
                    "  - { name: \(other), peer_id: \"\(ids[other]!)\""
                        + (isNext ? ", endpoint: \"\(endpoints[other]!)\"" : "") + " }")
            }
        }
        let port = endpoints[name].flatMap { $0.split(separator: ":").last.map(String.init) } ?? "0"
        try scratch.write(
            """
            peer: { nickname: \(name) }
            security: { known_peers_file: \(name).known }
            network: { bind_host: 127.0.0.1, listen_port: \(port) }
            tunnel: { enabled: false }
            keys: { runtime_temp_keys: false, dir: \(name)-keys }
            peers:
            \(peers.joined(separator: "\n"))

            """ + extra, to: "\(name).yaml")
        if !wrapper.isEmpty, isRoot { try scratch.giveAway("\(name).yaml") }
    }

    func start(_ name: String) throws {
        let daemon = try RunningDaemon(
            ["--config", "\(name).yaml"], in: scratch, log: "\(name)-\(UInt32.random(in: 0 ... .max)).log",
            wrapper: wrapper)
        daemons[name] = daemon
        let listening = daemon.event("node.listening")?["address"] as? String
        endpoints[name] = try #require(listening, "\(name): \(daemon.text)")
    }

    subscript(name: String) -> RunningDaemon { daemons[name]! }

    func run(_ arguments: [String]) throws -> Program.Outcome {
        try Program.launch(wrapper + [Program.path] + arguments, in: scratch)
    }

    /// A command on one of the nodes.
    func ask(_ name: String, _ arguments: [String]) throws -> Program.Outcome { try run(arguments + ["--node", name]) }

    /// Asks until the answer's JSON is as wanted; the last answer in any case.
    func ask(
        _ name: String, _ arguments: [String], until isWanted: ([String: Any]) -> Bool
    ) throws -> [String: Any] {
        var last: [String: Any] = [:]
        for _ in 0..<300 {
            let outcome = try ask(name, arguments + ["--json"])
            last = outcome.json ?? ["status": Int(outcome.status), "errors": outcome.errors]
            if outcome.status == 0, isWanted(last) { break }
            usleep(100_000)
        }
        return last
    }
}
