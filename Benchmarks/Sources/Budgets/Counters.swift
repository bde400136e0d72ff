// SPDX-License-Identifier: Apache-2.0
// What is counted of a workload: allocations and references in this process, instructions by callgrind around it.

import CCounters

/// Allocations and reference counts of some runs.
struct Counters {
    var allocations: UInt64 = 0
    var frees: UInt64 = 0
    var retains: UInt64 = 0
    var releases: UInt64 = 0

    var isZero: Bool { allocations == 0 && frees == 0 && retains == 0 && releases == 0 }

    static func install() -> Bool { ccounters_install() }
    static func spin(_ times: UInt64) { ccounters_spin(times) }

    /// Counts `runs` runs of a warm workload.
    static func count<Work: Workload & ~Copyable>(_ work: inout Work, runs: Int) -> Counters {
        work.warmUp()
        var sum = Counters()
        for _ in 0..<runs {
            work.prepare()
            let before = ccounters_read()
            let went = work.run()
            let after = ccounters_read()
            precondition(went == work.packets, "packets went astray")
            sum.allocations += after.allocations - before.allocations
            sum.frees += after.frees - before.frees
            sum.retains += after.retains - before.retains
            sum.releases += after.releases - before.releases
        }
        return sum
    }

    static var isInValgrind: Bool { ccounters_in_valgrind() }

    /// Lets callgrind count `runs` runs of a warm workload into a file of its own.
    static func observe<Work: Workload & ~Copyable>(_ work: inout Work, runs: Int) {
        work.warmUp()
        ccounters_observe()
        for _ in 0..<runs {
            work.prepare()
            ccounters_toggle()
            let went = work.run()
            ccounters_toggle()
            precondition(went == work.packets, "packets went astray")
        }
        // SAFETY: a C string that lives as long as the call.
        unsafe work.name.withCString { unsafe ccounters_dump($0) }
        ccounters_ignore()
    }

    /// What BoringSSL chooses its code by, as this processor tells.
    static var processor: String {
        let processor = ccounters_read_processor()
        let features: [(Bool, String)] = [
            (processor.aes, "AES"), (processor.clmul, "CLMUL"), (processor.avx, "AVX"), (processor.movbe, "MOVBE"),
            (processor.avx2, "AVX2"), (processor.vaes, "VAES"), (processor.vpclmul, "VPCLMUL"),
            (processor.avx512, "AVX-512"),
        ]
        return features.filter(\.0).map(\.1).joined(separator: " ")
    }
}
