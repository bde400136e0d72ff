// SPDX-License-Identifier: Apache-2.0
// What enters the directory of relays, what does not, and that it stays bounded whoever fills it.
import Testing
import VPNCrypto

@testable import VPNCore

struct RelayDirectoryTests {
    private let unix = DirectoryScene.unix
    private let own = DirectoryScene.id(0)

    private func directory() -> RelayDirectory { RelayDirectory(own: own, addresses: .publicOnly) }

    private func refusal(
        _ directory: inout RelayDirectory, _ descriptor: Descriptor, from source: RelaySource = .imported,
        isBarred: Bool = false, now: Instant = .origin
    ) -> DirectoryRefusal? {
        do throws(DirectoryRefusal) {
            _ = try directory.offer(descriptor, from: source, isBarred: isBarred, unix: unix, now: now)
            return nil
        } catch { return error }
    }

    @Test func newestSerialWins() throws {
        var directory = directory()
        #expect(refusal(&directory, try DirectoryScene.descriptor(1, serial: 5)) == nil)
        #expect(refusal(&directory, try DirectoryScene.descriptor(1, serial: 4)) == .older)
        #expect(refusal(&directory, try DirectoryScene.descriptor(1, serial: 5)) == .known)
        #expect(refusal(&directory, try DirectoryScene.descriptor(1, capacity: 99, serial: 5)) == .known)
        #expect(refusal(&directory, try DirectoryScene.descriptor(1, capacity: 99, serial: 6)) == nil)
        #expect(directory[DirectoryScene.id(1)]?.descriptor.capacity == 99)
        #expect(directory.count == 1)
    }

