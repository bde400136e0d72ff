// SPDX-License-Identifier: Apache-2.0
// A host that is a network namespace with one end of a cable in it. Its name has a random part, and only what was made
// here is ever removed.
internal import Foundation

struct DemoHost: Sendable {
    /// "a", "b", …
    let letter: String
    /// 1, 2, …: the last part of each of its addresses.
    let number: Int
    /// The name of the namespace.
    let namespace: String
    private let tools: DemoTools
    private let directory: String

    /// The cable's end, inside.
    static let cable = "outer0"
    static let interface = "pqvpn0"
    private static let outerNetwork = 99

    init(letter: String, number: Int, suffix: String, tools: DemoTools, directory: String) {
        self.init(
            letter: letter, number: number, namespace: "pqvpn-demo-\(letter)-\(suffix)", tools: tools,
            directory: directory)
    }

    /// A host whose namespace has a name of the caller's choice.
    init(letter: String, number: Int, namespace: String, tools: DemoTools, directory: String) {
        self.letter = letter
        self.number = number
        self.namespace = namespace
        self.tools = tools
        self.directory = directory
    }

    var outerIPv4: String { "10.\(Self.outerNetwork).0.\(number)" }
    var outerIPv6: String { "fd\(Self.outerNetwork)::\(number)" }
    var innerIPv4: String { "10.77.0.\(number)" }
    var innerIPv6: String { "fd77::\(number)" }

    /// Makes the namespace. Throws where this process may not.
    func make() throws {
        try ip("netns", "add", namespace)
    }

    /// Connects two hosts and gives both ends addresses, 10.`network`.0.x and fd`network`::x. The cable exists only inside
    /// them.
    static func connect(_ a: DemoHost, _ b: DemoHost, by cable: String = cable, network: Int = outerNetwork) throws {
        try a.ip(
            "link", "add", cable, "netns", a.namespace, "type", "veth", "peer", "name", cable, "netns", b.namespace)
        for host in [a, b] {
            try host.ip("-n", host.namespace, "link", "set", "lo", "up")
            let (v4, v6) = ("10.\(network).0.\(host.number)/24", "fd\(network)::\(host.number)/64")
            try host.ip("-n", host.namespace, "address", "add", v4, "dev", cable)
            try host.ip("-n", host.namespace, "address", "add", v6, "dev", cable, "nodad")
            try host.ip("-n", host.namespace, "link", "set", cable, "up")
        }
    }

    /// Whether the daemon's interface is there.
    var hasInterface: Bool {
        (try? ip("-n", namespace, "link", "show", "dev", Self.interface)) != nil
    }

    /// Removes the namespace, and with it the cable. What ran in it must have ended.
    func remove() {
        // Deaf to signals: this is what they ask for.
        let name = "remove-\(letter)"
        guard let process = try? DemoProcess(name, tools.ip, ["netns", "delete", namespace], directory: directory)
        else { return }
        process.waitForEnd()
    }

    /// Starts a program inside. `ip netns exec` becomes the program, so that signals reach it.
    func start(
        _ name: String, _ executable: String, _ arguments: [String], environment: [String: String] = [:]
    ) throws -> DemoProcess {
        try DemoProcess(
            name, tools.ip, ["netns", "exec", namespace, executable] + arguments, directory: directory,
            environment: environment)
    }

    /// Runs `ip` to its end; throws what it complained about.
    @discardableResult
    func ip(_ arguments: String...) throws -> String { try ip(arguments) }

    @discardableResult
    func ip(_ arguments: [String]) throws -> String {
        let process = try DemoProcess("ip-\(letter)", tools.ip, arguments, directory: directory)
        let outcome = try process.finish(within: 10, isInterruptible: false)
        guard outcome.status == 0 else {
            let reason = outcome.errors.trimmingCharacters(in: .whitespacesAndNewlines)
            throw NodeFailure(.failure, "ip \(arguments.joined(separator: " ")): \(reason)")
        }
        return outcome.output
    }
}
