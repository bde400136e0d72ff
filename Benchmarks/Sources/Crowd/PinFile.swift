// SPDX-License-Identifier: Apache-2.0
// The daemon's files of known peers: one is read, and one is written for a daemon that knows the whole crowd.
import Foundation
import VPNCrypto

enum PinFile {
    private static let names = ["brainpoolP512r1", "ed25519", "mldsa87", "mlkem1024"]

    /// The keys of the first peer in a file.
    static func keys(in path: String) throws -> IdentityPublicKeys {
        let lines = try String(contentsOfFile: path, encoding: .utf8).split(separator: "\n")
        let keys = try names.map { name in
            guard let line = lines.first(where: { $0.contains("  \(name): ") }),
                let key = Data(base64Encoded: String(line.split(separator: "\"")[1]))
            else { throw CrowdFailure("\(path) has no \(name)") }
            return [UInt8](key)
        }
        return try IdentityPublicKeys(brainpool: keys[0], ed25519: keys[1], mldsa: keys[2], mlkem: keys[3])
    }

    /// known_peers.yaml, and peers.yaml for the configuration: each peer has one inner address of 100.64.0.0/10.
    static func write(_ identities: [SoftwareIdentity], to folder: String) throws {
        // Version 1 has no checksum.
        var pins = "version: 1\npeers:\n"
        var peers = "peers:\n"
        for (number, identity) in identities.enumerated() {
            let keys = identity.publicKeys
            let id = keys.peerID.hex
            pins += "  - peer_id: \"\(id)\"\n    name: p\(number)\n    added_by: operator\n    endpoint: \"\"\n"
            pins += "    allow_partial: false\n"
            for (name, key) in zip(names, [keys.brainpool, keys.ed25519, keys.mldsa, keys.mlkem]) {
                pins += "    \(name): \"\(Data(key).base64EncodedString())\"\n"
            }
            let address = "100.\(64 + number >> 16).\(number >> 8 & 255).\(number & 255)"
            peers += "  - { name: p\(number), peer_id: \"\(id)\", allowed_ips: [\(address)/32] }\n"
        }
        pins += "...\n"
        try pins.write(toFile: folder + "/known_peers.yaml", atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: folder + "/known_peers.yaml")
        try peers.write(toFile: folder + "/peers.yaml", atomically: true, encoding: .utf8)
    }
}