    @Test func theUnfitAreRefused() throws {
        var directory = directory()
        #expect(refusal(&directory, try DirectoryScene.descriptor(0)) == .ownIdentity)
        #expect(refusal(&directory, try DirectoryScene.descriptor(1), isBarred: true) == .barred)
        #expect(refusal(&directory, try DirectoryScene.descriptor(1, roles: [])) == .notRelay)
        #expect(refusal(&directory, try DirectoryScene.descriptor(1, roles: [.exit])) == .notRelay)
        #expect(refusal(&directory, try DirectoryScene.descriptor(1, until: unix)) == .expired)
        #expect(
            refusal(&directory, try DirectoryScene.descriptor(1, from: unix + 86_401, until: unix + 90_000))
                == .lifetime)
        #expect(
            refusal(&directory, try DirectoryScene.descriptor(1, from: unix, until: unix + 91 * 86_400)) == .lifetime)
        #expect(refusal(&directory, try DirectoryScene.descriptor(1, from: 0, until: .max)) == .lifetime)
        #expect(refusal(&directory, try DirectoryScene.descriptor(1, addresses: [])) == .noAddress)
        #expect(
            refusal(&directory, try DirectoryScene.descriptor(1, addresses: ["10.0.0.1:1", "127.0.0.1:1"]))
                == .noAddress)
        #expect(directory.count == 0)
        #expect(directory.remembered == 0)
    }

    @Test func whatTheOperatorVouchedForStaysVouchedFor() throws {
        var directory = directory()
        let source = RelaySource.relay(DirectoryScene.id(9))
        #expect(refusal(&directory, try DirectoryScene.descriptor(1), from: source) == nil)
        #expect(directory[DirectoryScene.id(1)]?.source == source)
        // The same bytes by the operator's hand are worth more.
        #expect(refusal(&directory, try DirectoryScene.descriptor(1)) == nil)
        #expect(directory[DirectoryScene.id(1)]?.source == .imported)
        #expect(refusal(&directory, try DirectoryScene.descriptor(1, serial: 2), from: source) == nil)
        #expect(directory[DirectoryScene.id(1)]?.source == .imported)
        #expect(refusal(&directory, try DirectoryScene.descriptor(1, serial: 2)) == .known)
    }

    @Test func oneSourceBringsSixtyFourAnHour() throws {
        var directory = directory()
        let source = RelaySource.relay(DirectoryScene.id(9))
        for number in 10..<74 {
            #expect(refusal(&directory, try DirectoryScene.descriptor(number), from: source) == nil)
        }
        #expect(!directory.mayBring(DirectoryScene.id(9), now: .origin))
        #expect(refusal(&directory, try DirectoryScene.descriptor(74), from: source) == .sourceQuota)
        // Newer ones of those it brought count as well, another source does not.
        #expect(refusal(&directory, try DirectoryScene.descriptor(10, serial: 2), from: source) == .sourceQuota)
        #expect(refusal(&directory, try DirectoryScene.descriptor(74), from: .relay(DirectoryScene.id(8))) == nil)
        let later = Instant.origin + .seconds(3600)
        #expect(directory.mayBring(DirectoryScene.id(9), now: later))
        #expect(refusal(&directory, try DirectoryScene.descriptor(75), from: source, now: later) == nil)
    }

    /// 4096 in all, 1024 of them by one source, and the operator always has room.
    @Test func itStaysBounded() throws {
        var directory = directory()
        var refusals: [DirectoryRefusal: Int] = [:]
        var number = 10
        for source in 0..<5 {
            for hour in 0..<17 {
                for _ in 0..<64 {
                    let descriptor = try DirectoryScene.descriptor(number, until: unix + UInt64(number))
                    let now = Instant.origin + .seconds(3600 * hour)
                    if let refusal = refusal(
                        &directory, descriptor, from: .relay(DirectoryScene.id(source + 1)), now: now)
                    {
                        refusals[refusal, default: 0] += 1
                    }
                    number += 1
                }
            }
        }
        #expect(directory.count == Limits.directoryEntries)
        #expect(refusals == [.sourceQuota: 4 * 64, .full: 1088])
        let first = DirectoryScene.id(10)
        #expect(directory[first] != nil)
        #expect(refusal(&directory, try DirectoryScene.descriptor(6000)) == nil)
        // What would have expired first gave way.
        #expect(directory[first] == nil)
        #expect(directory.count == Limits.directoryEntries)
        #expect(directory.remembered == 5)
        _ = directory.expire(unix: unix, now: Instant.origin + .seconds(3600 * 40))
        #expect(directory.remembered == 0)
    }

    @Test func whatHasExpiredIsDropped() throws {
        var directory = directory()
        #expect(refusal(&directory, try DirectoryScene.descriptor(1, until: unix + 10)) == nil)
        #expect(refusal(&directory, try DirectoryScene.descriptor(2, until: unix + 11)) == nil)
        #expect(directory.expire(unix: unix + 9, now: .origin) == [])
        #expect(directory.expire(unix: unix + 10, now: .origin) == [DirectoryScene.id(1)])
        #expect(directory.count == 1)
    }

    @Test func namesComeInPages() throws {
        var directory = directory()
        for number in 1...100 { #expect(refusal(&directory, try DirectoryScene.descriptor(number)) == nil) }
        let ownDescriptor = try DirectoryScene.descriptor(0, serial: 77)
        let first = directory.names(after: nil, own: ownDescriptor)
        let second = directory.names(after: first.names.last?.prefix, own: ownDescriptor)
        #expect(first.names.count == 64 && first.more)
        #expect(second.names.count == 37 && !second.more)
        #expect(Set((first.names + second.names).map(\.prefix)).count == 101)
        #expect((first.names + second.names).contains { $0.serial == 77 })
        #expect(
            first.names.allSatisfy { name in name.prefix == own.prefix64 || directory.descriptor(name, own: nil) != nil
            })
        #expect(!directory.wants(DirectoryName(prefix: own.prefix64, serial: .max)))
        let known = DirectoryScene.id(1).prefix64
        #expect(!directory.wants(DirectoryName(prefix: known, serial: 1)))
        #expect(directory.wants(DirectoryName(prefix: known, serial: 2)))
        #expect(directory.wants(DirectoryName(prefix: 1, serial: 0)))
    }
}
