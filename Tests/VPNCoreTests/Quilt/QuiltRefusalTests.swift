// SPDX-License-Identifier: Apache-2.0
// What an end refuses of a quilt (§9): words out of their session, nonce or place, ways that are there already, and
// wishes of the end that did not make the session.
import Testing
import VPNCrypto

@testable import VPNCore
@testable import VPNTesting

@Suite struct QuiltRefusalTests {
    private static let thief = Endpoint(v4: 0x0A02_0097, port: 6666)

    private func stitched(_ seed: UInt64) -> QuiltScenario {
        let quilt = QuiltScenario(seed: seed, ways: [way(10), way(15)])
        #expect(quilt.stitch())
        return quilt
    }

    private func message(_ patch: Int, _ purpose: PatchMessage.Purpose, nonce: UInt64 = 7) -> [UInt8] {
        PatchMessage(nonce: nonce, patch: patch, purpose).encoded
    }

    private func patches(_ host: VirtualHost, _ quilt: QuiltScenario) -> [Int] {
        host.quilt(of: 0, now: quilt.network.now)?.patches.map(\.number) ?? []
    }

    // MARK: - At the end that is told of patches

    /// Index 0 finds nobody: a patch that is spoken to by it is none, and takes no index of ours.
    @Test func aPatchWithoutAnIndexIsNone() {
        let quilt = stitched(21)
        let (before, indices) = (quilt.bob.controlDrops[.pathMalformed], quilt.bob.footprint.receiverIndices)
        quilt.network.say(.pathChallenge, message(3, .add(index: 0)), to: 0, from: quilt.alice)
        quilt.network.run(for: .milliseconds(200))
        #expect(quilt.bob.controlDrops[.pathMalformed] == before + 1)
        #expect(quilt.bob.footprint.receiverIndices == indices && patches(quilt.bob, quilt) == [0, 1])
    }

    /// A session that gave way to another one still receives for a while, and gets no patches any more.
    @Test func aFormerSessionGetsNoPatches() throws {
        let quilt = stitched(22)
        let former = try #require(quilt.alice.sendingSession(of: 0))
        quilt.network.renew(0, at: quilt.alice)
        quilt.network.run(for: .seconds(2)) { quilt.alice.establishedSessions.count == 2 }
        quilt.network.run(for: .milliseconds(500))
        #expect(quilt.alice.sendingSession(of: 0) !== former && quilt.stitch(within: .seconds(2)))
        let (before, indices) = (quilt.bob.controlDrops[.pathMalformed], quilt.bob.footprint.receiverIndices)
        let sealed = former.sealFrame(
            type: .pathChallenge, payload: message(3, .add(index: 77)), now: quilt.network.now)
        quilt.network.inject(
            VirtualDatagram(
                bytes: try #require(sealed), source: QuiltScenario.endpoint(1, 1),
                destination: QuiltScenario.endpoint(1, 2)))
        quilt.network.run(for: .milliseconds(200))
        #expect(quilt.bob.controlDrops[.pathMalformed] == before + 1, "\(quilt.scenario.describe())")
        #expect(quilt.bob.footprint.receiverIndices == indices && patches(quilt.bob, quilt) == [0, 1])
    }

    /// Bob asks whoever shows a patch for a nonce of his: without it the patch is not proven.
    @Test func anotherNonceProvesNothing() {
        let quilt = stitched(23)
        quilt.network.say(.pathChallenge, message(3, .add(index: 77)), to: 0, from: quilt.alice)
        quilt.network.say(.pathChallenge, message(3, .join(echo: 0, size: 500)), to: 0, from: quilt.alice)
        quilt.network.run(for: .milliseconds(200))
        let guest = quilt.bob.machine.peers[0]?.quilts.values.first?.guests[3]
        guard let asked = guest?.pending else { return fail("nothing is waited for") }
        let before = quilt.bob.controlDrops[.pathUnknown]
        let wrong = message(3, .join(echo: 0, size: PatchMessage.joinSize), nonce: asked.nonce ^ 1)
        quilt.network.say(.pathResponse, wrong, to: 0, from: quilt.alice)
        quilt.network.run(for: .milliseconds(200))
        #expect(quilt.bob.controlDrops[.pathUnknown] == before + 1)
        #expect(patches(quilt.bob, quilt) == [0, 1])
        // The right one, from where the question went to, is believed all the same.
        let right = message(3, .join(echo: 0, size: PatchMessage.joinSize), nonce: asked.nonce)
        quilt.network.say(.pathResponse, right, to: 0, from: quilt.alice)
        quilt.network.run(for: .milliseconds(200))
        #expect(patches(quilt.bob, quilt) == [0, 1, 3])
    }

