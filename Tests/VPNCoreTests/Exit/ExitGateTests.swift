// SPDX-License-Identifier: Apache-2.0
// What a packet says of itself, and what an exit believes of it (§8): ports behind options and extension headers, fragments, errors,
// both directions; and the same as the naive one says, over many packets.
import Testing

@testable import VPNCore

@Suite struct ExitGateTests {
    private static let surroundings = ExitSurroundings(
        addresses: [IPAddress("198.41.0.4")!], port: 9000, closed: [try! IPPrefix("10.66.0.0/16")])
    private static let now = Instant.origin + .seconds(1000)
    private static let (guest4, guest6) = (IPAddress("10.66.0.9")!, IPAddress("fd66:7071::9")!)

    private func gate(_ policy: String, _ direction: ExitGate.Direction = .outward) throws -> ExitGate {
        ExitGate(ExitFence(try ExitPolicy(text: policy), Self.surroundings), direction)
    }

    private func judge(_ gate: inout ExitGate, _ packet: [UInt8], at now: Instant = now) -> ExitVerdict {
        var bytes = packet
        let span = bytes.mutableSpan
        return gate.judge(span, 0..<span.count, now: now)
    }

    private func v4(
        to address: String = "1.1.1.1", from source: IPAddress = guest4, number: UInt8 = 6, options: [UInt8] = [],
        fragment: UInt16 = 0, id: UInt16 = 7, _ body: [UInt8]
    ) -> [UInt8] {
        [UInt8(0x45 + options.count / 4), 0] + PacketModel.bytes(UInt16(20 + options.count + body.count))
            + PacketModel.bytes(id) + PacketModel.bytes(fragment) + [64, number, 0, 0] + source.bytes
            + IPAddress(address)!.bytes + options + body
    }

    private func v6(
        to address: String = "2606:4700::1", from source: IPAddress = guest6, number: UInt8 = 6, _ body: [UInt8]
    ) -> [UInt8] {
        [0x60, 0, 0, 0] + PacketModel.bytes(UInt16(body.count)) + [number, 64] + source.bytes
            + IPAddress(address)!.bytes
            + body
    }

    private func tcp(to port: UInt16, from source: UInt16 = 40000) -> [UInt8] {
        PacketModel.bytes(source) + PacketModel.bytes(port) + [UInt8](repeating: 0, count: 8) + [0x50]
            + [UInt8](
                repeating: 0, count: 7)
    }

    private func udp(to port: UInt16, from source: UInt16 = 40000) -> [UInt8] {
        PacketModel.bytes(source) + PacketModel.bytes(port) + [0, 8, 0, 0]
    }

    @Test func portsAreReadWhereTheyAre() throws {
        var gate = try gate("accept tcp/*:443; accept udp/*:53")
        #expect(judge(&gate, v4(tcp(to: 443))) == .accept)
        #expect(judge(&gate, v4(tcp(to: 80))) == .refuse(isTold: true))
        #expect(judge(&gate, v4(number: 17, udp(to: 53))) == .accept)
        #expect(judge(&gate, v4(number: 17, udp(to: 443))) == .refuse(isTold: true))
        // Plain options move the ports: what would be 443 without them is 80.
        #expect(judge(&gate, v4(options: [1, 1, 1, 0], tcp(to: 443))) == .accept)
        #expect(judge(&gate, v4(options: [0, 80, 1, 187], tcp(to: 80))) == .refuse(isTold: true))
        #expect(judge(&gate, v6(tcp(to: 443))) == .accept)
        #expect(judge(&gate, v6(number: 60, [6, 0, 1, 187, 1, 187, 0, 0] + tcp(to: 80))) == .refuse(isTold: true))
        #expect(judge(&gate, v6(number: 60, [6, 0, 0, 0, 0, 0, 0, 0] + tcp(to: 443))) == .accept)
        // Ports of a protocol that has none.
        #expect(judge(&gate, v4(number: 47, tcp(to: 443))) == .refuse(isTold: true))
        #expect(judge(&gate, v4(number: 58, [128, 0, 0, 0, 0, 0, 0, 0])) == .refuse(isTold: true))
    }

