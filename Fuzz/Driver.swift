// SPDX-License-Identifier: Apache-2.0
// Where libFuzzer enters. One program for all targets: PQVPN_FUZZ_TARGET says which; "list" prints their names. What is run is that
// of the tests (Tests/VPNCoreTests/Fuzzing, Tests/VPNNodeTests/Fuzzing).

import Glibc

private let names = FuzzTarget.allCases.map(\.rawValue) + TextFuzzTarget.allCases.map(\.rawValue)

private let target: (name: String, run: @Sendable ([UInt8]) throws -> Void) = {
    // SAFETY: nobody changes the environment of this process.
    let name = unsafe getenv("PQVPN_FUZZ_TARGET").map { unsafe String(cString: $0) } ?? ""
    if let target = FuzzTarget(rawValue: name) { return (name, { try target.run($0) }) }
    if let target = TextFuzzTarget(rawValue: name) { return (name, { try target.run($0) }) }
    guard name == "list" else { fatalError("PQVPN_FUZZ_TARGET is one of \(names)") }
    for name in names { print(name) }
    fflush(nil)
    _exit(0)
}()

/// One input; a finding ends the process, as libFuzzer expects.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    // SAFETY: libFuzzer gives so many bytes, which live as long as this call.
    let bytes = unsafe Array(UnsafeBufferPointer(start: start, count: count))
    do { try target.run(bytes) } catch { fatalError("\(target.name): \(error)") }
    return 0
}