    /// Somebody on the way keeps the last word of a join and says it from his own address: nothing is sent to there.
    @Test func aStolenProofMovesNothing() {
        let quilt = QuiltScenario(seed: 24, ways: [way(10), way(20)])
        var (seen, stolen): (Int, VirtualDatagram?) = (0, nil)
        let cut = quilt.network.intervene
        quilt.network.intervene = { datagram in
            guard stolen == nil, QuiltScenario.way(datagram) == 2, datagram.destination.low & 0xFF == 2 else {
                return cut?(datagram) ?? .pass
            }
            // The first datagram there is the join, the second one its proof.
            seen += 1
            guard seen == 2 else { return .pass }
            stolen = datagram
            return .drop
        }
        quilt.network.run(for: .seconds(20)) { stolen != nil }
        guard var copy = stolen else { return fail("no proof") }
        let before = quilt.bob.controlDrops[.pathUnknown]
        copy.source = Self.thief
        quilt.network.inject(copy)
        quilt.network.isCapturing = true
        quilt.network.run(for: .milliseconds(100))
        #expect(quilt.bob.controlDrops[.pathUnknown] == before + 1, "\(quilt.scenario.describe())")
        #expect(quilt.patchesUp(quilt.bob) <= 1)
        // The genuine end proves its way again.
        #expect(quilt.stitch(within: .seconds(30)), "\(quilt.scenario.describe())")
        quilt.load(megabits: 5, for: .seconds(1))
        #expect(!quilt.network.capture.contains { $0.datagram.destination == Self.thief })
    }

    // MARK: - At the end that wants patches

    @Test func aWayThatIsNamedTwiceIsOnePatch() {
        let quilt = QuiltScenario(seed: 25, ways: [way(10), way(20)]) { alice, _ in
            alice.quilt = QuiltConfiguration(ways: [QuiltScenario.endpoint(2, 2), QuiltScenario.endpoint(2, 2)])
        }
        #expect(quilt.stitch())
        quilt.network.run(for: .seconds(5))
        #expect(patches(quilt.alice, quilt) == [0, 1] && patches(quilt.bob, quilt) == [0, 1])
        #expect(quilt.alice.quilt(of: 0, now: quilt.network.now)?.joining.isEmpty == true)
    }

    /// In a session that was made by the second way the endpoint is a way like others, and asked for once: the third
    /// way has its turn right after it.
    @Test func theEndpointAmongTheWaysHoldsUpNoOther() {
        let quilt = QuiltScenario(seed: 26, ways: [way(10), way(10), way(10)]) { alice, _ in
            alice.quilt = QuiltConfiguration(ways: (1...3).map { QuiltScenario.endpoint($0, 2) })
        }
        #expect(quilt.stitch())
        quilt.cut = [1]
        quilt.load(megabits: 1, for: .seconds(5))
        quilt.network.renew(0, at: quilt.alice)
        #expect(quilt.network.run(for: .seconds(5)) { quilt.alice.establishedSessions.count == 2 })
        #expect(quilt.alice.carrier(of: 0) == .udp(QuiltScenario.endpoint(2, 2)))
        let third = Carrier.udp(QuiltScenario.endpoint(3, 2))
        let isUp = quilt.network.run(for: .milliseconds(500)) {
            let patches = quilt.alice.quilt(of: 0, now: quilt.network.now)?.patches ?? []
            return patches.contains { $0.carrier == third && $0.state == .up }
        }
        #expect(isUp, "\(quilt.summary(quilt.alice)); \(quilt.scenario.describe())")
    }

