// SPDX-License-Identifier: Apache-2.0
// Files of relays and guards under a running node, and each way in which one with a good checksum is none: told once by
// name, and what was read before stays.
import Foundation
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

@Suite struct RelayWatchTests {
    private static let identity = try! SoftwareIdentity()
    private static let id = identity.publicKeys.peerID

    private func descriptor() throws -> Descriptor {
        let now = UnixTime.now
        return try Descriptor.make(
            signer: Self.identity, nickname: "r", addresses: ["20.0.0.1:4433"],
            roles: DescriptorRoles.relay.rawValue, notBefore: now - 60, notAfter: now + 86_400, serial: 1)
    }

    private func words(_ findings: [RelayWatch.Finding]) -> [String] {
        findings.map { finding in
            switch finding {
            case .relays(let relays): "relays \(relays.count)"
            case .own(let descriptor): "own \(descriptor.nickname)"
            case .refused(let words): words
            }
        }
    }

    @Test func whatThisNodePublishedIsReadWhenItChanges() throws {
        let scratch = try Scratch()
        let path = scratch.file("relay.pub")
        let watch = RelayWatch(store: RelayStore(path: scratch.file("relays.yaml")), ownFile: path)
        #expect(words(watch.look()) == [], "files that are not there are no news")
        let text = DescriptorFile.text(of: try descriptor())
        try scratch.write(text, to: "relay.pub")
        #expect(words(watch.look()) == ["own r"])
        #expect(words(watch.look()) == [])
        for bad in ["garbage", String(text.prefix(text.count / 2)), ""] {
            try scratch.write(bad, to: "relay.pub")
            let found = words(watch.look())
            #expect(found.count == 1 && found.first?.contains(path) == true, "\(found)")
            #expect(words(watch.look()) == [], "told once")
        }
        try FileManager.default.removeItem(atPath: path)
        #expect(words(watch.look()) == [], "a file that is gone changes nothing")
        try scratch.write(text, to: "relay.pub")
        #expect(words(watch.look()) == ["own r"])
    }

    @Test func aFileThatOthersReachIsNotRead() throws {
        let scratch = try Scratch()
        let store = RelayStore(path: scratch.file("relays.yaml"))
        let watch = RelayWatch(store: store, ownFile: scratch.file("relay.pub"))
        _ = try store.add(descriptor())
        #expect(words(watch.look()) == ["relays 1"])
        try scratch.setMode(0o640, of: "relays.yaml")
        let found = words(watch.look())
        #expect(found.count == 1 && found.first?.contains("has mode 640") == true, "\(found)")
        #expect(words(watch.look()) == [])
        try scratch.setMode(0o600, of: "relays.yaml")
        #expect(words(watch.look()) == ["relays 1"])
        try FileManager.default.moveItem(atPath: store.path, toPath: scratch.file("real"))
        #expect(words(watch.look()) == [])
        try scratch.link("relays.yaml", to: scratch.file("real"))
        #expect(words(watch.look()).first?.contains("symbolic link") == true)
    }

    /// A text without its checksum and its end.
    private func body(_ text: String) -> String {
        text.split(separator: "\n").dropLast(2).joined(separator: "\n")
    }

