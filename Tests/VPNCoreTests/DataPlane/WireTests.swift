// SPDX-License-Identifier: Apache-2.0
// The outer header's gate, frames and padding.

import Testing
import VPNCore

@Suite struct OuterHeaderTests {
    @Test(arguments: DatagramType.allCases) func encodesAndDecodes(type: DatagramType) {
        let header = OuterHeader(type: type, bodyLength: 3, receiverIndex: 0x0102_0304, word: 0x1112_1314_1516_1718)
        let expected: [UInt8] =
            [1, type.rawValue, 0, 3, 1, 2, 3, 4, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18]
        #expect(header.encoded == expected)
        var bytes = [UInt8](repeating: 9, count: 20)
        var span = bytes.mutableSpan
        header.encode(into: &span, at: 4)
        #expect(bytes == [9, 9, 9, 9] + expected)
        #expect(OuterHeader(expected + [7, 7, 7]) == header)
    }

    @Test func onlyExactLengthsPass() {
        for body in 0..<40 {
            for datagram in 0..<60 {
                let header = OuterHeader(type: .data0, bodyLength: UInt16(body)).encoded
                let bytes = Array((header + [UInt8](repeating: 0, count: 60)).prefix(datagram))
                let verdict = OuterHeader.decode(bytes)
                switch verdict {
                case .header: #expect(datagram == body + 16)
                case .drop(let reason): #expect(reason == (datagram < 16 ? .tooShort : .bodyLength))
                }
            }
        }
    }

    @Test func everyOtherVersionAndTypeIsDropped() {
        let known = Set(DatagramType.allCases.map(\.rawValue))
        for value in UInt8.min...UInt8.max {
            var bytes = OuterHeader(type: .data0, bodyLength: 0).encoded
            bytes[0] = value
            #expect((OuterHeader.decode(bytes) == .drop(.version)) == (value != 1))
            bytes[0] = 1
            bytes[1] = value
            #expect((OuterHeader.decode(bytes) == .drop(.unknownType)) == !known.contains(value))
        }
    }
}

@Suite struct PaddingTests {
    @Test func paddingNeverExceedsTheCeilingAndNeverShrinks() {
        let policies: [PaddingPolicy] = [.none, .multiple(1), .multiple(16), .buckets([128, 256, 1440]), .buckets([])]
        for policy in policies {
            for ceiling in [100, 1440] {
                for length in 4...1500 {
                    let padded = policy.paddedLength(length, ceiling: ceiling)
                    #expect(padded >= length && padded <= max(length, ceiling))
                }
            }
        }
        #expect(PaddingPolicy.multiple(16).paddedLength(33, ceiling: 1440) == 48)
        #expect(PaddingPolicy.multiple(16).paddedLength(1439, ceiling: 1439) == 1439)
        #expect(PaddingPolicy.buckets([128, 256]).paddedLength(129, ceiling: 1440) == 256)
        #expect(PaddingPolicy.buckets([128, 256]).paddedLength(257, ceiling: 1440) == 1440)
    }
}

@Suite struct DropReasonTests {
    @Test func namesAreUniqueSnakeCase() {
        let names = DropReason.allCases.map(\.name)
        #expect(Set(names).count == names.count)
        for name in names {
            #expect(name.allSatisfy { $0.isLowercase && $0.isASCII || $0 == "_" || $0.isNumber }, "\(name)")
        }
    }

    @Test func countersCount() {
        let counters = DropCounters()
        #expect(counters.nonZero.isEmpty)
        counters.add(.noRoute)
        counters.add(.padding, 3)
        #expect(counters[.noRoute] == 1 && counters[.padding] == 3 && counters.total == 4)
        #expect(counters.nonZero.map(\.reason) == [.padding, .noRoute])
    }
}