    /// Where both ends want ways, whoever made the session adds them, and the other end makes none of its own for that.
    @Test func oneEndAddsWhereBothWantWays() {
        let quilt = QuiltScenario(seed: 27, ways: [way(10), way(20)]) { _, bob in
            bob.quilt = QuiltConfiguration(ways: [QuiltScenario.endpoint(2, 1)])
        }
        #expect(quilt.stitch())
        quilt.network.run(for: .seconds(15))
        #expect(quilt.bob.establishedSessions.count == 1, "\(quilt.scenario.describe())")
        #expect(patches(quilt.bob, quilt) == [0, 1] && quilt.patchesUp(quilt.bob) == 2)
    }

    /// An end that waited for ways of the other one has made a session itself meanwhile: there is none to take over.
    @Test func whoMadeTheSessionTakesNoneOver() {
        let quilt = QuiltScenario(seed: 28, ways: [way(10), way(20)]) { alice, bob in
            alice.quilt = nil
            bob.quilt = QuiltConfiguration(ways: [QuiltScenario.endpoint(2, 1)])
        }
        #expect(quilt.scenario.connect())
        quilt.bob.machine.setQuilt(nil, ofPeer: "alice", now: quilt.network.now)
        quilt.network.renew(0, at: quilt.bob)
        #expect(quilt.network.run(for: .seconds(1)) { quilt.bob.establishedSessions.count == 2 })
        quilt.network.run(for: .seconds(15))
        #expect(quilt.bob.establishedSessions.count == 2, "\(quilt.scenario.describe())")
    }

    /// Only whoever made the session adds to it: the other end would be refused, and asks for nothing.
    @Test func whoWasCalledAddsNothing() {
        let quilt = stitched(29)
        let (now, indices) = (quilt.network.now, quilt.bob.footprint.receiverIndices)
        quilt.bob.machine.addPatch(.udp(QuiltScenario.endpoint(2, 9)), to: 0, from: now, now: now)
        #expect(quilt.bob.footprint.receiverIndices == indices)
        quilt.network.run(for: .seconds(2))
        #expect(quilt.alice.controlDrops[.pathMalformed] == 0 && patches(quilt.bob, quilt) == [0, 1])
    }

    /// A way that carries while its index is asked for anew is left by another one: index 0 finds nobody.
    @Test func aWayWithoutAnIndexIsLeftByAnother() throws {
        let quilt = stitched(30)
        let (now, index) = (quilt.network.now, try #require(quilt.alice.sendingSession(of: 0)).localIndex)
        let joins = quilt.alice.machine.peers[0]?.quilts[index]?.joins ?? []
        let join = try #require(joins.first)
        let anew = PatchJoin(
            number: join.number, carrier: join.carrier, localIndex: join.localIndex, mtu: join.mtu, deadline: now)
        #expect(join.remoteIndex != 0 && anew.remoteIndex == 0)
        quilt.alice.machine.peers[0]?.quilts[index]?.joins[0] = anew
        quilt.alice.machine.leavePatch(join.carrier, of: 0, now: now)
        quilt.network.run(for: .seconds(2))
        #expect(patches(quilt.alice, quilt) == [0] && patches(quilt.bob, quilt) == [0])
        #expect(quilt.scenario.carriesTraffic())
    }

    // MARK: - Another wish

    /// The same wish changes nothing. Another one makes a new session at the end that made this one; at the other it
    /// waits for the next.
    @Test func anotherWishIsFollowedByWhoMadeTheSession() {
        let quilt = QuiltScenario(seed: 31, ways: [way(10), way(20)]) { alice, _ in
            alice.quilt = QuiltConfiguration()
        }
        #expect(quilt.scenario.connect())
        let now = quilt.network.now
        quilt.alice.machine.setQuilt(QuiltConfiguration(), ofPeer: "bob", now: now)
        quilt.alice.machine.setQuilt(nil, ofPeer: "nobody", now: now)
        quilt.bob.machine.setQuilt(QuiltConfiguration(scheduler: .weighted), ofPeer: "alice", now: now)
        quilt.network.run(for: .seconds(5))
        #expect(quilt.alice.establishedSessions.count == 1, "\(quilt.scenario.describe())")
        #expect(quilt.bob.establishedSessions.count == 1 && patches(quilt.alice, quilt).isEmpty)
        let wish = QuiltConfiguration(ways: [QuiltScenario.endpoint(2, 2)])
        quilt.alice.machine.setQuilt(wish, ofPeer: "bob", now: quilt.network.now)
        #expect(quilt.stitch(within: .seconds(10)), "\(quilt.scenario.describe())")
        #expect(quilt.alice.establishedSessions.count == 2)
        #expect(quilt.bob.quilt(of: 0, now: quilt.network.now)?.scheduler == .weighted)
    }
}

// MARK: - On the packet path

@Suite struct QuiltPlaneRefusalTests {
    private let sender: Session
    private let session: Session
    private var plane = InboundPlane()

