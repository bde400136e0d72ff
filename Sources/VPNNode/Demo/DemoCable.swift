// SPDX-License-Identifier: Apache-2.0
// A cable between two neighbours of a row of demonstration hosts, with a network of its own. Nobody in the row has a route beyond it.
internal import VPNCore

struct DemoCable {
    /// 0, 1, …: the one between hosts `number` and `number + 1` of the row.
    let number: Int
    /// Towards the beginning of the row, and towards its end.
    let near: DemoHost
    let far: DemoHost

    /// The cable's ends, inside.
    static let nearEnd = "right0"
    static let farEnd = "left0"
    private static let network = 99

    var nearIPv4: String { "10.\(Self.network).\(number).1" }
    var farIPv4: String { "10.\(Self.network).\(number).2" }
    var nearIPv6: String { "fd\(Self.network):\(number)::1" }
    var farIPv6: String { "fd\(Self.network):\(number)::2" }
    var networks: [String] { ["10.\(Self.network).\(number).0/24", "fd\(Self.network):\(number)::/64"] }

    func lay() throws {
        try near.ip(
            "link", "add", Self.nearEnd, "netns", near.namespace, "type", "veth", "peer", "name", Self.farEnd, "netns",
            far.namespace)
        for (host, end, v4, v6) in [
            (near, Self.nearEnd, nearIPv4, nearIPv6), (far, Self.farEnd, farIPv4, farIPv6),
        ] {
            try host.ip("-n", host.namespace, "link", "set", "lo", "up")
            try host.ip("-n", host.namespace, "address", "add", v4 + "/24", "dev", end)
            try host.ip("-n", host.namespace, "address", "add", v6 + "/64", "dev", end, "nodad")
            try host.ip("-n", host.namespace, "link", "set", end, "up")
        }
    }
}
