// SPDX-License-Identifier: Apache-2.0
// What a responder does before, and instead of, public-key work (§5's order of checks).
import Testing
import VPNCrypto
import VPNTesting

@testable import VPNCore

@Suite struct ResponderTests {
    @Test func theEleventhHandshakeOfAMinuteCostsNoPublicKeyWork() {
        var options = Scenario.answering
        options.handshakesPerMinute = 10
        let scenario = Scenario(seed: 41, bob: options, starting: false)
        scenario.network.attach(scenario.bob)
        // Many callers behind one address, as different ports.
        func caller(_ number: Int, at address: UInt32) -> VirtualHost {
            Scenario.host(
                "alice", Endpoint(v4: address, port: UInt16(1000 + number)), scenario.alice.identity,
                peer: scenario.bob.identity, peerEndpoint: Scenario.bobEndpoint, NodeOptions(),
                seed: UInt64(100 + number),
                .rehearsal, now: scenario.network.now)
        }
        for number in 0..<10 {
            let host = caller(number, at: 0x0A00_0001)
            scenario.network.attach(host)
            scenario.network.run(for: .milliseconds(5200))
            #expect(!host.confirmedSessions.isEmpty)
            scenario.network.detach(host)
        }
        let jobs = scenario.bob.jobsRun
        #expect(scenario.bob.controlDrops[.handshakeRate] == 0, "\(scenario.describe())")
        let eleventh = caller(10, at: 0x0A00_0001)
        scenario.network.attach(eleventh)
        scenario.network.run(for: .seconds(1))
        #expect(scenario.bob.controlDrops[.handshakeRate] == 1 && scenario.bob.jobsRun == jobs)
        // Others are not affected.
        let neighbour = caller(11, at: 0x0A00_0063)
        scenario.network.attach(neighbour)
        #expect(scenario.network.run(for: .seconds(2)) { !neighbour.confirmedSessions.isEmpty })
        // And the minute passes.
        #expect(
            scenario.network.run(for: .seconds(80)) { !eleventh.confirmedSessions.isEmpty }, "\(scenario.describe())")
    }

    @Test func workInFlightIsBoundedAndRepeatsFindRoom() {
        var options = Scenario.answering
        options.maximumJobs = 4
        let scenario = Scenario(seed: 42, bob: options, starting: false)
        scenario.network.isCapturing = false
        scenario.bob.jobDuration = .milliseconds(200)
        scenario.network.attach(scenario.bob)
        var callers: [VirtualHost] = []
        for number in 0..<40 {
            let caller = Scenario.host(
                "alice", Endpoint(v4: 0x0A00_0100 | UInt32(number), port: 9), scenario.alice.identity,
                peer: scenario.bob.identity, peerEndpoint: Scenario.bobEndpoint, NodeOptions(),
                seed: UInt64(number + 7),
                .rehearsal, now: scenario.network.now)
            callers.append(caller)
            scenario.network.attach(caller)
        }
        var most = 0
        scenario.network.run(for: .seconds(3)) {
            most = max(most, scenario.bob.footprint.jobs)
            return false
        }
        #expect(
            most == 4 && scenario.bob.controlDrops[.jobsFull] + scenario.bob.controlDrops[.unpaid] > 0,
            "\(most) \(scenario.describe())")
        // Those that were put off came again and were heard: more work was done than fits at once.
        #expect(scenario.bob.jobsRun > 12, "\(scenario.bob.jobsRun)")
    }

    @Test func thePuzzleIsAskedForUnderLoadAndChecked() {
        let cryptography = RehearsalCryptography(seed: 3)
        let cookie = [1, 12, 0, 0] + cryptography.randomBytes(28)
        let solution = Puzzle.solve(cookie: cookie, senderIndex: 9, difficulty: 12, from: 0)
        #expect(Puzzle.verifies(solution, cookie: cookie, senderIndex: 9, difficulty: 12))
        #expect(!Puzzle.verifies(solution, cookie: cookie, senderIndex: 10, difficulty: 12))
        #expect(!Puzzle.verifies(solution, cookie: cookie.flipping(9), senderIndex: 9, difficulty: 12))
        var wrong = 0
        for _ in 0..<64
        where Puzzle.verifies(cryptography.randomBytes(8), cookie: cookie, senderIndex: 9, difficulty: 12) {
            wrong += 1
        }
        #expect(wrong <= 2)
    }

    /// H6: every length but the right one, for every datagram of the handshake.
    @Test func everyLengthIsExact() {
        let scenario = Scenario(seed: 43)
        #expect(scenario.connect())
        var seen: Set<DatagramType> = []
        for (_, datagram) in scenario.network.capture {
            guard let type = datagram.type, !type.isData, seen.insert(type).inserted else { continue }
            #expect(decodes(datagram.bytes, as: type), "the right length of \(type)")
            for wrong in [0, 1, 15, 16, datagram.bytes.count - 1, datagram.bytes.count + 1, 1232, 65_507] {
                guard wrong != datagram.bytes.count else { continue }
                var bytes = Array(datagram.bytes.prefix(wrong))
                bytes += [UInt8](repeating: 0, count: wrong - bytes.count)
                // Once with the old body length, once with one that fits.
                for fixes in [false, true] where bytes.count >= 16 || !fixes {
                    if fixes {
                        bytes[2] = UInt8(truncatingIfNeeded: (wrong - 16) >> 8)
                        bytes[3] = UInt8(truncatingIfNeeded: wrong - 16)
                    }
                    #expect(!decodes(bytes, as: type), "\(type) of \(wrong) bytes")
                    scenario.network.inject(
                        VirtualDatagram(bytes: bytes, source: datagram.source, destination: datagram.destination))
                }
            }
        }
        scenario.network.run(for: .seconds(3))
        #expect(scenario.alice.establishedSessions.count == 1 && scenario.bob.establishedSessions.count == 1)
        #expect(seen == [.s0, .retry, .s1, .s2])
        #expect(scenario.carriesTraffic())
    }

    private func decodes(_ bytes: [UInt8], as type: DatagramType) -> Bool {
        switch type {
        case .s0: S0Message(bytes) != nil
        case .retry: RetryMessage(bytes) != nil
        case .s1: S1Fragment(bytes) != nil
        case .s2: S2Fragment(bytes) != nil
        case .infoRequest: InfoRequest(bytes) != nil
        case .infoResponse: InfoResponse(bytes) != nil
        case .needFull, .data0, .data1: false
        }
    }

    @Test func keepalivesAreExactJSON() {
        let message = KeepaliveMessage(
            kind: .request, sessionID: String(repeating: "ab", count: 16), timestamp: 1_800_000_000,
            peerID: String(repeating: "0f", count: 32), uptime: 12)
        let text = String(decoding: message.encoded, as: UTF8.self)
        #expect(text.hasPrefix("{\"type\":\"KEEPALIVE\",\"sessionid\":\"abab") && message.encoded.count <= 512)
        #expect(KeepaliveMessage(message.encoded) == message)
        let fields = text.dropFirst().dropLast()
        #expect(KeepaliveMessage(Array(" {\n \(fields) }\r\n".utf8)) == message)
        for wrong in [
            "", "{}", "[\(text)]", text + "x", text + text, "{\(fields),\"extra\":1}", "{\(fields),\"uptime\":12}",
            text.replacing("KEEPALIVE", with: "HELLO"), text.replacing("12}", with: "-1}"),
            text.replacing("12}", with: "1.5}"), text.replacing("12}", with: "012}"),
            text.replacing("12}", with: "\"12\"}"),
            text.replacing("12}", with: "99999999999999999999}"), text.replacing("abab", with: "ABAB"),
            text.replacing("0f0f", with: "0f"), text.replacing("\"uptime\":12", with: "\"uptime\":{}"),
            text.replacing("type", with: "t\\u0079pe"), String(text.dropLast()),
            text + String(repeating: " ", count: 400),
        ] {
            #expect(KeepaliveMessage(Array(wrong.utf8)) == nil, "\(wrong)")
        }
    }

    /// §4: mac1 is of the responder's id or, from who does not know it, of nobody's. Any other is not for this node.
    @Test(arguments: [false, true]) func anS0ForSomebodyElseIsNotAnswered(isStealthy: Bool) {
        var options = Scenario.answering
        options.isStealthy = isStealthy
        let scenario = Scenario(seed: 82, bob: options, starting: false)
        let (network, bob) = (scenario.network, scenario.bob)
        network.attach(bob)
        func answers(_ key: MAC1Key) -> Int {
            let before = network.capture.count { $0.datagram.type == .retry }
            let s0 = S0Message(
                offers: Offers(hasAESHardware: true), senderIndex: 9,
                nonce: [UInt8](repeating: 1, count: S0Message.nonceSize))
            network.inject(
                VirtualDatagram(
                    bytes: s0.encoded(macKey: key), source: Scenario.aliceEndpoint, destination: Scenario.bobEndpoint))
            network.run(for: .seconds(1))
            return network.capture.count { $0.datagram.type == .retry } - before
        }
        #expect(answers(MAC1Key(responder: scenario.alice.identity.publicKeys.peerID)) == 0)
        #expect(answers(.unknownResponder) == (isStealthy ? 0 : 1))
        #expect(answers(MAC1Key(responder: bob.identity.publicKeys.peerID)) == 1)
    }
}
