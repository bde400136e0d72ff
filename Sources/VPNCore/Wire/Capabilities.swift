// SPDX-License-Identifier: Apache-2.0
// What an end says that it serves beyond what every node does: `caps` of payload1 and payload2 (§6). Bits that this version does not
// know are somebody else's business.

struct Capabilities: OptionSet, Hashable, Sendable {
    let rawValue: UInt32

    /// DIRECTORY frames (§7).
    static let directory = Capabilities(rawValue: 1)
}

extension NodeParameters {
    /// Anonymous initiators and those who answer them say nothing.
    var capabilities: Capabilities { exchangesDirectory ? .directory : [] }
}
