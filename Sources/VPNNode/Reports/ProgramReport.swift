// SPDX-License-Identifier: Apache-2.0
// `pqvpn version` and `pqvpn selftest`: what this program is, and whether its primitives work here.
internal import VPNCrypto

/// `pqvpn version`.
public struct VersionReport: Report {
    public static let schema = "pqvpn.version/1"
    public static let current = "0.1.0"

    public let version = VersionReport.current
    /// The version of the wire format.
    public let `protocol` = 1

    private enum CodingKeys: String, CodingKey { case version, `protocol` }

    public init() {}

    public var text: String { "pqvpn \(version) (protocol \(`protocol`))" }
}

/// `pqvpn selftest`.
public struct SelfTestReport: Report {
    public static let schema = "pqvpn.selftest/1"

    public struct Primitive: Encodable, Sendable {
        public let name: String
        public let passed: Bool
        /// Nanoseconds by operation.
        public let nanoseconds: [String: Double]
    }

    public let ok: Bool
    public let memoryLocked: Bool
    public let primitives: [Primitive]

    private enum CodingKeys: String, CodingKey {
        case ok
        case memoryLocked = "memory_locked"
        case primitives
    }

    /// Runs the known answer of every primitive and measures its operations.
    public static func run() -> SelfTestReport {
        let primitives = SelfTest.run(measure: true).map { result in
            Primitive(name: result.name, passed: result.passed, nanoseconds: result.nanosecondsPerOperation)
        }
        return SelfTestReport(
            ok: primitives.allSatisfy(\.passed), memoryLocked: Secret.isMemoryLocked, primitives: primitives)
    }

    public var text: String {
        let width = primitives.map(\.name.count).max() ?? 0
        var lines = primitives.map { primitive in
            let padding = String(repeating: " ", count: width - primitive.name.count)
            let times = primitive.nanoseconds.sorted { $0.key < $1.key }.map { "\($0.key) \(Self.duration($0.value))" }
            return
                "\(primitive.passed ? "ok  " : "FAIL")  \(primitive.name)\(padding)  \(times.joined(separator: ", "))"
        }
        if !memoryLocked { lines.append("warn  secret memory could not be locked: raise RLIMIT_MEMLOCK") }
        return lines.joined(separator: "\n")
    }

    /// Three digits that mean something.
    private static func duration(_ nanoseconds: Double) -> String {
        func rounded(_ value: Double) -> String {
            value < 100 ? String((value * 10).rounded() / 10) : String(Int(value.rounded()))
        }
        if nanoseconds < 1000 { return "\(rounded(nanoseconds)) ns" }
        if nanoseconds < 1_000_000 { return "\(rounded(nanoseconds / 1000)) µs" }
        return "\(rounded(nanoseconds / 1_000_000)) ms"
    }
}
