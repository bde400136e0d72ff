// SPDX-License-Identifier: Apache-2.0
// The settings of a configuration that are weaker than their defaults, once: the doctor, the health of a running node and the
// metric that counts them all read this table. A code, once published, keeps its meaning (docs/operations.md, docs/commands.md).
internal import VPNCore

/// One way to be less safe than by default.
struct InsecureSetting: Sendable {
    /// In a node's health.
    let code: String
    /// In the doctor's findings.
    let doctorCode: String
    let text: String
    /// What mends it, in the configuration file.
    let change: String
    let isChosen: @Sendable (NodeConfiguration) -> Bool

    func fix(in file: String) -> String { "set \(change) in \(file)" }

    static let all: [InsecureSetting] = [
        InsecureSetting(
            code: "ONE_SIGNATURE_ALLOWED", doctorCode: "security.signatures",
            text: "a peer set to --allow-partial is believed by its ML-DSA-87 signature alone",
            change: "security.strict_sig_verify: true"
        ) { !$0.security.requiresBothSignatures },
        InsecureSetting(
            code: "STRANGERS_ARE_PINNED", doctorCode: "security.first_use",
            text: "whoever calls first is believed and pinned",
            change: "security.strict_tofu: true, or tofu: false,"
        ) { $0.security.trustsOnFirstUse && !$0.security.isStrictOnFirstUse },
        InsecureSetting(
            code: "HANDSHAKES_UNLIMITED", doctorCode: "security.handshakes",
            text: "one address may ask for any number of handshakes",
            change: "security.handshake_per_minute_per_ip: 10"
        ) { $0.security.handshakesPerMinutePerAddress == 0 },
        InsecureSetting(
            code: "METRICS_EXPOSED", doctorCode: "metrics.exposed",
            text: "whoever reaches this machine can read the metrics",
            change: "metrics.bind_host: 127.0.0.1"
        ) { $0.metrics.isEnabled && !$0.metrics.bindHost.isLoopback },
    ]
}

extension NodeConfiguration {
    /// Those of the table that this configuration has chosen.
    var insecureSettings: [InsecureSetting] { InsecureSetting.all.filter { $0.isChosen(self) } }
}

extension IPAddress {
    /// 127.0.0.0/8 or ::1, also as an IPv4 address inside IPv6: never leaves the machine.
    var isLoopback: Bool {
        switch family {
        case .v4: value >> 24 == 127
        case .v6: value == 1 || value >> 24 == 0xFFFF_7F
        }
    }
}
