// SPDX-License-Identifier: Apache-2.0
// Where libFuzzer enters. One program for all targets: PQVPN_FUZZ_TARGET says which; "list" prints their names. What is run is that
// of the tests (Tests/VPNCoreTests/Fuzzing, Tests/VPNNodeTests/Fuzzing).

import Glibc
import VPNTesting

private let names = FuzzTarget.allCases.map(\.rawValue) + TextFuzzTarget.allCases.map(\.rawValue)

let target: (name: String, run: @Sendable ([UInt8]) throws -> Void) = {
    // SAFETY: nobody changes the environment of this process.
    let name = unsafe getenv("PQVPN_FUZZ_TARGET").map { unsafe String(cString: $0) } ?? ""
    if let target = FuzzTarget(rawValue: name) { return (name, { try target.run($0) }) }
    if let target = TextFuzzTarget(rawValue: name) { return (name, { try target.run($0) }) }
    guard name == "list" else { fatalError("PQVPN_FUZZ_TARGET is one of \(names)") }
    for name in names { print(name) }
    fflush(nil)
    _exit(0)
}()

/// Inputs that are tried beside each of libFuzzer's own, which costs more for its book-keeping than most decoders take. They come from
/// that input alone, so that it brings the same ones when it is run again.
private let neighbours: Int = {
    // SAFETY: nobody changes the environment of this process.
    unsafe getenv("PQVPN_FUZZ_NEIGHBOURS").flatMap { Int(unsafe String(cString: $0)) } ?? 0
}()

func run(_ bytes: [UInt8]) {
    do { try target.run(bytes) } catch { fatalError("\(target.name): \(error); input: \(bytes)") }
}

/// One to four changes of a byte, a bit, a number at its bounds, or the length.
func change(_ bytes: inout [UInt8], _ random: inout SeededRandom) {
    var choice = random.next()
    func take(_ limit: Int) -> Int {
        defer { choice >>= 16 }
        return Int(choice & 0xFFFF) % limit
    }
    for _ in 0...Int(random.next() & 3) {
        choice = random.next()
        let place = take(bytes.count)
        switch take(8) {
        case 0, 1, 2: bytes[place] = UInt8(take(256))
        case 3, 4: bytes[place] ^= 1 << UInt8(take(8))
        case 5: bytes[place] = [0, 1, 0x7F, 0x80, 0xFE, 0xFF][take(6)]
        case 6 where bytes.count > 1: bytes.remove(at: place)
        case 6, 7: bytes.insert(UInt8(take(256)), at: place)
        default: break
        }
    }
}

/// One input; a finding ends the process, as libFuzzer expects.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    // SAFETY: libFuzzer gives so many bytes, which live as long as this call.
    let bytes = unsafe Array(UnsafeBufferPointer(start: start, count: count))
    run(bytes)
    guard neighbours > 0, !bytes.isEmpty else { return 0 }
    // FNV-1a.
    var random = SeededRandom(seed: bytes.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 })
    for _ in 0..<neighbours {
        var other = bytes
        change(&other, &random)
        run(other)
    }
    return 0
}
