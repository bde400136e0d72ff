// SPDX-License-Identifier: Apache-2.0
// Starts that must fail: with the documented status, and a message that names what is wrong and what to do.
//
//     host a: pqvpn run, and no other host (in the last of them host b, a peer)
import Foundation
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

extension NamespaceTests {
    @Suite("Bad starts")
    struct BadStarts {
        /// Starts a daemon that is expected to refuse. `wrapper` is the beginning of its command line.
        private func refuse(
            _ node: StageNode, _ stage: Stage, _ status: VPNNode.ExitStatus, _ words: String..., wrapper: [String] = [],
            sourceLocation: SourceLocation = #_sourceLocation
        ) throws {
            let outcome = try stage.run(
                "bad-start", on: node.host, wrapper + node.command, environment: node.environment)
            #expect(outcome.status == status.rawValue, "\(outcome.errors)", sourceLocation: sourceLocation)
            for word in words {
                #expect(outcome.errors.contains(word), "\(word)", sourceLocation: sourceLocation)
            }
            #expect(node.runtimeDirectories == [], sourceLocation: sourceLocation)
        }

        @Test("The UDP port is in use")
        func port() throws {
            try Stage.perform(hosts: 1) { stage in
                let owner = try stage.node(on: stage.hosts[0])
                owner.configuration.hasTunnel = false
                try owner.start()
                let second = try stage.node(on: stage.hosts[0], persistent: false)
                try second.writeConfiguration()
                try refuse(second, stage, .failure, "UDP", ":9000", "in use", "choose another port")
                #expect(!second.host.hasInterface)
                // With the port free the same configuration is a good one.
                #expect(try owner.end() == 0)
                try second.start()
            }
        }

        @Test("No capability for network interfaces")
        func capability() throws {
            try Stage.perform(hosts: 1) { stage in
                let node = try stage.node(on: stage.hosts[0], persistent: false)
                try node.writeConfiguration()
                let wrapper = ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"]
                try refuse(node, stage, .permission, "CAP_NET_ADMIN", "run as root", wrapper: wrapper)
            }
        }

        @Test("No TUN device")
        func device() throws {
            try Stage.perform(hosts: 1) { stage in
                let node = try stage.node(on: stage.hosts[0], persistent: false)
                try node.writeConfiguration()
                // The empty directory is seen by this one process only: ip netns exec has mounts of its own already.
                let script = "mount -t tmpfs tmpfs /dev/net && exec \"$@\""
                let wrapper = ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh"]
                try refuse(node, stage, .failure, "/dev/net/tun is missing", wrapper: wrapper)
                #expect(FileManager.default.fileExists(atPath: "/dev/net/tun"))
            }
        }

        @Test("The interface's name is taken")
        func interface() throws {
            try Stage.perform(hosts: 1) { stage in
                let host = stage.hosts[0]
                let node = try stage.node(on: host, persistent: false)
                try node.writeConfiguration()
                let name = DemoHost.interface
                try host.ip("-n", host.namespace, "link", "add", name, "type", "veth", "peer", "name", "other0")
                try refuse(node, stage, .failure, name, "choose another name or remove it")
                #expect(host.hasInterface)
                try host.ip("-n", host.namespace, "link", "delete", name)
                // A TUN interface that another daemon holds.
                try node.start()
                let second = try stage.node(on: host, persistent: false)
                second.configuration.port = StageConfiguration.port + 1
                try second.writeConfiguration()
                let outcome = try stage.run("second", on: host, second.command, environment: second.environment)
                #expect(outcome.status == VPNNode.ExitStatus.failure.rawValue)
                #expect(outcome.errors.contains("'\(name)' exists or is in use"), "\(outcome.errors)")
                #expect(host.hasInterface)
            }
        }

        @Test("Key files that others reach, that are links, or that are damaged")
        func keyFiles() throws {
            try Stage.perform(hosts: 1) { stage in
                let node = try stage.node(on: stage.hosts[0])
                try node.writeConfiguration()
                let keys = "\(node.directory)/keys"
                let file = "\(keys)/\(KeyFileKind.mldsa87.fileName)"
                let good = try #require(FileManager.default.contents(atPath: file))
                func change(mode: Int) throws {
                    try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: file)
                }
                func replace(_ data: Data) throws {
                    try data.write(to: URL(filePath: file))
                    try change(mode: 0o600)
                }

                try change(mode: 0o644)
                try refuse(node, stage, .permission, file, "mode 644", "chmod 600 \(file)")
                // Root needs these capabilities to be stopped by a mode at all.
                try change(mode: 0)
                let wrapper = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
                try refuse(node, stage, .permission, file, "cannot be read", "check its owner", wrapper: wrapper)

                try replace(good.prefix(good.count / 2))
                try refuse(node, stage, .usage, file, "truncated", "restore it from a backup")
                try replace(Data())
                try refuse(node, stage, .usage, file, "is empty", "restore it from a backup")
                let peerID = try #require(node.descriptor).keys.peerID
                let short = KeyFile.text(of: Secret(random: 31), kind: .mldsa87, peerID: peerID)
                try replace(Data(short.exposedCopy()))
                try refuse(node, stage, .usage, file, "31 bytes, expected 32", "restore it from a backup")

                try replace(good)
                try FileManager.default.moveItem(atPath: file, toPath: "\(file).real")
                try FileManager.default.createSymbolicLink(atPath: file, withDestinationPath: "\(file).real")
                try refuse(node, stage, .permission, file, "symbolic link", "name the file itself")
                try FileManager.default.removeItem(atPath: file)
                try refuse(node, stage, .usage, "mldsa87.key", keys, "pqvpn keygen")

                // As it was, it is good.
                try FileManager.default.moveItem(atPath: "\(file).real", toPath: file)
                try node.start()
            }
        }

        @Test("Peers that cannot be, and files that are no configuration")
        func configuration() throws {
            try Stage.perform { stage in
                let (node, other) = (try stage.node(on: stage.hosts[0]), try stage.node(on: stage.hosts[1]))
                func refuse(_ words: String..., changing change: (inout StageConfiguration) -> Void) throws {
                    let before = node.configuration
                    defer { node.configuration = before }
                    change(&node.configuration)
                    try node.writeConfiguration()
                    let outcome = try stage.run("refused", on: node.host, node.command)
                    #expect(outcome.status == VPNNode.ExitStatus.usage.rawValue, "\(words): \(outcome.errors)")
                    for word in words { #expect(outcome.errors.contains(word), "\(outcome.errors)") }
                }
                let path = node.configurationPath
                try refuse(path, "own identity", "remove the entry") {
                    $0.peers = [.init(name: "me", peerID: node.hexPeerID)]
                }
                try refuse(path, "not pinned", "pqvpn peers add") {
                    $0.peers = [.init(name: "other", peerID: other.hexPeerID)]
                }
                try refuse(path, "10.77.0.9/32", "belongs to 'x' in line") {
                    $0.trustsOnFirstUse = true
                    $0.peers = ["x", "y"].map {
                        .init(name: $0, endpoint: "10.99.0.2:\($0 == "x" ? 1 : 2)", allowedIPs: ["10.77.0.9/32"])
                    }
                }
                try refuse("\(path):7:1", "unknown", "did you mean 'logging'") { $0.extraLines = ["loging: {}"] }
                try refuse("\(path):7:", "not valid YAML") { $0.extraLines = ["logging: { level: [INFO }"] }
                // Without its faults it is a good one.
                try node.start()
            }
        }
    }
}
