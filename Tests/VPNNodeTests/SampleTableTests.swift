// SPDX-License-Identifier: Apache-2.0
// The sample configuration of the description, key by key: where its effect is proven, or with which words it is refused.
// A key without an entry here fails, and so does an entry that names a test that is gone.
import Foundation
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

@Suite struct SampleTableTests {
    private enum Fate {
        /// A test that fails if the key has no effect: file below Tests/, name of the function.
        case effect(String, String)
        /// The value of the sample is refused with words that hold this.
        case refused(String)
        /// A value that is the only one possible: another is refused with words that hold this.
        case fixed(String, other: String, String)
    }

    private static let fates: [String: Fate] = [
        "peer.nickname": .effect("VPNNodeTests/SampleTableTests.swift", "aNicknameIsInTheDescriptor"),
        "peer.brainpoolP512r1_sk_file": .effect("VPNNodeTests/SampleTableTests.swift", "keyFilesMakeTheIdentity"),
        "peer.ed25519_sk_file": .effect("VPNNodeTests/SampleTableTests.swift", "keyFilesMakeTheIdentity"),
        "security.require_hybrid_handshake": .fixed(
            "require_hybrid_handshake: true", other: "require_hybrid_handshake: false", "there is no handshake without"),
        "security.strict_sig_verify": .effect("VPNCoreTests/Handshake/DegradedTests.swift", "theTable"),
        "security.tofu": .effect("VPNNodeTests/DaemonTests.swift", "firstUseIsPinnedByBoth"),
        "security.strict_tofu": .effect("VPNCoreTests/Handshake/TrustTests.swift", "firstContactTable"),
        "security.known_peers_file": .effect("VPNNodeTests/SampleTableTests.swift", "thePinsAreWhereTheSampleSays"),
        "security.handshake_per_minute_per_ip": .effect(
            "VPNCoreTests/Life/ReconfigurationTests.swift", "theLimitOfHandshakesIsAnother"),
        "network.bind_host": .effect("VPNNodeTests/DaemonTests.swift", "aPortInUseIsNamed"),
        "network.listen_port": .effect("VPNNodeTests/DaemonTests.swift", "aPortInUseIsNamed"),
        "network.max_concurrent_datagrams": .effect("VPNNodeTests/SampleTableTests.swift", "thePlanHasTheNumbers"),
        "network.udp_recv_buffer_size": .effect("VPNNodeTests/SampleTableTests.swift", "thePlanHasTheNumbers"),
        "bootstrap.peers": .effect("VPNNodeTests/SampleTableTests.swift", "thePlanHasTheNumbers"),
        "traffic_obfuscation.enabled": .effect(
            "VPNNodeTests/Namespaces/ObfuscationTests.swift", "theCableShowsBucketsAndThePathsMTU"),
        "traffic_obfuscation.buckets": .effect(
            "VPNNodeTests/Namespaces/ObfuscationTests.swift", "theCableShowsBucketsAndThePathsMTU"),
        "rekey.interval_seconds": .effect("VPNNodeTests/SampleTableTests.swift", "thePlanHasTheNumbers"),
        "rekey.threshold_seconds": .effect("VPNNodeTests/SampleTableTests.swift", "thePlanHasTheNumbers"),
        "relay.enabled": .effect("VPNNodeTests/Circuits/RelayDaemonTests.swift", "aRelayNeedsNoPrivilege"),
        "relay.accept_circuits": .effect("VPNNodeTests/Circuits/CircuitConfigurationTests.swift", "bothMakeARelay"),
        "relay.exit_policy": .refused("exits come with circuits"),
        "metrics.prometheus": .effect(
            "VPNNodeTests/Metrics/DaemonMetricsTests.swift", "nothingListensUnlessItIsAskedFor"),
        "metrics.bind_host": .effect("VPNNodeTests/Metrics/DaemonMetricsTests.swift", "aPortThatIsTakenStopsTheStart"),
        "metrics.bind_port": .effect("VPNNodeTests/Metrics/DaemonMetricsTests.swift", "aPortThatIsTakenStopsTheStart"),
        "logging.file": .effect("VPNNodeTests/DaemonTests.swift", "daemonizeReturnsWhenTheNodeIsUp"),
        "logging.level": .effect("VPNNodeTests/ReloadTests.swift", "aLevelIsTakenAndAPortWaits"),
        "keys.runtime_temp_keys": .effect("VPNNodeTests/DaemonTests.swift", "theRuntimeDirectoryLivesAsLongAsTheRun"),
        "keys.temp_keys_prefix": .effect("VPNNodeTests/SampleTableTests.swift", "thePrefixIsTheDirectorys"),
    ]

    private static let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()

    private func sample() throws -> String {
        try String(
            contentsOf: Self.tests.appendingPathComponent("VPNNodeTests/Fixtures/description-sample.yaml"),
            encoding: .utf8)
    }

    /// What the reader makes of the sample without the values that it refuses.
    private func accepted() throws -> String {
        var text = try sample()
        for (from, to) in [
            ("enabled: true", "enabled: false"), ("accept_circuits: true", "accept_circuits: false"),
            ("allow-all", "deny-all"), ("prometheus: true", "prometheus: false"),
        ] { text = text.replacingOccurrences(of: from, with: to) }
        return text
    }

