// SPDX-License-Identifier: Apache-2.0
// `pqvpn lab`: some hosts on one switch, for playing: namespaces that stay until `lab down`, a daemon in each, all of them each other's
// peers and relays. One lab at a time on a machine.
internal import Foundation
internal import Glibc
internal import VPNCore
internal import VPNCrypto

public struct Lab {
    /// Where the lab keeps its files.
    private let directory: String
    private let tools: DemoTools

    public static let usualDirectory = "/run/pqvpn-lab"
    public static let counts = 2...32
    private static let switchNamespace = "pqvpn-lab-switch"
    /// All of them make all their sessions at once, on a few cores.
    private static let patience = 60.0

    /// Throws where this user may not, or a program is missing.
    public init(directory: String = Self.usualDirectory) throws {
        guard geteuid() == 0 else {
            throw NodeFailure(.permission, "the lab's hosts are network namespaces that stay: run it as root")
        }
        self.directory = directory
        tools = try DemoTools()
    }

    private var switchHost: DemoHost {
        DemoHost(letter: "switch", number: 0, namespace: Self.switchNamespace, tools: tools, directory: directory)
    }

    private func hosts(_ count: Int) -> [LabHost] {
        (1...count).map { LabHost(number: $0, tools: tools, directory: directory) }
    }

    // MARK: Up

