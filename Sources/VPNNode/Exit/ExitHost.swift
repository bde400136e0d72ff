// SPDX-License-Identifier: Apache-2.0
// What an exit does to its host while it runs: its table, and the settings of its own interface. A table that a daemon left that
// died is replaced at the next start; nothing of anybody else's is touched.
internal import Foundation

struct ExitHost: Sendable {
    static let settings = "/proc/sys/net"

    /// Where nft is; nil: as PATH says.
    private let path: String?
    /// Where the kernel's settings are; tests have others.
    private let settings: String

    /// Throws where nft is missing, before anything was changed.
    init(path: String? = nil, settings: String = ExitHost.settings) throws {
        self.settings = settings
        self.path = path
        try HostTools(path: path, scratch: "/").require(["nft"])
    }

    /// Puts the table into the kernel, in place of what was there, and lets the interface forward.
    func load(_ table: ExitTable) throws {
        do { try tell(table.replacement) } catch {
            throw NodeFailure(
                .failure,
                "an exit needs its table in the kernel (CAP_NET_ADMIN, nf_tables): \(NodeFailure(error).message)")
        }
    }

    /// Routers of this interface alone: it forwards, sends no redirects and takes none. Words about what could not be set.
    func forward(on interface: String) -> [String] {
        guard FileManager.default.fileExists(atPath: settings) else {
            return [
                "\(settings) is not to be seen: whether guests' packets and their answers are forwarded is not known, and nothing was set; "
                    + "for the unit pqvpn@, take its drop-in exit.conf"
            ]
        }
        var complaints: [String] = []
        for (name, value) in [
            ("ipv4/conf/\(interface)/forwarding", "1"), ("ipv4/conf/\(interface)/send_redirects", "0"),
            ("ipv4/conf/\(interface)/accept_redirects", "0"), ("ipv6/conf/\(interface)/forwarding", "1"),
            ("ipv6/conf/\(interface)/accept_redirects", "0"),
        ] {
            let path = "\(settings)/\(name)"
            guard FileManager.default.fileExists(atPath: path) else { continue }
            do { try KernelSetting.write(path, value) } catch {
                complaints.append("net.\(name.replacing("/", with: ".")) cannot be set to \(value): \(error)")
            }
        }
        return complaints + Self.closedWays(settings)
    }

    /// The settings of the whole host without which no answer comes back to a guest; they are the operator's.
    static func closedWays(_ settings: String = ExitHost.settings) -> [String] {
        [("ipv4/ip_forward", "net.ipv4.ip_forward"), ("ipv6/conf/all/forwarding", "net.ipv6.conf.all.forwarding")]
            .compactMap { path, name in
                (try? KernelSetting.read("\(settings)/\(path)")) == "0"
                    ? "\(name) is 0: answers do not come back to guests; sysctl -w \(name)=1" : nil
            }
    }

    /// Takes the table away. The interface goes by itself, and its settings with it.
    func close() throws {
        try tell(ExitTable.removal)
    }

    /// From a directory that is made for it, and that nobody else can have made: one that is kept may be cleaned away, and made anew
    /// by whoever has seen its name.
    private func tell(_ text: String) throws {
        let name = "pqvpn-exit-" + String(UInt64.random(in: .min ... .max), radix: 36)
        let scratch = (NSTemporaryDirectory() as NSString).appendingPathComponent(name)
        try FileManager.default.createDirectory(
            atPath: scratch, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        defer { try? FileManager.default.removeItem(atPath: scratch) }
        try HostTools(path: path, scratch: scratch).perform(HostCommand("nft", ["-f", "-"], input: text))
    }
}