    @Test func eachEntryOfRelaysThatIsNoneIsNamed() throws {
        let good = body(RelaysDocument.text(of: [KeptRelay(descriptor: try descriptor(), source: .imported)]))
        func read(_ text: String) throws -> [KeptRelay] {
            try RelaysDocument.decode(ChecksummedText.finish([text]), path: "r")
        }
        #expect(try read(good).map(\.source) == [.imported])
        let brought = good.replacing("\"import\"", with: "\"\(Self.id.hex)\"")
        #expect(try read(brought).map(\.source) == [.relay(Self.id)])
        let entry = try #require(good.range(of: "  - source")).lowerBound
        let cases: [(old: String, new: String, words: String)] = [
            ("version: 2", "version: 1", "version is not 2"), ("relays:\n", "relay:\n", "unknown key 'relay'"),
            ("\"import\"", "\"importe\"", "a source is neither 'import' nor a peer_id"),
            ("source: \"import\"\n    ", "", "an entry has no source"),
            ("source: \"import\"", "source: [import]", "an entry has no source"),
            ("descriptor: \"", "descriptor: \"!", "a descriptor is not base64"),
            ("source: \"import\"", "source: \"import\"\n    why: x", "unknown key 'why'"),
            ("relays:\n", "why: x\nrelays:\n", "unknown key 'why'"),
            ("relays:\n", "relays:\n  - x\n", "an entry is not a map"),
            ("relays:\n", "relays:\n  - { source: import, descriptor: AAAA }\n", "is damaged"),
            ("relays:\n", "relays:\n  - { source: import }\n", "a descriptor is not base64"),
            ("relays:\n", "relays:\n\(good[entry...])\n", "stands more than once"),
        ]
        for (old, new, words) in cases {
            let changed = good.replacing(old, with: new, maxReplacements: 1)
            #expect(changed != good, "\(old)")
            let refused = failure(of: { _ = try read(changed) })
            #expect(refused?.message.contains(words) == true, "\(words): \(refused?.message.prefix(200) ?? "read")")
        }
        let list = try read("version: 2\nrelays: []")
        #expect(list == [])
        #expect(failure(of: { _ = try read("version: 2\nrelays: 5") })?.message.contains("no list 'relays'") == true)
        #expect(failure(of: { _ = try read("[") })?.message.contains("not valid YAML") == true)
    }

    /// Taken for an empty list, each of these would choose other guards.
    @Test func noListOfGuardsIsTakenForAnEmptyOne() throws {
        let scratch = try Scratch()
        let file = GuardFile(path: scratch.file("guards.yaml"))
        let list = GuardList([GuardList.Guard(id: Self.id, added: 100, expires: 200)])
        let good = body(GuardFile.text(of: list))
        try scratch.write(ChecksummedText.finish([good]), to: "guards.yaml")
        #expect(try file.read() == list)
        for (old, new, words) in [
            ("version: 2", "version: 1", "version is not 2"), ("guards:\n", "guard:\n", "there is no list 'guards'"),
            ("    added: 100\n", "", "an entry has no peer_id"), ("added: 100", "added: -1", "an entry has no peer_id"),
            ("expires: 200", "expires: soon", "an entry has no peer_id"),
            (Self.id.hex, "abc", "an entry has no peer_id"),
            ("guards:\n", "guards:\n  - x\n", "an entry has no peer_id"),
            ("version: 2", "version: [", "not valid YAML"),
        ] {
            let changed = good.replacing(old, with: new, maxReplacements: 1)
            #expect(changed != good, "\(old)")
            try scratch.write(ChecksummedText.finish([changed]), to: "guards.yaml")
            let refused = failure(of: { _ = try file.read() })
            #expect(refused?.message.contains(words) == true, "\(new): \(refused?.message ?? "read")")
            #expect(refused?.message.contains("makes this node choose other relays") == true)
        }
        try Data([0x76, 0xFF, 0x0A]).write(to: URL(fileURLWithPath: file.path))
        try scratch.setMode(0o600, of: "guards.yaml")
        #expect(failure(of: { _ = try file.read() })?.message.contains("not UTF-8 text") == true)
        try scratch.write(String(repeating: "#\n", count: 40_000), to: "guards.yaml")
        #expect(failure(of: { _ = try file.read() })?.message.contains("more than any such file has") == true)
        try scratch.write(ChecksummedText.finish([good]), to: "guards.yaml", mode: 0o644)
        #expect(failure(of: { _ = try file.read() })?.status == .permission)
        try scratch.setMode(0o600, of: "guards.yaml")
        try scratch.link("linked.yaml", to: file.path)
        #expect(failure(of: { _ = try GuardFile(path: scratch.file("linked.yaml")).read() })?.status == .permission)
        #expect(try file.read() == list)
    }
}
