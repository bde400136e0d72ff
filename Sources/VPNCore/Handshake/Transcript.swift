// SPDX-License-Identifier: Apache-2.0
// The running hash of §6: h0 … h8, each over the one before and what both ends have seen since.
internal import VPNCrypto

/// One hash value of the transcript, 64 bytes.
struct Transcript: Equatable, Sendable {
    let hash: [UInt8]

    private init(_ hash: [UInt8]) { self.hash = hash }

    /// h2 = H(h0 ‖ peer_id_R ‖ cookie).
    static func start(responder: PeerID, cookie: [UInt8]) -> Transcript {
        Transcript(Hash.sha512(KeySchedule.protocolHash, responder.bytes, cookie))
    }

    /// H(this ‖ bytes).
    func adding(_ bytes: [UInt8]) -> Transcript { Transcript(Hash.sha512(hash, bytes)) }
}
