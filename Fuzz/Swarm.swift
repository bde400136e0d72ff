// SPDX-License-Identifier: Apache-2.0
// Where `scripts/fuzz --swarm` enters: changes of inputs that libFuzzer found, in great numbers, in the build that is tested and
// without its instruments, which take most of the time. It finds nothing new to start from; that is libFuzzer's part.
//
//     PQVPN_FUZZ_RUNS      ends after so many executions
//     PQVPN_FUZZ_SECONDS   or after so many seconds
//     PQVPN_FUZZ_SEED      the same inputs again
//     PQVPN_FUZZ_ARTIFACT  where an input goes that ends the process
//     arguments            files to start from

import Glibc
import VPNTesting

/// What is being run, for whoever finds the process at its end. One thread, and its signal handler.
private enum Current {
    static let capacity = 4096
    // SAFETY: allocated once and never freed; written before a run and read in the handler of the same thread.
    nonisolated(unsafe) static let bytes = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
    nonisolated(unsafe) static var count = 0
    nonisolated(unsafe) static var artifact: UnsafeMutablePointer<CChar>?
    /// Somebody wants an end.
    nonisolated(unsafe) static var isEnding = false
}

private func environmentNumber(_ name: String) -> UInt64 {
    // SAFETY: nobody changes the environment of this process.
    unsafe getenv(name).flatMap { UInt64(unsafe String(cString: $0)) } ?? 0
}

/// Writes down the input that a trap, a signal or a run without an end stopped at. Only what signal-safety(7) lists.
private func keepFinding(_ signal: CInt) {
    // SAFETY: the globals are this thread's own, and were set before the handler was.
    if let path = unsafe Current.artifact {
        let file = unsafe open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        if file >= 0 { _ = unsafe write(file, Current.bytes, Current.count) }
    }
    _exit(77)
}

private func contents(_ path: String) -> [UInt8] {
    // SAFETY: fread writes no more than the array's size.
    guard let file = unsafe fopen(path, "rb") else { return [] }
    defer { _ = unsafe fclose(file) }
    var bytes = [UInt8](repeating: 0, count: Current.capacity)
    let count = unsafe fread(&bytes, 1, bytes.count, file)
    return Array(bytes[..<count])
}

private func seconds() -> UInt64 {
    var now = timespec()
    // SAFETY: one struct, which outlives the call.
    _ = unsafe clock_gettime(CLOCK_MONOTONIC, &now)
    return UInt64(now.tv_sec)
}

/// From now on a run that takes so many seconds of processor time is a finding; 0: none is. Not of the clock: whoever stops this process
/// for a while finds nothing by that.
private func limitRun(seconds: Int) {
    var timer = itimerval()
    timer.it_value.tv_sec = seconds
    // SAFETY: one struct, which outlives the call.
    _ = unsafe setitimer(CInt(ITIMER_VIRTUAL.rawValue), &timer, nil)
}

/// The beginning of one input, the end of another, and some changes of the whole.
private func mixed(_ inputs: [[UInt8]], _ random: inout SeededRandom) -> [UInt8] {
    func pick(_ count: Int) -> Int { Int(random.next() % UInt64(count)) }
    var bytes = inputs[pick(inputs.count)]
    if random.next() & 7 == 0 {
        let other = inputs[pick(inputs.count)]
        bytes = Array(bytes[..<pick(bytes.count + 1)] + other[pick(other.count + 1)...])
        if bytes.isEmpty { bytes = [0] }
    }
    for _ in 0...Int(random.next() & 3) where !bytes.isEmpty { change(&bytes, &random) }
    return bytes.count > Current.capacity ? Array(bytes[..<Current.capacity]) : bytes
}

@_cdecl("swarm_main")
public func swarm(
    _ count: CInt, _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
) -> CInt {
    // Names are listed, or a wrong one refused, before anything else.
    _ = target.name
    // SAFETY: the arguments of main.
    let files = (1..<max(1, Int(count))).compactMap { unsafe arguments?[$0].map { unsafe String(cString: $0) } }
    let inputs = files.map(contents).filter { !$0.isEmpty }
    guard !inputs.isEmpty else {
        print("swarm: no inputs to start from")
        return 2
    }
    unsafe Current.artifact = unsafe getenv("PQVPN_FUZZ_ARTIFACT").flatMap { unsafe strdup($0) }
    for number in [SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGABRT, SIGVTALRM] { signal(number, keepFinding) }
    for number in [SIGINT, SIGTERM] { signal(number) { _ in unsafe Current.isEnding = true } }
    var random = SeededRandom(seed: environmentNumber("PQVPN_FUZZ_SEED"))
    let most = max(1, environmentNumber("PQVPN_FUZZ_RUNS"))
    let end = seconds() + max(1, environmentNumber("PQVPN_FUZZ_SECONDS"))
    var runs: UInt64 = 0
    while runs < most {
        limitRun(seconds: 60)
        if unsafe Current.isEnding { break }
        if runs & 63 == 0, seconds() >= end { break }
        let bytes = mixed(inputs, &random)
        // SAFETY: no longer than the room.
        unsafe bytes.withUnsafeBufferPointer {
            if let base = $0.baseAddress { unsafe Current.bytes.update(from: base, count: $0.count) }
        }
        unsafe Current.count = bytes.count
        run(bytes)
        runs += 1
    }
    limitRun(seconds: 0)
    print("executions \(runs)")
    return 0
}
