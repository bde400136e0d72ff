// SPDX-License-Identifier: Apache-2.0
// relays.yaml and guards.yaml: what is kept comes back, and what is damaged is refused, never taken for empty.
import Foundation
import Synchronization
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

private final class SetClock: Sendable {
    let times = Mutex<RelayWatch.Times>((1000, .origin))
}

struct RelayFilesTests {
    private static let identities: [SoftwareIdentity] = (0..<4).map { _ in try! SoftwareIdentity() }

    private func descriptor(_ number: Int, serial: UInt64 = 1, name: String? = nil) throws -> Descriptor {
        let now = UnixTime.now
        return try Descriptor.make(
            signer: Self.identities[number], nickname: name ?? "r\(number)", operatorName: "operator \(number)",
            addresses: ["20.\(number).0.1:4433"], roles: DescriptorRoles.relay.rawValue, capacity: 40,
            notBefore: now - 60, notAfter: now + 86_400, serial: serial)
    }

    private func id(_ number: Int) -> PeerID { Self.identities[number].publicKeys.peerID }

    @Test func whatIsKeptComesBack() throws {
        let scratch = try Scratch()
        let store = RelayStore(path: scratch.file("relays.yaml"))
        #expect(try store.read() == [])
        #expect(try store.add(descriptor(0)) == .added)
        let first = try descriptor(0, serial: 2)
        #expect(try store.add(first) == .newer)
        #expect(try store.add(first) == .known)
        #expect(throws: NodeFailure.self) { try store.add(descriptor(0, serial: 1)) }
        // Another one of the same serial is nobody's honest work.
        #expect(throws: NodeFailure.self) { try store.add(descriptor(0, serial: 2, name: "other")) }
        let brought = KeptRelay(descriptor: try descriptor(1), source: .relay(id(0)))
        try store.keep([KeptRelay(descriptor: try descriptor(0, serial: 3), source: .imported), brought])
        let kept = try RelayStore(path: store.path).read()
        #expect(Set(kept.map(\.id)) == [id(0), id(1)])
        #expect(kept.first { $0.id == id(0) }?.descriptor.serial == 3)
        #expect(kept.first { $0.id == id(1) } == brought)
        let mode = try FileManager.default.attributesOfItem(atPath: store.path)[.posixPermissions] as? Int
        #expect(mode == 0o600)
    }

    /// What an operator removed does not come back by what a running node still knows.
    @Test func whatWasRemovedStaysRemoved() throws {
        let scratch = try Scratch()
        let store = RelayStore(path: scratch.file("relays.yaml"))
        _ = try store.add(descriptor(0))
        _ = try store.add(descriptor(1))
        #expect(try store.remove("r0").id == id(0))
        try store.keep([KeptRelay(descriptor: try descriptor(0), source: .imported)])
        #expect(try store.read().map(\.id) == [id(1)])
        #expect(try store.remove(String(id(1).hex.prefix(8))).id == id(1))
        #expect(throws: NodeFailure.self) { try store.remove("r1") }
    }

    /// States of a run are written beside it: one that comes late does not go over a newer one.
    @Test func anOlderStateChangesNothing() throws {
        let scratch = try Scratch()
        let store = RelayStore(path: scratch.file("relays.yaml"))
        let brought = try (0..<2).map { KeptRelay(descriptor: try descriptor($0), source: .relay(id(3))) }
        #expect(store.outcome(ofKeeping: brought, number: 2) == nil)
        #expect(store.outcome(ofKeeping: [brought[0]], number: 1) == nil)
        #expect(try Set(store.read().map(\.id)) == [id(0), id(1)])
        #expect(store.outcome(ofKeeping: [brought[0]], number: 3) == nil)
        #expect(try store.read().map(\.id) == [id(0)])
    }

    @Test func twoOfOneNameAreToldApart() throws {
        let scratch = try Scratch()
        let store = RelayStore(path: scratch.file("relays.yaml"))
        _ = try store.add(descriptor(0, name: "same"))
        _ = try store.add(descriptor(1, name: "same"))
        #expect(throws: NodeFailure.self) { try store.remove("same") }
        #expect(try store.remove(id(0).hex).id == id(0))
    }

    @Test func damageIsRefused() throws {
        let scratch = try Scratch()
        let store = RelayStore(path: scratch.file("relays.yaml"))
        _ = try store.add(descriptor(0))
        let text = try scratch.read("relays.yaml")
        for changed in [
            text.replacingOccurrences(of: "source: \"import\"", with: "source: \"\(id(1).hex)\""),
            String(text.dropLast(10)), text.replacingOccurrences(of: "version: 2", with: "version: 3"), "relays: []\n",
            text.replacingOccurrences(of: "descriptor: \"AQ", with: "descriptor: \"Ag"), "",
        ] {
            #expect(changed != text)
            try scratch.write(changed, to: "relays.yaml")
            try scratch.setMode(0o600, of: "relays.yaml")
            #expect(throws: NodeFailure.self) { try store.read() }
            #expect(throws: NodeFailure.self) { try store.add(descriptor(1)) }
            #expect(try scratch.read("relays.yaml") == changed)
        }
        try scratch.write(text, to: "relays.yaml")
        try scratch.setMode(0o644, of: "relays.yaml")
        #expect(throws: NodeFailure.self) { try store.read() }
    }

    /// Descriptors that a wrong clock refused are offered again when it is right, and not before.
    @Test func aClockThatIsSetIsNews() throws {
        let scratch = try Scratch()
        let store = RelayStore(path: scratch.file("relays.yaml"))
        _ = try store.add(descriptor(0))
        let clock = SetClock()
        let watch = RelayWatch(store: store, ownFile: scratch.file("relay.pub")) { clock.times.withLock { $0 } }
        func found(_ unix: UInt64, after seconds: Int) -> Int {
            clock.times.withLock { $0 = (unix, .origin + .seconds(seconds)) }
            return watch.look().count
        }
        #expect(found(1000, after: 0) == 1)
        #expect(found(1005, after: 5) == 0 && found(1069, after: 10) == 0 && found(2000, after: 1000) == 0)
        #expect(found(1_800_000_000, after: 1005) == 1 && found(1_800_000_005, after: 1010) == 0)
        #expect(found(5, after: 1015) == 1 && found(10, after: 1020) == 0)
        // Little by little as well.
        #expect(found(55, after: 1025) == 0 && found(100, after: 1030) == 1)
        _ = try store.add(descriptor(1))
        #expect(found(105, after: 1035) == 1 && found(110, after: 1040) == 0)
    }

    @Test func guardsComeBack() throws {
        let scratch = try Scratch()
        let file = GuardFile(path: scratch.file("guards.yaml"))
        #expect(try file.read() == GuardList())
        var random = SystemRandomNumberGenerator()
        var list = GuardList()
        for number in 0..<3 {
            #expect(list.add(id(number), usable: [], unix: UnixTime.now, using: &random))
        }
        try file.write(list)
        // What is of this run alone does not come back.
        #expect(
            try file.read() == GuardList(list.guards.map { .init(id: $0.id, added: $0.added, expires: $0.expires) }))
        let text = try scratch.read("guards.yaml")
        for changed in [
            String(text.dropLast(5)), text.replacingOccurrences(of: id(0).hex, with: id(3).hex),
            text.replacingOccurrences(of: "added: 1", with: "added: 2"), "guards: []\n",
        ] {
            #expect(changed != text)
            try scratch.write(changed, to: "guards.yaml")
            try scratch.setMode(0o600, of: "guards.yaml")
            #expect(throws: NodeFailure.self) { try file.read() }
        }
    }
}