    /// Builds the hosts and starts their daemons. What was built of a lab that fails is taken down again.
    public func up(_ count: Int) throws -> LabReport {
        precondition(Self.counts.contains(count))
        guard !FileManager.default.fileExists(atPath: directory) else {
            throw NodeFailure(.failure, "there is a lab already: pqvpn lab down removes it")
        }
        DemoInterruption.watch()
        try FileManager.default.createDirectory(
            atPath: directory, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        do {
            try Data("\(count)\n".utf8).write(to: URL(filePath: countPath))
            try build(hosts(count))
        } catch {
            try? down()
            throw error
        }
        return LabReport(hosts: hosts(count).map(Self.entry))
    }

    private func build(_ hosts: [LabHost]) throws {
        let center = switchHost
        try center.make()
        try center.ip("-n", center.namespace, "link", "add", "switch0", "type", "bridge")
        try center.ip("-n", center.namespace, "link", "set", "switch0", "up")
        var known: [(host: LabHost, descriptor: Descriptor)] = []
        for host in hosts {
            try DemoInterruption.check()
            try host.host.make()
            try host.connect(to: center)
            known.append(
                (host, try PersistentIdentity.generate(into: host.keys, nickname: host.name).descriptor))
        }
        for host in hosts {
            let others = known.filter { $0.host.number != host.number }
            let store = try KnownPeersStore(path: "\(host.keys)/known_peers.yaml")
            for other in others {
                try store.add(
                    PinnedPeer(keys: other.descriptor.keys, name: other.host.name, origin: .operatorAdded))
            }
            let text = host.configuration(towards: others.map { ($0.host, $0.descriptor.keys.peerID) })
            try Data(text.utf8).write(to: URL(filePath: host.configurationPath))
        }
        for host in hosts.reversed() {
            let start = try host.host.start(
                "start-\(host.name)", tools.pqvpn,
                ["run", "--config", host.configurationPath, "--daemonize", "--pid-file", host.pidFile])
            guard try start.finish(within: 30).status == 0 else {
                throw NodeFailure(.failure, "the daemon of \(host.name) did not start:\n\(start.lastErrors())")
            }
        }
    }

    private static func entry(_ host: LabHost) -> LabReport.Host {
        LabReport.Host(
            name: host.name, namespace: host.host.namespace, outer: [host.outerIPv4, host.outerIPv6],
            inner: [host.innerIPv4, host.innerIPv6], socket: host.socket)
    }

    // MARK: What is there

    private var countPath: String { "\(directory)/hosts" }

    /// How many hosts the lab has.
    private func count() throws -> Int {
        guard let data = FileManager.default.contents(atPath: countPath) else {
            throw NodeFailure(.failure, "there is no lab: pqvpn lab up 4 builds one")
        }
        let text = String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        guard let count = Int(text), Self.counts.contains(count) else {
            throw NodeFailure(
                .failure, "\(countPath) does not say how many hosts there are: pqvpn lab down removes them")
        }
        return count
    }

    /// Every host pings every other through the tunnel, again and again until all have answered or the time is over.
    public func ping() throws -> LabReport {
        DemoInterruption.watch()
        let hosts = hosts(try count())
        var matrix: LabReport.Matrix = hosts.map { _ in hosts.map { _ in nil } }
        let limit = Date(timeIntervalSinceNow: Self.patience)
        repeat {
            for (row, host) in hosts.enumerated() {
                let programs = try hosts.enumerated().filter { $0.offset != row && matrix[row][$0.offset] == nil }.map {
                    column, other in
                    (
                        column,
                        try host.host.start(
                            "ping-\(host.number)-\(other.number)", tools.ping,
                            ["-n", "-c", "1", "-W", "2", other.innerIPv4])
                    )
                }
                for (column, program) in programs {
                    matrix[row][column] = try PingResult(program.finish(within: 10).output)?.milliseconds
                }
            }
        } while Date() < limit && !LabReport(hosts: hosts.map(Self.entry), matrix: matrix).ok
        return LabReport(hosts: hosts.map(Self.entry), matrix: matrix)
    }

    /// Becomes a program on a host; returns only by throwing.
    public func exec(_ number: Int, _ command: [String]) throws -> Never {
        let count = try count()
        guard (1...count).contains(number) else {
            throw NodeFailure(.usage, "there is no host \(number): the lab has 1 to \(count)")
        }
        let arguments = [tools.ip, "netns", "exec", LabHost.namespace(number)] + command
        // SAFETY: the strings live until the program is another one, or the call has failed.
        var pointers = unsafe arguments.map { unsafe strdup($0) } + [nil]
        unsafe execv(tools.ip, &pointers)
        throw NodeFailure(.failure, "\(tools.ip): \(unsafe String(cString: strerror(errno)))")
    }

    // MARK: Down

    /// Ends what runs in the lab's hosts and removes them. Also what is left of a lab that was not built to its end.
    public func down() throws {
        guard FileManager.default.fileExists(atPath: directory) else {
            throw NodeFailure(.failure, "there is no lab: pqvpn lab up 4 builds one")
        }
        let named = (try? FileManager.default.contentsOfDirectory(atPath: "/run/netns")) ?? []
        let namespaces = named.filter { name in
            name == Self.switchNamespace || LabHost.isNamespace(name)
        }
        for name in namespaces { signal(name, SIGTERM) }
        let limit = Date(timeIntervalSinceNow: 10)
        while Date() < limit, namespaces.contains(where: { !processes(in: $0).isEmpty }) {
            Thread.sleep(forTimeInterval: 0.05)
        }
        for name in namespaces {
            signal(name, SIGKILL)
            let host = DemoHost(letter: name, number: 0, namespace: name, tools: tools, directory: directory)
            host.remove()
        }
        try FileManager.default.removeItem(atPath: directory)
    }

    private func signal(_ namespace: String, _ number: Int32) {
        for process in processes(in: namespace) { kill(process, number) }
    }

    private func processes(in namespace: String) -> [Int32] {
        let host = DemoHost(letter: namespace, number: 0, namespace: namespace, tools: tools, directory: directory)
        let text = (try? host.ip("netns", "pids", namespace)) ?? ""
        return text.split(whereSeparator: \.isWhitespace).compactMap { Int32($0) }
    }
}

extension LabHost {
    /// Whether a namespace of this name is a lab host's.
    static func isNamespace(_ name: String) -> Bool {
        guard name.hasPrefix("pqvpn-lab-"), let number = Int(name.dropFirst("pqvpn-lab-".count)) else { return false }
        return Lab.counts.upperBound >= number && number >= 1
    }
}
