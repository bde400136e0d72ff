// SPDX-License-Identifier: Apache-2.0
// relays.yaml under a running node: a file that is lost is not begun anew without what the operator imported, and a
// lock that somebody holds does not keep a node from ending.
import Foundation
import Glibc
import Synchronization
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

/// What another thread came to.
private final class Outcome: Sendable {
    let failure = Mutex<NodeFailure?>(nil)
}

@Suite struct LostRelaysTests {
    private static let identities: [SoftwareIdentity] = (0..<2).map { _ in try! SoftwareIdentity() }

    private func descriptor(_ number: Int) throws -> Descriptor {
        let now = UnixTime.now
        return try Descriptor.make(
            signer: Self.identities[number], nickname: "r\(number)", addresses: ["20.\(number).0.1:4433"],
            roles: DescriptorRoles.relay.rawValue, notBefore: now - 60, notAfter: now + 86_400, serial: 1)
    }

    private func id(_ number: Int) -> PeerID { Self.identities[number].publicKeys.peerID }

    /// What the node writes in its place would be news to it: it would forget the relays that the operator vouched for,
    /// and keep those that others brought.
    @Test func aLostFileIsNotBegunAnewWithoutWhatWasImported() throws {
        let scratch = try Scratch()
        let store = RelayStore(path: scratch.file("relays.yaml"))
        let brought = KeptRelay(descriptor: try descriptor(1), source: .relay(id(0)))
        #expect(store.outcome(ofKeeping: [brought], number: 1) == nil, "the first file of a node")
        #expect(try store.read().map(\.id) == [id(1)])
        let imported = try descriptor(0)
        #expect(try store.add(imported) == .added)
        let current = [KeptRelay(descriptor: imported, source: .imported), brought]
        #expect(store.outcome(ofKeeping: current, number: 2) == nil)
        #expect(try Set(store.read().map(\.id)) == [id(0), id(1)])
        try FileManager.default.removeItem(atPath: store.path)
        let failed = store.outcome(ofKeeping: current, number: 3)
        #expect(failed?.message.contains("is gone") == true, "\(failed?.message ?? "written")")
        let left = try store.read().map(\.id)
        #expect(left.isEmpty || Set(left) == [id(0), id(1)], "what was imported is not left out: \(left.map(\.short))")
    }

    /// docs/key-files.md: a running node waits for 100 ms. At its end this is the node's own thread.
    @Test func aNodeDoesNotWaitForALockWithoutEnd() throws {
        let scratch = try Scratch()
        let store = RelayStore(path: scratch.file("relays.yaml"))
        let relays = [KeptRelay(descriptor: try descriptor(1), source: .relay(id(0)))]
        let (outcome, done) = (Outcome(), DispatchSemaphore(value: 0))
        var isDone = false
        do {
            let lock = try OpenFile(store.path + ".lock", O_RDWR | O_CREAT, mode: 0o600)
            try lock.lock()
            Thread {
                let failure = store.outcome(ofKeeping: relays, number: 1)
                outcome.failure.withLock { $0 = failure }
                done.signal()
            }.start()
            // Fifty times as long as it may take; then the lock is let go, so that this test ends either way.
            isDone = done.wait(timeout: .now() + 5) == .success
            let path = lock.path
            #expect(path == store.path + ".lock", "held until here")
        }
        if !isDone { done.wait() }
        let failed = outcome.failure.withLock { $0 }
        #expect(failed?.message.contains("is held by another process") == true, "\(failed?.message ?? "it waited")")
        #expect(store.outcome(ofKeeping: relays, number: 2) == nil)
        #expect(try store.read().map(\.id) == [id(1)])
    }
}
