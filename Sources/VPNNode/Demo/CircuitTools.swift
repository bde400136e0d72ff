// SPDX-License-Identifier: Apache-2.0
// What the circuit's demonstration needs beside the tools of all demonstrations.
internal import Foundation

struct CircuitTools {
    let common: DemoTools
    let curl: String
    let python: String
    let sysctl: String

    init(_ common: DemoTools) throws {
        self.common = common
        let needed = [("curl", "curl"), ("python3", "python3"), ("nft", "nftables"), ("sysctl", "procps")]
        let missing = needed.filter { DemoTools.path(of: $0.0) == nil }
        guard missing.isEmpty, let curl = DemoTools.path(of: "curl"), let python = DemoTools.path(of: "python3"),
            let sysctl = DemoTools.path(of: "sysctl")
        else {
            throw NodeFailure(
                .failure,
                "missing: \(missing.map(\.0).joined(separator: ", ")). On Debian: sudo apt-get install "
                    + "--no-install-recommends \(missing.map(\.1).joined(separator: " "))")
        }
        (self.curl, self.python, self.sysctl) = (curl, python, sysctl)
    }
}
