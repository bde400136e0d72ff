// SPDX-License-Identifier: Apache-2.0
// What a packet may cost. `Budgets allocations` fails if anything on the packet path allocates or counts references;
// `Budgets instructions`, run in callgrind by scripts/budgets, has each workload counted and prints its name and packets.

import Glibc
import VPNCore
import VPNCrypto

@main
struct Budgets {
    private static let sizes = [1400, 64]

    static func main() {
        switch CommandLine.arguments.dropFirst() {
        case ["allocations"]: allocations()
        case ["instructions"]: instructions()
        default: give("Budgets: allocations or instructions, run by scripts/budgets", status: 2)
        }
    }

    private static func give(_ text: String, status: Int32) -> Never {
        print(text)
        exit(status)
    }

    // MARK: - Allocations

    private static func allocations() {
        guard Counters.install() else {
            give("The Swift runtime has no hooks for retain and release any more.", status: 1)
        }
        // What does count must be seen to: otherwise every 0 below would mean nothing.
        var control = Allocating()
        let seen = Counters.count(&control, runs: 10)
        let expected = UInt64(10 * control.packets)
        guard seen.allocations >= expected, seen.frees >= expected, seen.retains >= expected, seen.releases >= expected
        else { give("The counters do not count: \(seen) for \(expected) objects.", status: 1) }

        print("allocations, frees, retains and releases of 6,400 packets or more each:")
        var failures = 0
        for (cipher, label) in [(PacketCipher.aes256GCM, "-aes"), (.chaCha20Poly1305, "-chacha")] {
            for family in IPFamily.allCases {
                for size in sizes {
                    check(Outbound(cipher, label: label, family, size: size), &failures)
                    check(Inbound(cipher, label: label, family, size: size), &failures)
                }
            }
        }
        for family in IPFamily.allCases {
            for transport in TransportProtocol.allCases {
                for size in sizes {
                    check(Split(family, transport, size: size), &failures)
                    check(Coalesce(family, transport, size: size), &failures)
                }
            }
        }
        for family in IPFamily.allCases { check(Lookup(family), &failures) }
        check(Replay(), &failures)
        if failures > 0 { give("\(failures) workloads allocate or count references.", status: 1) }
    }

    private static func check<Work: Workload>(_ work: consuming Work, _ failures: inout Int) {
        let counts = Counters.count(&work, runs: 140)
        let numbers = "\(counts.allocations) \(counts.frees) \(counts.retains) \(counts.releases)"
        print("  \(work.name): \(numbers)\(counts.isZero ? "" : "  FAILED")")
        if !counts.isZero { failures += 1 }
    }

    // MARK: - Instructions

    private static func instructions() {
        guard Counters.isInValgrind else {
            give("not in valgrind, or built without its headers", status: 3)
        }
        print("processor\t\(Counters.processor)")
        observe(Known())
        for size in sizes {
            for family in IPFamily.allCases {
                observe(Outbound(.aes256GCM, label: "", family, size: size))
                observe(Inbound(.aes256GCM, label: "", family, size: size))
                for transport in TransportProtocol.allCases {
                    observe(Split(family, transport, size: size))
                    observe(Coalesce(family, transport, size: size))
                }
            }
            observe(Cipher(.aes256GCM, opens: false, size: size))
            observe(Cipher(.aes256GCM, opens: true, size: size))
        }
        for family in IPFamily.allCases { observe(Lookup(family)) }
        observe(Replay())
    }

    private static func observe<Work: Workload & ~Copyable>(_ work: consuming Work) {
        let runs = 10
        Counters.observe(&work, runs: runs)
        print("packets\t\(work.name)\t\(work.packets * runs)")
    }
}

/// One object for each packet, passed to somebody else and back: what the counters must see.
private struct Allocating: Workload {
    private final class Item {
        let number: Int
        init(_ number: Int) { self.number = number }
    }

    let name = "control"
    let packets = 64
    private var kept: [Item?] = [nil, nil]

    mutating func prepare() {}

    mutating func run() -> Int {
        for place in 0..<packets {
            kept[0] = Item(place)
            kept[1] = kept[0]
        }
        return packets
    }
}
