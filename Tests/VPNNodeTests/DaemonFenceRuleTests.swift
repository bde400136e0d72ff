// SPDX-License-Identifier: Apache-2.0
// What a daemon may still open by its tasks: whoever sets name servers of the host, or is an exit, writes where others
// do not.
import Foundation
import Testing
import VPNEngine

@testable import VPNNode

@Suite struct DaemonFenceRuleTests {
    private func rules(_ text: String, host: HostPlaces? = nil) throws -> [DaemonFiles.Rule] {
        let configuration = try LoadedConfiguration(text: text, file: "/srv/x/x.yaml").configuration
        return DaemonFiles(configuration, host: host, environment: [:]).rules
    }

    private func written(_ rules: [DaemonFiles.Rule]) -> Set<String> {
        Set(rules.filter { $0.access.contains(.write) }.map(\.path))
    }

    private static let tunnel = "tunnel: { addresses: [10.77.0.1/24] }\n"

    @Test func whoSetsNamesWritesWhereTheyAre() throws {
        let places = HostPlaces(state: "/srv/state", resolverFile: "/srv/names/resolv.conf")
        let alone = try written(rules(Self.tunnel))
        let names: Set<String> = ["/etc", "/run", "/srv/state", "/srv/names"]
        #expect(alone.isDisjoint(with: names))
        #expect(try written(rules(Self.tunnel, host: places)).subtracting(alone) == names)
    }

    @Test func anExitWritesForItsTools() throws {
        let place = NSTemporaryDirectory()
        #expect(try !written(rules(Self.tunnel)).contains(place))
        #expect(try written(rules(Self.tunnel + "relay: { exit_policy: allow-all }\n")).contains(place))
    }

    @Test func settingsOfTheKernelAreForWhoHasAnInterface() throws {
        let setting = "/proc/sys/net"
        #expect(try written(rules(Self.tunnel)).contains(setting))
        #expect(try !written(rules("tunnel: { enabled: false }\n")).contains(setting))
    }

    @Test func presharedKeysAreReadAndNotWritten() throws {
        let peer = "peers: [{ name: b, endpoint: \"192.0.2.1:9000\", psk_file: /srv/psk/b }]\n"
        let found = try rules(Self.tunnel + "security: { tofu: true }\n" + peer)
        let ofKeys = found.filter { $0.path == "/srv/psk" }
        #expect(ofKeys.map(\.access) == [.read])
        #expect(!written(found).contains("/srv/psk"))
    }

    /// A socket and what a run leaves are removed at its end, and no more is done there.
    @Test func whatIsRemovedIsNotWritten() throws {
        let text = Self.tunnel + "control: { socket: /srv/socket/x.sock }\n"
        let found = try rules(text).filter { $0.path == "/srv/socket" }
        #expect(found.count == 1)
        #expect(found.first?.access == [.read, .remove])
    }
}
