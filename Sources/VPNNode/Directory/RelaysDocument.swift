// SPDX-License-Identifier: Apache-2.0
// The directory of relays as text: YAML that pqvpn writes. Each descriptor must hold, or the whole file is refused: what is damaged
// is not to be guessed at.
internal import Foundation
internal import VPNCore
internal import VPNCrypto
internal import Yams

/// A relay as it is kept between runs.
struct KeptRelay: Equatable, Sendable {
    var descriptor: Descriptor
    var source: RelaySource

    var id: PeerID { descriptor.keys.peerID }
}

enum RelaysDocument {
    private static let imported = "import"

    static func text(of relays: [KeptRelay]) -> String {
        var lines = [
            "# Descriptors of relays. Written by pqvpn; change it with `pqvpn relay import` and `pqvpn relay remove`.",
            "version: \(ChecksummedText.version)", relays.isEmpty ? "relays: []" : "relays:",
        ]
        for relay in relays.sorted(by: { $0.id < $1.id }) {
            lines.append("  - source: \"\(text(of: relay.source))\"")
            lines.append("    descriptor: \"\(Data(relay.descriptor.encoded).base64EncodedString())\"")
        }
        return ChecksummedText.finish(lines)
    }

    /// "import", or the peer_id of the relay that brought it.
    static func text(of source: RelaySource) -> String {
        switch source {
        case .imported: imported
        case .relay(let id): id.hex
        }
    }

    /// `path` is for messages.
    static func decode(_ text: String, path: String) throws -> [KeptRelay] {
        func refuse(_ reason: String, at node: YAMLNode? = nil) -> NodeFailure {
            let place = node?.mark.map { ":\($0.line)" } ?? ""
            return NodeFailure(.usage, "relays \(path)\(place): \(reason); nothing was changed")
        }
        if let complaint = ChecksummedText.truncation(of: text) { throw refuse(complaint) }
        let root: YAMLNode?
        do { root = try Parser(yaml: text, encoding: .utf8).singleRoot() } catch {
            throw refuse("the file is not valid YAML")
        }
        guard case .mapping(let mapping)? = root else { throw refuse("the file is not a map") }
        guard mapping["version"]?.scalar?.string == ChecksummedText.version else {
            throw refuse("version is not \(ChecksummedText.version)", at: mapping["version"])
        }
        if let complaint = ChecksummedText.damage(in: text) { throw refuse(complaint) }
        for key in mapping.keys where !["version", "relays", ChecksummedText.key].contains(key.string ?? "") {
            throw refuse("unknown key '\(key.string ?? "?")'", at: key)
        }
        guard case .sequence(let nodes)? = mapping["relays"] else { throw refuse("there is no list 'relays'") }
        guard nodes.count <= Limits.directoryEntries else {
            throw refuse("more than \(Limits.directoryEntries) relays")
        }
        var relays: [KeptRelay] = []
        var ids: Set<PeerID> = []
        for node in nodes {
            let relay = try relay(node, refuse: refuse)
            guard ids.insert(relay.id).inserted else {
                throw refuse("peer_id \(relay.id.hex) stands more than once", at: node)
            }
            relays.append(relay)
        }
        return relays
    }

    private static func relay(_ node: YAMLNode, refuse: (String, YAMLNode?) -> NodeFailure) throws -> KeptRelay {
        guard case .mapping(let mapping) = node else { throw refuse("an entry is not a map", node) }
        for key in mapping.keys where key.string != "source" && key.string != "descriptor" {
            throw refuse("unknown key '\(key.string ?? "?")'", key)
        }
        let source: RelaySource
        switch mapping["source"]?.scalar?.string {
        case imported: source = .imported
        case let text?:
            guard let id = PeerID(hex: text) else {
                throw refuse("a source is neither 'import' nor a peer_id", mapping["source"])
            }
            source = .relay(id)
        case nil: throw refuse("an entry has no source", node)
        }
        guard let base64 = mapping["descriptor"]?.scalar?.string, let data = Data(base64Encoded: base64) else {
            throw refuse("a descriptor is not base64", mapping["descriptor"] ?? node)
        }
        do {
            let descriptor = try Descriptor(decoding: [UInt8](data), using: SystemCryptography())
            return KeptRelay(descriptor: descriptor, source: source)
        } catch { throw refuse(NodeFailure(refusing: "a descriptor", error).message, mapping["descriptor"]) }
    }
}
