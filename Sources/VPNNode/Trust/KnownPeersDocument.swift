// SPDX-License-Identifier: Apache-2.0
// known_peers.yaml as text: pins to YAML and back. Hostile until proven: every id is computed anew from its keys, and a
// checksum over the whole tells a damaged byte in what no key vouches for, such as a name.
internal import Foundation
internal import VPNCore
internal import VPNCrypto
internal import Yams

enum KnownPeersDocument {
    private static let keyNames = ["brainpoolP512r1", "ed25519", "mldsa87", "mlkem1024"]
    private static let names =
        ["peer_id", "name", "added_by", "endpoint", "allow_partial", "rotation_serial"] + keyNames

    // MARK: Writing

    static func text(of pins: [PinnedPeer]) -> String {
        var lines = [
            "# Pinned identities. Written by pqvpn; change it with `pqvpn peers`.",
            "version: \(ChecksummedText.version)",
        ]
        lines.append(pins.isEmpty ? "peers: []" : "peers:")
        for pin in pins.sorted(by: { ($0.name, $0.peerID) < ($1.name, $1.peerID) }) {
            lines.append("  - peer_id: \"\(pin.peerID.hex)\"")
            lines.append("    name: \(ConfigurationValue.quoted(pin.name))")
            lines.append("    added_by: \(pin.origin.rawValue)")
            lines.append("    endpoint: \(ConfigurationValue.quoted(pin.endpoint))")
            lines.append("    allow_partial: \(pin.allowsPartial)")
            if pin.rotationSerial > 0 { lines.append("    rotation_serial: \(pin.rotationSerial)") }
            let keys = [pin.keys.brainpool, pin.keys.ed25519, pin.keys.mldsa, pin.keys.mlkem]
            for (name, key) in zip(keyNames, keys) {
                lines.append("    \(name): \"\(Data(key).base64EncodedString())\"")
            }
        }
        return ChecksummedText.finish(lines)
    }

    // MARK: Reading

    /// `path` is for messages; each refusal names the line and what to do.
    static func decode(_ text: String, path: String) throws -> [PinnedPeer] {
        func refuse(_ reason: String, at node: YAMLNode? = nil) -> NodeFailure {
            let place = node?.mark.map { ":\($0.line)" } ?? ""
            return NodeFailure(
                .usage, "known peers \(path)\(place): \(reason); nothing was changed: restore the file or remove it")
        }
        if let complaint = ChecksummedText.truncation(of: text) { throw refuse(complaint) }
        let root: YAMLNode?
        do {
            root = try Parser(yaml: text, encoding: .utf8).singleRoot()
        } catch YamlError.duplicatedKeysInMapping(let names, let context) {
            throw refuse("line \(context.mark.line): \(names.joined(separator: ", ")) stands more than once")
        } catch {
            throw refuse("the file is not valid YAML")
        }
        guard case .mapping(let mapping)? = root else { throw refuse("the file is not a map") }
        let version = mapping["version"]?.scalar?.string
        guard version == "1" || version == ChecksummedText.version else {
            throw refuse("version is neither 1 nor \(ChecksummedText.version)", at: mapping["version"])
        }
        if version != "1", let complaint = ChecksummedText.damage(in: text) { throw refuse(complaint) }
        let known = ["version", "peers"] + (version == "1" ? [] : [ChecksummedText.key])
        for key in mapping.keys where !known.contains(key.string ?? "") {
            throw refuse("unknown key '\(key.string ?? "?")'", at: key)
        }
        guard case .sequence(let entries)? = mapping["peers"] else { throw refuse("there is no list 'peers'") }
        var pins: [PinnedPeer] = []
        var ids: Set<PeerID> = []
        var taken: Set<String> = []
        for entry in entries {
            let pin = try pin(entry, refuse: refuse)
            guard ids.insert(pin.peerID).inserted else {
                throw refuse("peer_id \(pin.peerID.hex) stands more than once", at: entry)
            }
            guard pin.name.isEmpty || taken.insert(pin.name).inserted else {
                throw refuse("the name '\(pin.name)' stands more than once", at: entry)
            }
            pins.append(pin)
        }
        return pins
    }

    private static func pin(_ entry: YAMLNode, refuse: (String, YAMLNode?) -> NodeFailure) throws -> PinnedPeer {
        guard case .mapping(let mapping) = entry else {
            throw refuse("an entry is not a map", entry)
        }
        for key in mapping.keys where !names.contains(key.string ?? "") {
            throw refuse("unknown key '\(key.string ?? "?")'", key)
        }
        func text(_ name: String) throws -> String {
            guard let value = mapping[name]?.scalar?.string else { throw refuse("\(name) is missing", entry) }
            return value
        }
        func key(_ name: String) throws -> [UInt8] {
            guard let data = Data(base64Encoded: try text(name)) else {
                throw refuse("\(name) is not base64", mapping[name])
            }
            return [UInt8](data)
        }
        guard let id = PeerID(hex: try text("peer_id")) else {
            throw refuse("peer_id is not 64 hexadecimal digits", mapping["peer_id"])
        }
        guard let origin = PinnedPeer.Origin(rawValue: try text("added_by")) else {
            throw refuse("added_by is neither operator nor tofu", mapping["added_by"])
        }
        guard let allowsPartial = Bool(try text("allow_partial")) else {
            throw refuse("allow_partial of \(id.short) is neither true nor false", mapping["allow_partial"])
        }
        let serialText = mapping["rotation_serial"]?.scalar?.string ?? "0"
        guard let serial = UInt64(serialText), serialText == String(serial) else {
            throw refuse("rotation_serial of \(id.short) is no number", mapping["rotation_serial"])
        }
        let (name, endpoint) = (try text("name"), try text("endpoint"))
        guard name.utf8.count <= 63, !name.unicodeScalars.contains(where: \.isInvisible) else {
            throw refuse("the name of \(id.short) is longer than 63 bytes or not printable", mapping["name"])
        }
        guard endpoint.isEmpty || (try? EndpointName(endpoint)) != nil else {
            throw refuse("the endpoint of \(id.short) is none", mapping["endpoint"])
        }
        let keys: IdentityPublicKeys
        do {
            keys = try IdentityPublicKeys(
                brainpool: key("brainpoolP512r1"), ed25519: key("ed25519"), mldsa: key("mldsa87"),
                mlkem: key("mlkem1024"))
        } catch let error as KeyError {
            throw refuse("the keys of \(id.short) are refused: \(error)", entry)
        }
        guard keys.peerID == id else {
            throw refuse("the keys of \(id.short) do not belong to its peer_id: their id is \(keys.peerID.hex)", entry)
        }
        return PinnedPeer(
            keys: keys, name: name, origin: origin, endpoint: endpoint, allowsPartial: allowsPartial,
            rotationSerial: serial)
    }
}
