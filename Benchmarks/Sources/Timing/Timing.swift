// SPDX-License-Identifier: Apache-2.0
// The failure paths, by their time: cookie, mac1, tags, signatures, decapsulation, whole handshake messages. Prints a table of
// tab-separated values and gates nothing: what the numbers mean is in docs/side-channels.md. Run by scripts/timing.
import Glibc
import VPNCore
import VPNCrypto

@main
struct Timing {
    private let initiator: SoftwareIdentity
    private let responder: SoftwareIdentity
    /// A tenth of the samples, to see that it runs.
    private let isShort: Bool

    static func main() throws {
        let timing = try Timing(isShort: CommandLine.arguments.contains("--short"))
        print(
            "subject", "class 0", "class 1", "samples of each", "ns 0", "ns 1", "t", "largest t", "verdict",
            separator: "\t")
        for result in try timing.all() {
            print(
                result.subject, result.classes.0, result.classes.1, result.samples, text(result.means.0),
                text(result.means.1), text(result.t), text(result.largest),
                result.differs ? "differs" : "no difference seen", separator: "\t")
        }
    }

    private init(isShort: Bool) throws {
        initiator = try SoftwareIdentity()
        responder = try SoftwareIdentity()
        self.isShort = isShort
    }

    private static func text(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }

    private func test(_ subject: String, _ first: String, _ second: String, _ samples: Int, operations: Int = 1)
        -> TimingTest
    {
        TimingTest(
            subject: subject, classes: (first, second), samples: isShort ? samples / 10 : samples,
            operations: operations)
    }

    private func all() throws -> [TimingResult] {
        [control, comparison] + PacketCipher.allCases.map(packet) + [payload] + (try signatures())
            + [try decapsulation()] + messages()
    }

    // MARK: - Comparison

    /// A copy, so that inputs of both classes lie in memory alike.
    private static func tag(differingAt place: Int, from tag: [UInt8], by change: UInt8 = 1) -> [UInt8] {
        var other = tag
        other[place] ^= change
        return other
    }

    /// What must be seen: a comparison that ends at the first difference.
    private var control: TimingResult {
        let tag = [UInt8](repeating: 7, count: 64)
        return test("control: a comparison that ends early", "first byte", "last byte", 100_000, operations: 32)
            .measure(prepare: { Self.tag(differingAt: $0 == 0 ? 0 : 63, from: tag) }) { other in
                var place = 0
                while place < tag.count, tag[place] == other[place] { place += 1 }
                unsafe Self.sink &+= place
            }
    }

    private var comparison: TimingResult {
        let tag = [UInt8](repeating: 7, count: 16)
        return test("comparison of MACs", "first byte", "last byte", 200_000, operations: 32)
            .measure(prepare: { Self.tag(differingAt: $0 * 15, from: tag) }) {
                unsafe Self.sink &+= constantTimeEquals(tag, $0) ? 1 : 0
            }
    }

    /// So that nothing is optimised away.
    nonisolated(unsafe) private static var sink = 0

    // MARK: - Tags

    private func packet(_ cipher: PacketCipher) -> TimingResult {
        let key = PacketKey(cipher, key: Secret(random: 32), iv: Secret(random: 12))
        var sealed = [UInt8](repeating: 0x5A, count: 1400)
        var span = sealed.mutableSpan
        key.seal(&span, range: 0..<1400, counter: 1)
        return test("tag of a datagram, \(cipher)", "first byte", "last byte", 200_000)
            .measure(prepare: { Self.tag(differingAt: 1384 + $0 * 15, from: sealed) }) { datagram in
                var datagram = datagram
                var span = datagram.mutableSpan
                unsafe Self.sink &+= key.open(&span, range: 0..<1400, counter: 1) ? 1 : 0
            }
    }

    private var payload: TimingResult {
        let key = Secret(random: 32)
        let nonce = [UInt8](repeating: 0, count: 12)
        let sealed = SealedPayload.seal(
            .aes256GCM, key: key, nonce: nonce, associatedData: nonce, plaintext: [UInt8](repeating: 1, count: 4800))
        return test("payload of a handshake", "ciphertext", "tag", 100_000)
            .measure(prepare: { Self.tag(differingAt: $0 == 0 ? 0 : sealed.count - 1, from: sealed) }) {
                let plain = SealedPayload.open(
                    .aes256GCM, key: key, nonce: nonce, associatedData: nonce, ciphertext: $0)
                unsafe Self.sink &+= plain == nil ? 0 : 1
            }
    }

    // MARK: - Public-key work

    private func signatures() throws -> [TimingResult] {
        let hash = [UInt8](repeating: 3, count: DualSignature.hashSize)
        let signature = try initiator.sign(hash, role: .initiator)
        let keys = initiator.publicKeys
        let table = [
            ("Ed25519, a bit of R or of the low half of S", 0, 32),
            ("ML-DSA-87, a bit of the challenge or of z", 64, 200),
            ("signature, its Ed25519 or its ML-DSA half", 0, 64),
        ]
        return table.map { subject, first, second in
            test(subject, "byte \(first)", "byte \(second)", 20_000)
                .measure(prepare: { Self.tag(differingAt: $0 == 0 ? first : second, from: signature) }) {
                    unsafe Self.sink &+=
                        (try? DualSignature.verify($0, of: hash, role: .initiator, by: keys)) == nil ? 0 : 1
                }
        }
    }

    /// Implicit rejection: what is not genuine gives a secret, too.
    private func decapsulation() throws -> TimingResult {
        let encapsulation = try SystemCryptography().encapsulate(to: responder.publicKeys.mlkem)
        let genuine = encapsulation.ciphertext
        return test("ML-KEM-1024 decapsulation", "genuine", "changed", 40_000)
            .measure(prepare: { Self.tag(differingAt: Int.random(in: 0..<1568), from: genuine, by: UInt8($0)) }) {
                unsafe Self.sink &+= (try? responder.decapsulate($0).count) ?? 0
            }
    }

    // MARK: - Whole messages at a node

    private func messages() -> [TimingResult] {
        let waiting = WaitingResponder(initiator, responder)
        var number: UInt64 = 0
        let single = [
            ("node: cookie of an S1", "first byte", 40, "last byte", 55),
            ("node: mac1 of an S1", "first byte", 64, "last byte", 79),
            ("node: cookie or mac1 of an S1", "cookie", 55, "mac1", 79),
        ].map { subject, first, one, second, other in
            test(subject, first, second, 100_000)
                .measure(prepare: { [waiting.first(flipping: $0 == 0 ? one : other)] }) {
                    waiting.node.receive($0, from: 1)
                }
        }
        // ct_r begins at 1592, the sealed payload ends the message.
        let whole = test("node: a whole S1", "ciphertext of the KEM", "sealed payload", 6_000)
            .measure(prepare: { kind in
                number += 1
                // Out of the memory of those before.
                waiting.node.wait(.milliseconds(20))
                return waiting.whole(flipping: kind == 0 ? 1592 : waiting.size - 1, number: number)
            }) { waiting.node.receive($0, from: 1) }
        precondition(waiting.node.takeOutbox().isEmpty, "a refusal was answered")
        return single + [whole]
    }
}
