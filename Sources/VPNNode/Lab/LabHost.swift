// SPDX-License-Identifier: Apache-2.0
// One host of the lab: a namespace with one cable to the lab's switch, a daemon, and the names and addresses of both.
internal import Foundation
internal import VPNCore
internal import VPNCrypto

struct LabHost: Sendable {
    /// 1, 2, …
    let number: Int
    let host: DemoHost
    let directory: String

    static let port = 9000
    static let cable = "outer0"

    init(number: Int, tools: DemoTools, directory: String) {
        self.number = number
        self.directory = directory
        host = DemoHost(
            letter: "\(number)", number: number, namespace: LabHost.namespace(number), tools: tools,
            directory: directory)
    }

    static func namespace(_ number: Int) -> String { "pqvpn-lab-\(number)" }

    var name: String { "host\(number)" }
    var outerIPv4: String { "10.98.0.\(number)" }
    var outerIPv6: String { "fd98::\(number)" }
    var innerIPv4: String { "10.77.0.\(number)" }
    var innerIPv6: String { "fd77::\(number)" }
    var keys: String { "\(directory)/\(name)" }
    var configurationPath: String { "\(directory)/\(name).yaml" }
    var socket: String { "\(directory)/\(name).sock" }
    var pidFile: String { "\(directory)/\(name).pid" }

    /// Plugs the host into the switch.
    func connect(to switchHost: DemoHost) throws {
        let port = "port\(number)"
        try host.ip(
            "link", "add", Self.cable, "netns", host.namespace, "type", "veth", "peer", "name", port, "netns",
            switchHost.namespace)
        try switchHost.ip("-n", switchHost.namespace, "link", "set", port, "master", "switch0", "up")
        try host.ip("-n", host.namespace, "link", "set", "lo", "up")
        try host.ip("-n", host.namespace, "address", "add", outerIPv4 + "/24", "dev", Self.cable)
        try host.ip("-n", host.namespace, "address", "add", outerIPv6 + "/64", "dev", Self.cable, "nodad")
        try host.ip("-n", host.namespace, "link", "set", Self.cable, "up")
    }

    /// All hosts know each other and relay for each other; of two, the one with the smaller number calls.
    func configuration(towards others: [(host: LabHost, id: PeerID)]) -> String {
        let peers = others.map { other, id in
            "  - { name: \(other.name), peer_id: \"\(id.hex)\", "
                + (number < other.number ? "endpoint: \"\(other.outerIPv4):\(Self.port)\", " : "")
                + "allowed_ips: [\(other.innerIPv4)/32, \"\(other.innerIPv6)/128\"], keepalive_seconds: 25 }"
        }
        return """
            peer: { nickname: \(name) }
            keys: { runtime_temp_keys: false, dir: \(name) }
            security: { known_peers_file: \(name)/known_peers.yaml }
            network: { listen_port: \(Self.port) }
            tunnel: { interface: \(DemoHost.interface), addresses: [\(innerIPv4)/24, "\(innerIPv6)/64"] }
            control: { socket: \(name).sock }
            logging: { file: \(name).log }
            relay: true
            peers:
            \(peers.joined(separator: "\n"))

            """
    }
}