    init() throws {
        (sender, session) = Fixture.sessionPair()
        plane.apply(.routes(try Fixture.routes([("10.77.0.1/32", 0)])))
        plane.apply(.activate(session, Fixture.carrierToA))
        plane.apply(.patch(Quilt(session, QuiltConfiguration()), number: 1, index: 0xB000_0002))
    }

    private func seal(_ type: FrameType, _ payload: [UInt8]) throws -> [UInt8] {
        try #require(sender.sealFrame(type: type, payload: payload, now: Fixture.now))
    }

    private mutating func next(_ bytes: inout [UInt8]) -> InboundOutcome? {
        var span = bytes.mutableSpan
        return plane.next(&span, now: Fixture.now)?.outcome
    }

    private static func isDelivered(_ outcome: InboundOutcome?) -> Bool {
        if case .deliver? = outcome { true } else { false }
    }

    /// A quilt that comes after its session has gone would keep memory for ever; under the index of another session it
    /// would put that one's packets in order by patches that are none of it.
    @Test func aQuiltOfNoSessionIsNotTaken() {
        var plane = InboundPlane()
        let (former, other) = (Fixture.sessionPair(seed: 1).1, Fixture.sessionPair(seed: 2).1)
        let quilt = Quilt(former, QuiltConfiguration())
        plane.apply(.activate(former, Fixture.carrierToA))
        plane.apply(.retire(former.localIndex))
        plane.apply(.quilt(quilt))
        #expect(plane.weaves.isEmpty && plane.quilts.isEmpty)
        plane.apply(.activate(other, Fixture.carrierToA))
        plane.apply(.quilt(quilt))
        #expect(plane.weaves.isEmpty && plane.quilts.isEmpty)
        plane.apply(.quilt(Quilt(other, QuiltConfiguration())))
        #expect(plane.weaves.count == 1 && plane.quilts == [other.localIndex: 0])
    }

    /// A session ends while the datagrams of a train are told one by one: what was opened with the first still comes.
    @Test mutating func aSessionThatEndsAmidATrainTrapsNobody() throws {
        let packet = Fixture.packet(from: "10.77.0.1", to: "10.77.0.2")
        let first = try seal(.ip, packet)
        var bytes = try first + seal(.ip, packet)
        plane.begin(Train(bytes.indices, segment: first.count))
        let before = next(&bytes)
        plane.apply(.retire(session.localIndex))
        let after = next(&bytes)
        #expect(Self.isDelivered(before) && Self.isDelivered(after))
        #expect(plane.weaves.allSatisfy { $0 == nil })
    }

    /// A probe as long as those of patches, and of another kind, is none of theirs: the control side gets it.
    @Test(arguments: [ProbeMessage.pathMTU, ViewMessage.kind, 3])
    mutating func aProbeOfAnotherKindGoesOn(kind: UInt8) throws {
        var bytes = try seal(.probe, [kind] + [UInt8](repeating: 0, count: PatchProbe.size - 1))
        plane.begin(Train(bytes.indices))
        let outcome = next(&bytes)
        guard case .control(_, .probe, _)? = outcome else { return fail("\(String(describing: outcome))") }
        #expect(plane.drops[.probeMalformed] == 0)
    }

    /// Two threads send at once: whoever comes with the lower counter has skipped nothing.
    @Test func countersOutOfTheirTurnSkipNothing() {
        let quilt = Quilt(sender, QuiltConfiguration())
        let skipped = ([100, 105, 103, 104, 104, 1 << 40] as [UInt64]).map { quilt.skipped(before: $0) }
        #expect(skipped == [0, 4, 0, 0, 0, 255])
    }
}