    @Test func whatCannotBeReadGoesNowhere() throws {
        var gate = try gate("accept *")
        for bad in [
            [], [0x45], Array(v4(tcp(to: 443)).dropLast()), v4(tcp(to: 443)) + [0], v4(Array(tcp(to: 443).dropLast())),
            v4(number: 17, [0, 1, 0, 2, 0, 8, 0]), v4(number: 1, [8, 0, 0]), v6(Array(tcp(to: 443).dropLast())),
            // Source routing, loose and strict; options that are longer than their header, or of no length.
            v4(options: [131, 7, 4, 9, 9, 9, 9, 0], tcp(to: 443)), v4(options: [1, 137, 3, 4], tcp(to: 443)),
            v4(options: [7, 9, 4, 0], tcp(to: 443)), v4(options: [7, 0, 0, 0], tcp(to: 443)),
            v4(options: [7, 1, 0, 0], tcp(to: 443)), v4(options: [1, 1, 1, 7], tcp(to: 443)),
            // Routing headers, and hop-by-hop options that are late.
            v6(number: 43, [6, 0, 0, 0, 0, 0, 0, 0] + tcp(to: 443)),
            v6(number: 60, [0, 0, 0, 0, 0, 0, 0, 0] + [6, 0, 0, 0, 0, 0, 0, 0] + tcp(to: 443)),
            // A header that ends behind the packet.
            v6(number: 60, [6, 9, 0, 0, 0, 0, 0, 0] + tcp(to: 443)), v6(number: 60, [6, 0, 0, 0]), v6(number: 44, []),
        ] { #expect(judge(&gate, bad) == .unreadable, "\(bad)") }
        // An IPv4 packet with a header that is longer than the packet, or too short.
        var short = v4(tcp(to: 443))
        short[0] = 0x44
        #expect(judge(&gate, short) == .unreadable)
    }

    @Test func chainsOfHeadersHaveAnEnd() throws {
        var gate = try gate("accept tcp/*:443")
        func chain(_ count: Int) -> [UInt8] {
            let headers = (1...count).flatMap { [$0 == count ? 6 : 60, 0, 0, 0, 0, 0, 0, 0] as [UInt8] }
            return v6(number: 60, headers + tcp(to: 443))
        }
        #expect(judge(&gate, chain(8)) == .accept)
        #expect(judge(&gate, chain(9)) == .unreadable)
        // An authentication header counts its length in fours.
        #expect(judge(&gate, v6(number: 51, [6, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0] + tcp(to: 443))) == .accept)
    }

    @Test func fragmentsFollowTheirFirst() throws {
        var gate = try gate("accept udp/*:53")
        let first = v4(number: 17, fragment: 0x2000, udp(to: 53) + [UInt8](repeating: 9, count: 16))
        let later = v4(number: 17, fragment: 3, [UInt8](repeating: 9, count: 16))
        #expect(judge(&gate, later) == .unreadable)
        #expect(judge(&gate, first) == .accept)
        #expect(judge(&gate, later) == .accept)
        // Another id, protocol, source or destination.
        #expect(judge(&gate, v4(number: 17, fragment: 3, id: 8, [1, 2, 3])) == .unreadable)
        #expect(judge(&gate, v4(number: 6, fragment: 3, [1, 2, 3])) == .unreadable)
        #expect(judge(&gate, v4(to: "1.1.1.2", number: 17, fragment: 3, [1, 2, 3])) == .unreadable)
        #expect(judge(&gate, v4(from: IPAddress("10.66.0.8")!, number: 17, fragment: 3, [1, 2, 3])) == .unreadable)
        // A first that was refused, or that hides its ports.
        #expect(judge(&gate, v4(number: 17, fragment: 0x2000, id: 9, udp(to: 54))) == .refuse(isTold: true))
        #expect(judge(&gate, v4(number: 17, fragment: 3, id: 9, [1, 2, 3])) == .unreadable)
        #expect(judge(&gate, v4(number: 17, fragment: 0x2000, id: 10, [0, 0, 0, 53])) == .unreadable)
        #expect(judge(&gate, v4(number: 17, fragment: 1, id: 10, [0, 0, 0, 53])) == .unreadable)
        // They are forgotten, by time and by number.
        #expect(judge(&gate, later, at: Self.now + .seconds(29)) == .accept)
        #expect(judge(&gate, later, at: Self.now + .seconds(30)) == .unreadable)
        #expect(judge(&gate, first) == .accept)
        for id in 0..<UInt16(Limits.exitFragments) {
            #expect(judge(&gate, v4(number: 17, fragment: 0x2000, id: 100 + id, udp(to: 53))) == .accept)
        }
        #expect(judge(&gate, later) == .unreadable)
    }

    @Test func fragmentsOfIPv6() throws {
        var gate = try gate("accept udp/*:53")
        func fragment(_ offset: UInt16, more: Bool, id: UInt8 = 5, _ body: [UInt8]) -> [UInt8] {
            v6(number: 44, [17, 0] + PacketModel.bytes(offset << 3 | (more ? 1 : 0)) + [0, 0, 0, id] + body)
        }
        #expect(judge(&gate, fragment(2, more: false, [1, 2, 3])) == .unreadable)
        #expect(judge(&gate, fragment(0, more: true, udp(to: 53) + [0, 0, 0, 0, 0, 0, 0, 0])) == .accept)
        #expect(judge(&gate, fragment(2, more: false, [1, 2, 3])) == .accept)
        #expect(judge(&gate, fragment(2, more: false, id: 6, [1, 2, 3])) == .unreadable)
        // RFC 6946: a fragment that is all there is.
        #expect(judge(&gate, fragment(0, more: false, id: 7, udp(to: 53))) == .accept)
        #expect(judge(&gate, fragment(2, more: false, id: 7, [1, 2, 3])) == .unreadable)
        #expect(judge(&gate, fragment(0, more: true, udp(to: 54))) == .refuse(isTold: true))
    }

    @Test func returnsAreJudgedByWhereTheyComeFrom() throws {
        var gate = try gate("accept tcp/*:443", .homeward)
        let server = IPAddress("1.1.1.1")!
        #expect(judge(&gate, v4(to: "10.66.0.9", from: server, tcp(to: 40000, from: 443))) == .accept)
        #expect(judge(&gate, v4(to: "10.66.0.9", from: server, tcp(to: 443, from: 80))) == .refuse(isTold: false))
        #expect(
            judge(&gate, v4(to: "10.66.0.9", from: IPAddress("10.0.0.7")!, tcp(to: 40000, from: 443)))
                == .refuse(isTold: false))
        #expect(
            judge(&gate, v4(to: "10.66.0.9", from: IPAddress("198.41.0.4")!, tcp(to: 40000, from: 443)))
                == .refuse(isTold: false))
    }

    @Test func errorsPassWhereWhatTheyAreAboutMight() throws {
        var (home, out) = (try gate("accept tcp/*:443", .homeward), try gate("accept tcp/*:443"))
        let router = IPAddress("10.9.9.9")!
        func error(about packet: [UInt8], from: IPAddress, to: String, type: UInt8 = 11) -> [UInt8] {
            v4(to: to, from: from, number: 1, [type, 0, 0, 0, 0, 0, 0, 0] + packet.prefix(28))
        }
        let mine = v4(tcp(to: 443))
        // A router of the way, whoever it is.
        #expect(judge(&home, error(about: mine, from: router, to: "10.66.0.9")) == .accept)
        #expect(judge(&home, error(about: mine, from: router, to: "10.66.0.9", type: 3)) == .accept)
        // About what cannot have been sent, or by another guest.
        #expect(judge(&home, error(about: v4(tcp(to: 80)), from: router, to: "10.66.0.9")) == .refuse(isTold: false))
        #expect(judge(&home, error(about: mine, from: router, to: "10.66.0.8")) == .refuse(isTold: false))
        // Redirects and router advertisements are no errors; an error about an error is none either.
        #expect(judge(&home, error(about: mine, from: router, to: "10.66.0.9", type: 5)) == .refuse(isTold: false))
        #expect(
            judge(&home, error(about: error(about: mine, from: router, to: "10.66.0.9"), from: router, to: "10.66.0.9"))
                == .unreadable)
        #expect(judge(&home, v4(to: "10.66.0.9", from: router, number: 1, [3, 4, 0, 0, 0, 0, 0, 0])) == .unreadable)
        // A guest's own: of what came to it from where it may go.
        let answer = v4(to: "10.66.0.9", from: IPAddress("1.1.1.1")!, tcp(to: 40000, from: 443))
        #expect(judge(&out, error(about: answer, from: Self.guest4, to: "1.1.1.1", type: 3)) == .accept)
        let foreign = v4(to: "10.66.0.9", from: IPAddress("10.0.0.7")!, tcp(to: 40000, from: 443))
        #expect(
            judge(&out, error(about: foreign, from: Self.guest4, to: "10.0.0.7", type: 3)) == .refuse(isTold: false))
        // What it quotes opens no way to anybody else: the exit's network, its own addresses, a third host.
        for other in ["10.0.0.7", "198.41.0.4", "169.254.169.254", "9.9.9.9"] {
            #expect(
                judge(&out, error(about: answer, from: Self.guest4, to: other, type: 3)) == .refuse(isTold: false))
        }
        let answer6 = v6(to: "fd66:7071::9", from: IPAddress("2606:4700::1")!, tcp(to: 40000, from: 443))
        let about6 = [1, 0, 0, 0, 0, 0, 0, 0] + answer6
        #expect(judge(&out, v6(to: "2606:4700::1", number: 58, about6)) == .accept)
        #expect(judge(&out, v6(to: "fd00::7", number: 58, about6)) == .refuse(isTold: false))
        // Echo needs a rule.
        #expect(judge(&out, v4(number: 1, [8, 0, 0, 0, 0, 0, 0, 0])) == .refuse(isTold: true))
        var pings = try gate("accept icmp/*")
        #expect(judge(&pings, v4(number: 1, [8, 0, 0, 0, 0, 0, 0, 0])) == .accept)
        #expect(judge(&pings, v6(number: 58, [128, 0, 0, 0, 0, 0, 0, 0])) == .accept)
        #expect(judge(&pings, v6(number: 58, [134, 0, 0, 0, 0, 0, 0, 0])) == .refuse(isTold: true))
        #expect(judge(&pings, v4(number: 1, [13, 0, 0, 0, 0, 0, 0, 0])) == .refuse(isTold: true))
    }

    @Test func refusalsAreToldSoOften() throws {
        var gate = try gate("accept tcp/*:443")
        var told = 0
        for _ in 0..<500 where judge(&gate, v4(tcp(to: 80))) == .refuse(isTold: true) { told += 1 }
        #expect(told == Limits.answersPerSecond)
        #expect(judge(&gate, v4(tcp(to: 80)), at: Self.now + .seconds(1)) == .refuse(isTold: true))
    }

    @Test func theMessageSaysWhatIsForbidden() throws {
        for packet in [v4(to: "10.0.0.1", tcp(to: 80)), v6(to: "fd00::1", tcp(to: 80))] {
            var (source, target) = (packet, [UInt8](repeating: 0, count: PacketProhibited.largest))
            let span = source.mutableSpan
            var room = target.mutableSpan
            let length = try #require(PacketProhibited.write(about: span, 0..<span.count, into: &room, at: 0))
            let isV4 = packet[0] >> 4 == 4
            let icmp = isV4 ? 20 : 40
            #expect(Array(target[icmp..<icmp + 2]) == (isV4 ? [3, 13] : [1, 1]))
            #expect(target[icmp + 4..<icmp + 8].allSatisfy { $0 == 0 })
            #expect(Array(target[icmp + 8..<length]) == packet)
            #expect(NaiveExit.addresses(target)?.source == NaiveExit.addresses(packet)?.destination)
            #expect(NaiveExit.addresses(target)?.destination == NaiveExit.addresses(packet)?.source)
        }
    }

    /// As the fuzzer does, from a seed: every kind of packet under every kind of policy.
    @Test func theNaiveOneAgrees() throws {
        var random = SeededGenerator(58)
        for _ in 0..<20_000 {
            let bytes = (0..<160).map { _ in UInt8.random(in: 0...255, using: &random) }
            #expect(throws: Never.self) { try FuzzTarget.exit.run(bytes) }
        }
    }
}
