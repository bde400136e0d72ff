// SPDX-License-Identifier: Apache-2.0
// Secrets: wiped, locked, compared in constant time, never shown. That a `Secret` is not copyable, printable or comparable
// with `==` the compiler says: `String(describing: secret)`, `dump(secret)` and `secret == secret` do not build.

import Foundation
import Testing

@testable import VPNCrypto

@Suite("secrets") struct SecretTests {
    @Test func holdsItsBytes() {
        let secret = Secret(copying: [1, 2, 3, 4])
        #expect(secret.count == 4)
        #expect(secret.exposedCopy() == [1, 2, 3, 4])
        #expect(secret.slice(1..<3).exposedCopy() == [2, 3])
        #expect(secret.copy().isEqual(to: secret) == true)
        #expect(secret.slice(0..<3).isEqual(to: secret) == false)
        #expect(Secret(copying: [1, 2, 3, 5]).isEqual(to: secret) == false)
        #expect(Secret(copying: []).isEqual(to: Secret(copying: [])) == true)
        #expect(Secret(copying: []).exposedCopy() == [])
    }

    @Test func randomSecretsDiffer() {
        let first = Secret(random: 32)
        #expect(first.isEqual(to: Secret(random: 32)) == false)
        #expect(first.exposedCopy().contains { $0 != 0 })
        // More than one call of getrandom gives at once.
        #expect(Secret(random: 1 << 20).exposedCopy().suffix(64).contains { $0 != 0 })
    }

    /// The block stays mapped after the secret's death, so what it then holds can be read. Its size is one that no other test
    /// uses, so that nobody takes the block over meanwhile.
    @Test func wipedWhenItDies() {
        let size = 200_000
        var address: UInt = 0
        do {
            let secret = Secret(copying: [UInt8](repeating: 0xa5, count: size))
            address = secret.withBytes { UInt(bitPattern: $0.baseAddress) }
            #expect(Self.read(address, size).allSatisfy { $0 == 0xa5 })
        }
        #expect(Self.read(address, SecretMemory.blockSize(for: size)).allSatisfy { $0 == 0 })
    }

