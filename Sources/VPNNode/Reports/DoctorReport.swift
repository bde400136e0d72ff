// SPDX-License-Identifier: Apache-2.0
// `pqvpn doctor`. docs/schemas/doctor.json has its form.

public struct DoctorReport: Report {
    public static let schema = "pqvpn.doctor/1"

    /// No finding is a failure; there may be warnings.
    public let ok: Bool
    public let failures: Int
    public let warnings: Int
    public let findings: [Finding]

    init(_ findings: [Finding]) {
        self.findings = findings
        failures = findings.count { $0.verdict == .fail }
        warnings = findings.count { $0.verdict == .warn }
        ok = failures == 0
    }

    /// Looks at this machine and, where there is one, at a configuration.
    public static func examine(file: String?, passphraseFile: String?) -> DoctorReport {
        DoctorReport(Doctor.examine(file: file, passphraseFile: passphraseFile))
    }

    public var text: String {
        let width = findings.map(\.code.count).max() ?? 0
        var lines: [String] = []
        for finding in findings {
            let word =
                switch finding.verdict {
                case .ok: "ok  "
                case .warn: "warn"
                case .fail: "FAIL"
                }
            let padding = String(repeating: " ", count: width - finding.code.count)
            lines.append("\(word)  \(finding.code)\(padding)  \(finding.message)")
            if let fix = finding.fix { lines.append("      \(String(repeating: " ", count: width))  -> \(fix)") }
        }
        lines.append("\(failures) failures, \(warnings) warnings")
        return lines.joined(separator: "\n")
    }
}
