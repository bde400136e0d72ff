// SPDX-License-Identifier: Apache-2.0
// What the doctor sees of the machine: values read once, so that a test can put others in their place. It judges nothing.
internal import Foundation
internal import Glibc
internal import VPNCrypto

struct Surroundings: Sendable {
    /// What became of opening the TUN device.
    enum Device: Sendable, Equatable { case usable, missing, forbidden }

    var hasAESHardware: Bool
    var tunDevice: Device
    /// Of this process.
    var hasNetAdmin: Bool
    /// net.core.rmem_max and wmem_max in bytes; nil where they cannot be read.
    var largestReceiveBuffer: Int?
    var largestSendBuffer: Int?
    /// RLIMIT_NOFILE and RLIMIT_MEMLOCK of this process, soft; nil = no limit.
    var openFiles: Int?
    var lockedMemory: Int?
    var unixSeconds: UInt64
    var interfaces: Set<String>
    /// Bytes that are free to this user in the file system of a directory.
    var freeBytes: @Sendable (String) -> Int?

    /// This machine, now.
    static func current() -> Surroundings {
        Surroundings(
            hasAESHardware: PacketCipher.hasAESHardware, tunDevice: device(), hasNetAdmin: capability(12),
            largestReceiveBuffer: number("/proc/sys/net/core/rmem_max"),
            largestSendBuffer: number("/proc/sys/net/core/wmem_max"), openFiles: openFileLimit(),
            lockedMemory: limit("Max locked memory"), unixSeconds: UnixTime.now,
            interfaces: Set((try? FileManager.default.contentsOfDirectory(atPath: "/sys/class/net")) ?? []),
            freeBytes: { directory in
                let facts = try? FileManager.default.attributesOfFileSystem(forPath: directory)
                return (facts?[.systemFreeSize] as? NSNumber)?.intValue
            })
    }

    /// RLIMIT_NOFILE, soft; nil where there is none or it cannot be read.
    static func openFileLimit() -> Int? { limit("Max open files") }

    private static func device() -> Device {
        do {
            _ = try OpenFile("/dev/net/tun", O_RDWR, followsLinks: true)
            return .usable
        } catch {
            return error.errno == EACCES || error.errno == EPERM ? .forbidden : .missing
        }
    }

    private static func read(_ path: String) -> String { (try? String(contentsOfFile: path, encoding: .utf8)) ?? "" }

    private static func number(_ path: String) -> Int? {
        Int(read(path).trimmingCharacters(in: .whitespacesAndNewlines))
    }

    /// A bit of the effective capabilities (capabilities(7)).
    private static func capability(_ bit: UInt64) -> Bool {
        let line = read("/proc/self/status").split(separator: "\n").first { $0.hasPrefix("CapEff:") }
        let digits = line?.split(whereSeparator: \.isWhitespace).last ?? "0"
        return (UInt64(digits, radix: 16) ?? 0) >> bit & 1 == 1
    }

    /// The soft limit of a line of proc_pid_limits(5).
    private static func limit(_ name: String) -> Int? {
        let line = read("/proc/self/limits").split(separator: "\n").first { $0.hasPrefix(name) }
        return line?.dropFirst(name.count).split(separator: " ").first.flatMap { Int($0) }
    }
}
