// SPDX-License-Identifier: Apache-2.0
// What is no news to a directory of relays, and what is where it is full.
import Testing
import VPNCrypto

@testable import VPNCore

@Suite struct RelayDirectoryLimitTests {
    private static let (one, two) = (RelaySource.relay(DirectoryScene.id(1)), RelaySource.relay(DirectoryScene.id(2)))
    private static let relay = DirectoryScene.id(10)

    private func refusal(
        _ directory: inout RelayDirectory, _ descriptor: Descriptor, from source: RelaySource = .imported,
        now: Instant = .origin
    ) -> DirectoryRefusal? {
        do throws(DirectoryRefusal) {
            _ = try directory.offer(
                descriptor, from: source, isBarred: false, unix: DirectoryScene.unix, now: now)
            return nil
        } catch { return error }
    }

    private func directory() -> RelayDirectory { RelayDirectory(own: DirectoryScene.id(0), addresses: .publicOnly) }

    /// What one relay brought is not another's merit, nor counted against it.
    @Test func theSameBytesAreNoNewsFromAnotherRelay() throws {
        var relays = directory()
        let descriptor = try DirectoryScene.descriptor(10)
        #expect(refusal(&relays, descriptor, from: Self.one) == nil)
        #expect(refusal(&relays, descriptor, from: Self.two) == .known)
        #expect(refusal(&relays, descriptor, from: Self.one) == .known)
        #expect(relays[Self.relay]?.source == Self.one && relays.remembered == 1)
    }

    /// Two descriptors of one serial: the first counts, whoever has the other one. The operator's word is for what is
    /// here.
    @Test func otherBytesOfTheSameSerialAreNotTaken() throws {
        var relays = directory()
        let (first, other) = (try DirectoryScene.descriptor(10), try DirectoryScene.descriptor(10, capacity: 99))
        #expect(refusal(&relays, first, from: Self.one) == nil)
        #expect(refusal(&relays, other) == .known)
        #expect(relays[Self.relay]?.descriptor == first && relays[Self.relay]?.source == Self.one)
        #expect(refusal(&relays, first) == nil)
        #expect(relays[Self.relay]?.descriptor == first && relays[Self.relay]?.source == .imported)
    }

    /// Where there is no room for another relay, nor for another one of its bringer, a newer descriptor takes its own
    /// one's place.
    @Test func whoIsHereMayBecomeNewerThoughAllIsFull() throws {
        var relays = directory()
        var refused = 0
        for place in 0..<Limits.directoryEntries {
            let isBrought = place < Limits.entriesPerSource
            let now = Instant.origin + Limits.directoryPeriod * (place / Limits.descriptorsPerSource)
            let descriptor = try DirectoryScene.descriptor(10 + place)
            if refusal(&relays, descriptor, from: isBrought ? Self.one : .imported, now: now) != nil { refused += 1 }
        }
        try #require(refused == 0 && relays.count == Limits.directoryEntries)
        let later = Instant.origin + Limits.directoryPeriod * 100
        let stranger = try DirectoryScene.descriptor(9000)
        #expect(refusal(&relays, stranger, from: Self.one, now: later) == .sourceQuota)
        #expect(refusal(&relays, stranger, from: Self.two, now: later) == .full)
        let newer = try DirectoryScene.descriptor(10, serial: 2)
        #expect(refusal(&relays, newer, from: Self.one, now: later) == nil)
        #expect(relays[Self.relay]?.descriptor == newer && relays.count == Limits.directoryEntries)
    }
}
