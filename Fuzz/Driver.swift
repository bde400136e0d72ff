// SPDX-License-Identifier: Apache-2.0
// Where libFuzzer enters. One program for all targets: PQVPN_FUZZ_TARGET says which. What is run is that of the tests
// (Tests/VPNCoreTests/Fuzzing).

import Glibc

private let target: FuzzTarget = {
    // SAFETY: nobody changes the environment of this process.
    let name = unsafe getenv("PQVPN_FUZZ_TARGET").map { unsafe String(cString: $0) } ?? ""
    guard let target = FuzzTarget(rawValue: name) else {
        fatalError("PQVPN_FUZZ_TARGET is one of \(FuzzTarget.allCases.map(\.rawValue))")
    }
    return target
}()

/// One input; a finding ends the process, as libFuzzer expects.
@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    // SAFETY: libFuzzer gives so many bytes, which live as long as this call.
    let bytes = unsafe Array(UnsafeBufferPointer(start: start, count: count))
    do { try target.run(bytes) } catch { fatalError("\(target.rawValue): \(error)") }
    return 0
}
