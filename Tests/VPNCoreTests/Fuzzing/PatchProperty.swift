// SPDX-License-Identifier: Apache-2.0
// What the two ends of a session say of its ways (§7, §9) and of inner addresses: a decoder accepts exactly what the encoder makes.

import VPNTesting

@testable import VPNCore

enum PatchProperty {
    static func check(_ input: inout FuzzInput) throws {
        let kind = input.byte()
        var bytes = input.rest(upTo: 200)
        // A fuzzer does not guess lengths.
        if kind & 8 != 0 {
            let size = [14, 18, 32, 40, 23, 12, 38, 60][Int(kind & 7)]
            bytes = Array((bytes + [UInt8](repeating: 0, count: size)).prefix(size))
        }
        switch kind & 7 {
        case 0, 1: try checkPatch(bytes)
        case 2:
            let message = PatchProbe(bytes)
            let isGood = bytes.count == 32 && bytes[0] == 2 && bytes[1] < 8 && bytes[2] == 0 && bytes[3] == 0
            try expect(message != nil, isGood, message?.encoded, bytes, "PROBE")
        case 3:
            let message = PatchReport(bytes)
            let isGood = bytes.count == 40 && bytes[0] == 2 && bytes[1] < 8 && bytes[2] == 0 && bytes[3] == 0
            guard let message else { return try expect(false, isGood, nil, bytes, "PROBE_REPORT") }
            try expect(true, isGood, message.encoded, bytes, "PROBE_REPORT")
            let probe = PatchProbe(
                patch: message.patch, number: message.number, sentAt: message.sentAt, packets: 1, bytes: 2)
            let again = PatchReport(
                answering: probe, receivedAt: message.receivedAt, packets: message.packets, bytes: message.bytes)
            try FuzzFinding.unless(again == message, "PROBE_REPORT \(bytes), from its probe")
        case 4: try checkRepair(bytes)
        case 5:
            let message = ProbeMessage(bytes)
            try expect(
                message != nil, bytes.count == 12 && bytes[0] == 0 && bytes[1] == 0, message?.encoded, bytes, "PROBE 0")
        case 6: try checkView(bytes)
        default: try checkLease(bytes)
        }
    }

    private static func expect(
        _ isAccepted: Bool, _ isGood: Bool, _ encoded: [UInt8]?, _ bytes: [UInt8], _ name: String
    ) throws {
        try FuzzFinding.unless(isAccepted == isGood, "\(name) \(bytes): accepted \(isAccepted)")
        if let encoded { try FuzzFinding.unless(encoded == bytes, "\(name) \(bytes), encoded \(encoded)") }
    }

    private static func checkPatch(_ bytes: [UInt8]) throws {
        let message = PatchMessage(bytes)
        var isGood = false
        if bytes.count >= 10, (1...7).contains(bytes[8]) {
            isGood =
                switch bytes[9] {
                case 1: bytes.count == 14
                case 3: bytes.count >= 18 && bytes[18...].allSatisfy { $0 == 0 }
                case 4: bytes.count == 10
                default: false
                }
        }
        try expect(message != nil, isGood, message?.encoded, bytes, "PATH_CHALLENGE")
    }

    private static func checkRepair(_ bytes: [UInt8]) throws {
        let message = RepairMessage(bytes)
        let isGood = bytes.count >= 23 && bytes[15] & 1 == 1 && bytes.u64(at: 0) <= .max - 64
        try expect(message != nil, isGood, message?.encoded, bytes, "REPAIR")
        guard let message else { return }
        let counters = message.counters
        try FuzzFinding.unless(
            counters.first == message.first && counters.count == message.mask.nonzeroBitCount
                && zip(counters, counters.dropFirst()).allSatisfy { $0 < $1 } && counters.last! - counters.first! < 64,
            "counters of \(bytes): \(counters)")
        try FuzzFinding.unless(counters.allSatisfy { message.factor(of: $0) != 0 }, "a factor of zero: \(bytes)")
        if let packet = RepairMessage.packet(of: message.symbol) {
            let symbol = RepairMessage.symbol(of: packet)
            try FuzzFinding.unless(
                message.symbol.starts(with: symbol) && message.symbol[symbol.count...].allSatisfy { $0 == 0 },
                "symbol of \(bytes)")
        }
    }

    private static func checkView(_ bytes: [UInt8]) throws {
        let message = ViewMessage(bytes)
        var isGood = bytes.count == 38 && bytes[0] == 1 && bytes[1...3].allSatisfy { $0 == 0 }
        if isGood, bytes[12..<28].allSatisfy({ $0 == 0 }) { isGood = bytes[28...].allSatisfy { $0 == 0 } }
        try expect(message != nil, isGood, message?.encoded, bytes, "PROBE 1")
    }

    private static func checkLease(_ bytes: [UInt8]) throws {
        guard let message = LeaseMessage(bytes) else { return }
        try expect(true, true, message.encoded, bytes, "CONFIG")
        try FuzzFinding.unless(
            message.addresses.count <= 8 && message.addresses.allSatisfy { $0.length <= $0.address.family.bits },
            "CONFIG \(bytes)")
    }
}
