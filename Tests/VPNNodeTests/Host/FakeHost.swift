// SPDX-License-Identifier: Apache-2.0
// A host of fakes for `pqvpn up` and its like: tools that write down what they are told, profiles, a record and a
// resolver's file. The loopback interface stands for the tunnel's.
import Foundation
import Testing

@testable import VPNNode

final class FakeHost {
    let scratch: Scratch
    /// Seconds that a command waits for another one.
    var patience = 30.0

    init() throws {
        scratch = try Scratch()
        for directory in ["bin", "state", "profiles"] {
            try FileManager.default.createDirectory(
                atPath: scratch.file(directory), withIntermediateDirectories: false,
                attributes: [.posixPermissions: 0o700])
        }
        for tool in ["ip", "nft", "resolvectl", "resolvconf"] { try fake(tool) }
        try scratch.write("nameserver 192.0.2.1\n", to: "resolv.conf", mode: 0o644)
    }

    /// Root only, as the commands are.
    static func perform(_ body: (FakeHost) throws -> Void) throws {
        guard isRoot else { return print("SKIPPED: \(Test.current?.name ?? ""): this user is not root") }
        try body(FakeHost())
    }

    /// Fails, with words, where the file "fail" has a word of what it is told.
    private func fake(_ tool: String) throws {
        let text = """
            #!/bin/sh
            echo "\(tool) $*" >> \(scratch.file("log"))
            if [ -f \(scratch.file("fail")) ] && echo "\(tool) $*" | grep -q -f \(scratch.file("fail")); then
                echo "the kernel says no" >&2; exit 2
            fi
            [ "$1" != -f ] || cat >/dev/null
            exit 0

            """
        try scratch.write(text, to: "bin/\(tool)", mode: 0o755)
    }

    /// - Parameters:
    ///   - tunnel: keys of that section.
    ///   - more: other sections.
    func profile(_ name: String, _ tunnel: String = "", _ more: String = "") throws {
        try scratch.write("tunnel: { interface: lo, \(tunnel) }\n\(more)\n", to: "profiles/\(name).yaml")
    }

    static let names = "dns: { servers: [10.77.0.2], mode: file }"

    var places: HostPlaces {
        var places = HostPlaces(
            state: scratch.file("state"), resolverFile: scratch.file("resolv.conf"),
            profiles: scratch.file("profiles"))
        places.patience = patience
        // Where a test wants none of it, there is no such file.
        places.arpSetting = scratch.file("arp_ignore")
        return places
    }

    var host: HostSwitch { HostSwitch(places: places, path: scratch.file("bin")) }

    /// As the unit does, around a daemon of its own.
    func up(_ name: String) throws -> UpReport {
        var order = HostSwitch.Order(profile: name)
        order.startsDaemon = false
        return try host.up(order)
    }

    /// What the tools were told since the last time.
    func told() -> [String] {
        let text = (try? scratch.read("log")) ?? ""
        try? FileManager.default.removeItem(atPath: scratch.file("log"))
        // Which addresses loopback has is this machine's matter.
        return text.split(separator: "\n").map(String.init).filter { !$0.hasPrefix("nft add element ") }
    }

    var resolver: String { (try? scratch.read("resolv.conf")) ?? "absent" }

    /// What is on record.
    var states: [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: scratch.file("state"))) ?? []
        return names.filter { $0 != "lock" }.sorted()
    }
}
