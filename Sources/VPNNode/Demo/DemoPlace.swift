// SPDX-License-Identifier: Apache-2.0
// Where the hosts can be built: in this system if this process is its administrator, else in user namespaces of its own,
// else nowhere, with the reason.
internal import CLinux
internal import Foundation
internal import Glibc

enum DemoPlace {
    /// The hosts can be built right here.
    case here
    /// Another run of this program, in user namespaces, has done it all and ended with this status.
    case elsewhere(status: Int32)

    /// All capabilities and any user but root: a tcpdump of root would want to become another user, which it cannot where
    /// only one is mapped.
    private static let unshareFlags = [
        "--user", "--net", "--mount", "--map-user=1000", "--map-group=1000", "--keep-caps",
    ]

    /// Tells the inner run that it is one.
    private static let variable = "PQVPN_DEMO_USER_NAMESPACE"

    /// Whether this process is the administrator of user namespaces that it was given by another run.
    static var isInner: Bool { ProcessInfo.processInfo.environment[variable] != nil }

    /// Finds the place. `arguments` are those of the demonstration, for the run in user namespaces.
    static func find(tools: DemoTools, arguments: [String], scratch: String) throws -> DemoPlace {
        if isInner {
            // `ip netns` keeps its names below /run, which belongs to the outer system.
            // SAFETY: all strings outlive the call.
            guard unsafe mount("tmpfs", "/run", "tmpfs", 0, nil) == 0 else {
                throw refusal("no tmpfs can be mounted in a user namespace: \(unsafe String(cString: strerror(errno)))")
            }
            try checkTunDevice()
            return .here
        }
        try checkTunDevice()
        if geteuid() == 0 {
            let probe = DemoHost(letter: "probe", number: 3, suffix: randomSuffix(), tools: tools, directory: scratch)
            if (try? probe.make()) != nil {
                probe.remove()
                return .here
            }
        }
        let probe = try DemoProcess(
            "unshare", tools.unshare, unshareFlags + [tools.pqvpn, "version"], directory: scratch)
        guard try probe.finish(within: 10).status == 0 else {
            throw refusal("this user is not root, and the kernel gives no user namespaces: \(probe.lastErrors(1))")
        }
        return .elsewhere(status: try run(tools: tools, arguments: arguments))
    }

    private static func run(tools: DemoTools, arguments: [String]) throws -> Int32 {
        let inner = try DemoProcess(
            "unshare", tools.unshare, unshareFlags + [tools.pqvpn, "demo"] + arguments, directory: nil,
            environment: [variable: "1"])
        var passed: Int32?
        while inner.isRunning {
            if let signal = DemoInterruption.received, passed == nil {
                inner.send(signal)
                passed = signal
            }
            Thread.sleep(forTimeInterval: 0.02)
        }
        return inner.status
    }

    /// Opening makes no interface yet.
    private static func checkTunDevice() throws {
        let path = "/dev/net/tun"
        guard FileManager.default.fileExists(atPath: path) else {
            throw NodeFailure(
                .permission, "there is no \(path): load the module tun, or give the container --device \(path)")
        }
        guard FileHandle(forUpdatingAtPath: path) != nil else {
            throw refusal("\(path) cannot be opened by this user")
        }
    }

    private static func refusal(_ reason: String) -> NodeFailure {
        NodeFailure(
            .permission,
            "\(reason.trimmingCharacters(in: .whitespacesAndNewlines))\nRun it as root, for example: sudo make demo")
    }

    /// How to enter hosts that stay, and how to remove them.
    ///
    /// - Parameter processes: what runs in them, one in each host at least.
    static func keepText(hosts: [DemoHost], processes: [Int32], scratch: String) -> String {
        let end = "kill " + processes.map { "\($0)" }.joined(separator: " ")
        let (ways, removal) =
            isInner
            ? (processes.map { "nsenter --preserve-credentials --user --mount --net --target \($0)" }, [])
            : (
                hosts.map { "ip netns exec \($0.namespace) bash" },
                hosts.map { "ip netns delete \($0.namespace)" }
            )
        return
            (["The hosts stay. To enter them:"] + ways.map { "  \($0)" } + [
                "To remove them:", "  " + ([end] + removal + ["rm -r \(scratch)"]).joined(separator: "; "),
            ]).joined(separator: "\n")
    }

    /// Six digits that make the names of one run unlike those of another.
    static func randomSuffix() -> String {
        let digits = String(UInt32.random(in: 0..<0x100_0000), radix: 16)
        return String(repeating: "0", count: 6 - digits.count) + digits
    }
}

/// A TUN interface of this place, for a cable that is a program: whole packets, never waiting. It goes when this goes.
struct DemoInterface: ~Copyable {
    private let file: OpenFile
    /// More than the MTU of any cable here.
    private static let longest = 2048

    init(_ name: String) throws {
        let file = try OpenFile("/dev/net/tun", O_RDWR)
        let descriptor = file.descriptor
        // SAFETY: a terminated string for the length of the call.
        let result = unsafe clinux_tun_attach(descriptor, name, CLINUX_TUN_NEW)
        guard result == 0 else { throw SystemCallError(call: "TUNSETIFF", path: name, errno: -result) }
        self.file = file
    }

    /// The next packet; nil where none is there.
    func read() -> [UInt8]? {
        let descriptor = file.descriptor
        let packet = unsafe [UInt8](unsafeUninitializedCapacity: Self.longest) { room, count in
            // SAFETY: the kernel writes at most so many bytes as there is room, and says how many.
            count = unsafe max(0, clinux_read(descriptor, room.baseAddress!, UInt(room.count)))
        }
        return packet.isEmpty ? nil : packet
    }

    /// What the interface does not take, since it is down, is lost.
    func write(_ packet: [UInt8]) { try? file.write(packet) }
}
