// SPDX-License-Identifier: Apache-2.0
// The doctor's look at what an exit needs of its host, and at what keeps neighbours from inner addresses.
internal import VPNCore

extension Doctor {
    /// CVE-2019-14899.
    mutating func checkNeighbours(
        _ tunnel: NodeConfiguration.Tunnel, hasFilter: Bool = HostTools(scratch: "/").find("nft") != nil
    ) {
        guard tunnel.isEnabled else { return }
        add(
            hasFilter
                ? .ok(
                    "host.neighbours",
                    "`pqvpn up` keeps neighbours from the inner addresses; `pqvpn run` alone does not")
                : .warn(
                    "host.neighbours", "no nft: neighbours may send packets to the inner addresses beside the tunnel",
                    fix: "apt-get install nftables"))
    }

    /// - Parameters:
    ///   - hasFilter: whether there is an nft.
    ///   - closed: what keeps answers from guests (`ExitHost.closedWays`).
    mutating func checkExit(
        _ configuration: NodeConfiguration, hasFilter: Bool = HostTools(scratch: "/").find("nft") != nil,
        closed: [String] = ExitHost.closedWays()
    ) {
        guard configuration.exit.isOpen else { return }
        add(
            hasFilter
                ? .ok("exit.nft", "nft is there")
                : .fail("exit.nft", "an exit needs nft, and there is none", fix: "apt-get install nftables"))
        if closed.isEmpty { add(.ok("exit.forwarding", "this host forwards")) }
        for complaint in closed {
            let name = complaint.prefix { $0 != " " }
            add(
                .fail(
                    "exit.forwarding", "\(name) is 0: answers do not come back to guests of this exit",
                    fix: "sysctl -w \(name)=1"))
        }
    }
}
