// SPDX-License-Identifier: Apache-2.0
// Which bytes of datagrams are the same each time: those that docs/protocol.md says, and no others.
import Testing
import VPNTesting

@testable import VPNCore

@Suite struct FixedBytesTests {
    /// Byte places of each type that never change over many handshakes of many nodes.
    private func constants(of type: DatagramType, in datagrams: [[UInt8]], _ place: (Int) -> Bool = { _ in true })
        -> [Int]
    {
        guard let first = datagrams.first else { return [] }
        return first.indices.filter { index in place(index) && datagrams.allSatisfy { $0[index] == first[index] } }
    }

    @Test func onlyHeadersAndOffersAreTheSameEachTime() {
        var datagrams: [DatagramType: [[UInt8]]] = [:]
        for seed in 1...24 {
            var (alice, bob) = (NodeOptions(), Scenario.answering)
            (alice.padding, bob.padding) = (.datagrams([128]), .datagrams([128]))
            let scenario = Scenario(seed: 7000 + UInt64(seed), alice: alice, bob: bob)
            #expect(scenario.connect())
            for (_, datagram) in scenario.network.capture {
                guard let type = datagram.type else { continue }
                datagrams[type, default: []].append(datagram.bytes)
            }
        }
        // S0: header, versions, suites, ciphers. RETRY: the same; bytes 4..<8 of the header are the initiator's index.
        #expect(constants(of: .s0, in: datagrams[.s0] ?? []) == Array(0..<20))
        #expect(constants(of: .retry, in: datagrams[.retry] ?? []) == Array(0..<4) + Array(8..<20))
        // DATA of one size: version, type and length.
        let data = (datagrams[.data0] ?? []).filter { $0.count == 128 }
        #expect(data.count > 20)
        #expect(
            Set(constants(of: .data0, in: data)).isSubset(of: Set(0..<8).union(8..<12)),
            "\(constants(of: .data0, in: data))")
        for type in [DatagramType.s0, .retry] { #expect((datagrams[type] ?? []).count >= 24) }
    }
}