    @Test func wipedWhenItsInitialiserThrows() {
        struct Refusal: Error {}
        let size = 300_000
        var address: UInt = 0
        #expect(throws: Refusal.self) {
            _ = try Secret(count: size) { bytes in
                address = UInt(bitPattern: bytes.baseAddress)
                for index in bytes.indices { unsafe bytes[index] = 0x5a }
                throw Refusal()
            }.count
        }
        #expect(Self.read(address, size).allSatisfy { $0 == 0 })
    }

    /// BoringSSL's expanded keys are of the sizes that we assume: nothing was written behind them. A block is wiped before it
    /// is handed out again, and larger than its secret.
    @Test func librariesStayInsideTheirBlocks() throws {
        func tail(_ secret: borrowing Secret) -> [UInt8] {
            let end = secret.withBytes { UInt(bitPattern: $0.baseAddress) } + UInt(secret.count)
            return Self.read(end, SecretMemory.blockSize(for: secret.count) - secret.count)
        }
        let mlkem = MLKEM.expand(seed: Secret(random: 64))
        #expect(tail(mlkem.privateKey).count == 4_000 && tail(mlkem.privateKey).allSatisfy { $0 == 0 })
        let mldsa = try MLDSA.expand(seed: Secret(random: 32))
        #expect(tail(mldsa.privateKey).count == 9_088 && tail(mldsa.privateKey).allSatisfy { $0 == 0 })
        // The last bytes are used: the sizes are not too large either.
        #expect(mlkem.privateKey.exposedCopy().suffix(32).contains { $0 != 0 })
        #expect(mldsa.privateKey.exposedCopy().suffix(32).contains { $0 != 0 })
    }

    private static func read(_ address: UInt, _ count: Int) -> [UInt8] {
        // SAFETY: memory of secrets is never unmapped.
        unsafe [UInt8](UnsafeRawBufferPointer(start: UnsafeRawPointer(bitPattern: address)!, count: count))
    }

    @Test func lockedAndLeftOutOfCoreDumpsAndOfChildren() throws {
        let secret = Secret(random: 32)
        let address = secret.withBytes { UInt(bitPattern: $0.baseAddress) }
        let flags = try Self.mappingFlags(of: address)
        #expect(flags.contains("dd"), "MADV_DONTDUMP")
        #expect(flags.contains("wf"), "MADV_WIPEONFORK")
        if Secret.isMemoryLocked {
            #expect(flags.contains("lo"), "mlock")
        } else {
            print("SKIPPED: the memlock limit is exhausted, secrets are not locked here")
        }
    }

    /// VmFlags of the mapping that holds the address.
    private static func mappingFlags(of address: UInt) throws -> [Substring] {
        // Not String(contentsOfFile:), which stops after the first read of a file that the kernel makes up.
        let file = try #require(FileHandle(forReadingAtPath: "/proc/self/smaps"))
        let text = String(decoding: file.readDataToEndOfFile(), as: UTF8.self)
        var inside = false
        for line in text.split(separator: "\n") {
            let ends = line.prefix { $0 != " " }.split(separator: "-").map { UInt($0, radix: 16) }
            if ends.count == 2, let start = ends[0], let end = ends[1] { inside = start <= address && address < end }
            if inside, line.hasPrefix("VmFlags:") { return line.dropFirst(8).split(separator: " ") }
        }
        return []
    }

    @Test func manySecretsShareTheSlabs() {
        // 10,000 secrets of 32 bytes are 320 kB of locked memory, not 10,000 pages.
        final class Holder {
            let secret: Secret
            init(_ byte: UInt8) { secret = Secret(copying: [UInt8](repeating: byte, count: 32)) }
        }
        let holders = (0..<10_000).map { Holder(UInt8(truncatingIfNeeded: $0)) }
        var addresses: Set<UInt> = []
        for (index, holder) in holders.enumerated() {
            holder.secret.withBytes { _ = addresses.insert(UInt(bitPattern: $0.baseAddress)) }
            #expect(holder.secret.exposedCopy().allSatisfy { $0 == UInt8(truncatingIfNeeded: index) })
        }
        #expect(addresses.count == holders.count)
        // 80 pages when nothing else runs; tests beside this one take places in between.
        #expect(Set(addresses.map { $0 / 4096 }).count < 2_500)
    }

    @Test func buffersJoinSecretsAndPublicBytes() {
        var buffer = SecretBuffer(capacity: 4 + 3 + 2 + 1)
        buffer.append(lengthPrefixed: Secret(copying: [7, 8, 9]))
        buffer.append([1, 2])
        buffer.append(Secret(copying: [5]))
        #expect(buffer.finish().exposedCopy() == [0, 0, 0, 3, 7, 8, 9, 1, 2, 5])
    }

    /// Whatever can be printed, dumped or reflected and holds a secret shows none of its bytes, in no usual notation.
    @Test func nothingPrintableShowsSecretBytes() throws {
        let identity = try SoftwareIdentity()
        let brainpool = try BrainpoolKeyPair()
        let pool = EphemeralPool(capacity: 1)
        try pool.refill()
        let secrets = [
            identity.brainpoolScalar.exposedCopy(), identity.ed25519Seed.exposedCopy(),
            identity.mldsaSeed.exposedCopy(), identity.mlkemSeed.exposedCopy(), try brainpool.scalar().exposedCopy(),
        ]
        for value: Any in [identity, brainpool, MLKEMKeyPair(), pool, SystemCryptography(ephemeralPool: pool)] {
            var dumped = ""
            dump(value, to: &dumped)
            let text = dumped + String(describing: value) + String(reflecting: value) + "\(value)"
            for secret in secrets {
                for length in [8, 16] {
                    let part = secret.prefix(length)
                    #expect(!text.contains(Hex.encode([UInt8](part))))
                    #expect(!text.contains(Data(part).base64EncodedString().prefix(length)))
                    #expect(!text.contains(part.map { "\($0)" }.joined(separator: ", ")))
                }
            }
        }
    }
}
