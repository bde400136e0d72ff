// SPDX-License-Identifier: Apache-2.0
// `up` where something was there before it: what a crash has left, a node without a tunnel; and what it says of a
// lockdown with exceptions. Root only, as the commands are.
import Foundation
import Testing

@testable import VPNNode

@Suite struct HostSwitchFaultTests {
    /// The record of a daemon that failed is taken back by the next `up`, which wants the same of the host again.
    @Test func whatACrashHasLeftIsAskedForAgain() throws {
        try FakeHost.perform { host in
            try host.profile("x")
            try host.scratch.write("0\n", to: "arp_ignore")
            let first = try host.up("x")
            #expect(first.changes.contains("answers to ARP"))
            #expect(try host.scratch.read("arp_ignore") == "1\n")
            let second = try host.up("x")
            #expect(second.changes == first.changes, "\(second.changes)")
            #expect(try host.scratch.read("arp_ignore") == "1\n", "neighbours are told of inner addresses")
            _ = try host.host.down("x")
            #expect(try host.scratch.read("arp_ignore") == "0\n")
        }
    }

    /// A relay's configuration names an interface by default, and makes none.
    @Test func aNodeWithoutATunnelIsInNobodysWay() throws {
        try FakeHost.perform { host in
            try host.profile("relay", "enabled: false")
            try host.profile("x")
            try host.profile("y")
            _ = try host.up("relay")
            let refused = failure { _ = try host.up("x") }
            #expect(refused == nil, "\(refused?.message ?? "")")
            // One that has a tunnel is.
            let shared = failure { _ = try host.up("y") }
            #expect(shared?.message.contains("'x' has the interface lo") == true, "\(shared?.message ?? "up")")
        }
    }

    @Test func upSaysWhatALockdownLetsOut() throws {
        try FakeHost.perform { host in
            try host.profile("x", "lockdown: true")
            let closed = try host.up("x").text
            #expect(closed.contains("nothing leaves this host but through the tunnel"))
            _ = try host.host.down("x")
            try host.profile("x", "lockdown: true, exclude_routes: [203.0.113.0/24]")
            let open = try host.up("x").text
            #expect(open.contains("203.0.113.0/24"), "\(open)")
            _ = try host.host.down("x")
        }
    }
}