    @Test func everyKeyHasAnEntryAndEveryEntryAKey() throws {
        let document = ConfigurationDocument(text: try sample())
        let unknown = document.issues.filter { $0.kind == .unknownKey }
        #expect(unknown.isEmpty, "\(unknown)")
        var keys = Set(document.values.keys.filter { !$0.contains("[") })
        keys.formUnion(document.issues.filter { $0.kind == .refused }.map(\.key))
        #expect(keys == Set(Self.fates.keys), "\(keys.symmetricDifference(Self.fates.keys))")
    }

    @Test func theTestsThatAreNamedAreThere() throws {
        for (key, fate) in Self.fates {
            guard case .effect(let file, let name) = fate else { continue }
            let text = try String(contentsOf: Self.tests.appendingPathComponent(file), encoding: .utf8)
            #expect(text.contains("func \(name)("), "\(key): \(file) has no \(name)")
        }
    }

    @Test func whatIsRefusedSaysWhy() throws {
        let issues = ConfigurationDocument(text: try sample()).issues
        for (key, fate) in Self.fates {
            switch fate {
            case .effect: #expect(!issues.contains { $0.key == key && $0.severity == .error }, "\(key)")
            case .refused(let words):
                #expect(
                    issues.contains { $0.key == key && $0.kind == .refused && $0.message.contains(words) }, "\(key)")
            case .fixed(let value, let other, let words):
                let text = try sample()
                #expect(text.contains(value))
                let refused = ConfigurationDocument(text: text.replacingOccurrences(of: value, with: other)).issues
                #expect(refused.contains { $0.key == key && $0.message.contains(words) }, "\(key)")
            }
        }
    }

    // MARK: Effects that no other test shows

    @Test func thePlanHasTheNumbers() throws {
        var text = try accepted()
        for (from, to) in [
            ("datagrams: 200", "datagrams: 33"), ("size: 262144", "size: 65536"),
            ("interval_seconds: 3600", "interval_seconds: 99"),
            ("threshold_seconds: 1800", "threshold_seconds: 44"), ("192.168.50.151:9000", "192.0.2.9:7"),
        ] { text = text.replacingOccurrences(of: from, with: to) }
        let configuration = try LoadedConfiguration(text: text, file: "/etc/x.yaml").configuration
        let identity = try LoadedIdentity(signer: Identities.alice, nickname: "Alice", isTemporary: true)
        let plan = NodePlan(configuration, identity: identity)
        #expect(plan.parameters.maximumJobs == 33 && configuration.network.socketBufferSize == 65536)
        #expect(plan.parameters.rekeyInterval == .seconds(99) && plan.parameters.rekeyThreshold == .seconds(44))
        #expect(plan.peers.map(\.name) == ["bootstrap 192.0.2.9:7"] && plan.peers[0].isBootstrap)
    }

    @Test func aNicknameIsInTheDescriptor() throws {
        let configuration = try LoadedConfiguration(text: accepted(), file: "/etc/x.yaml").configuration
        let identity = try LoadedIdentity.load(
            configuration.identity, nickname: configuration.nickname, unlocker: .never)
        #expect(identity.descriptor.nickname == "Alice")
    }

    @Test func keyFilesMakeTheIdentity() throws {
        let scratch = try Scratch()
        let made = try PersistentIdentity.generate(into: scratch.file("k"), nickname: "x")
        var text = try accepted().replacingOccurrences(of: "runtime_temp_keys: true", with: "runtime_temp_keys: null")
        for kind in KeyFileKind.allCases {
            let line = "  \(kind.rawValue)_sk_file: "
            text = text.replacingOccurrences(of: "\(line)null", with: "\(line)k/\(kind.fileName)")
            if !text.contains(line) {
                text = text.replacingOccurrences(of: "peer:\n", with: "peer:\n\(line)k/\(kind.fileName)\n")
            }
        }
        let configuration = try LoadedConfiguration(text: text, file: scratch.file("c.yaml")).configuration
        let identity = try LoadedIdentity.load(configuration.identity, nickname: "x", unlocker: .never)
        #expect(identity.peerID == made.descriptor.keys.peerID)
    }

    @Test func thePinsAreWhereTheSampleSays() throws {
        let text = try accepted().replacingOccurrences(of: "known_peers.yaml", with: "elsewhere.yaml")
        let configuration = try LoadedConfiguration(text: text, file: "/etc/pqvpn/x.yaml").configuration
        #expect(configuration.security.knownPeersFile == "/etc/pqvpn/elsewhere.yaml")
    }

    @Test func thePrefixIsTheDirectorys() throws {
        let text = try accepted().replacingOccurrences(of: "temp_keys_prefix: pqvpn", with: "temp_keys_prefix: other")
        let configuration = try LoadedConfiguration(text: text, file: "/etc/x.yaml").configuration
        #expect(configuration.identity == .temporary(directoryPrefix: "other"))
    }
}
