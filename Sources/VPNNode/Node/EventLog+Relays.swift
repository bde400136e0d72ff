// SPDX-License-Identifier: Apache-2.0
// What the log says of the directory of relays (docs/logging.md).
internal import Logging
internal import VPNCore
internal import VPNCrypto

extension EventLog {
    func recordRelays(_ event: Event) {
        switch event {
        case .relayLearned(let entry, let isNew, let source):
            line(
                .info, isNew ? "a relay was learned of" : "a relay has a newer descriptor", "relay.learned", nil,
                [
                    "peer": "\(entry.id.short)", "peer_id": "\(entry.id.hex)",
                    "peer_name": "\(entry.descriptor.nickname)", "from": "\(source.short)",
                    "serial": .stringConvertible(entry.descriptor.serial),
                ])
        case .relayRefused(let refusal, let source):
            line(
                refusal == .forged || refusal == .other ? .warning : .info, text(refusal), "relay.refused", nil,
                ["from": "\(source.short)", "reason": "\(refusal.rawValue)"])
        case .relaysExpired(let ids):
            line(
                .warning, "descriptors of relays have expired: ask their operators for new ones", "relay.expired", nil,
                ["relays": .array(ids.map { "\($0.short)" })])
        case .guardsChanged(let list):
            line(
                .info, "the relays that paths begin with have changed", "relay.guards", nil,
                ["guards": .array(list.guards.map { "\($0.id.short)" })])
        default: return
        }
    }

    private func text(_ refusal: DirectoryRefusal) -> String {
        switch refusal {
        case .forged: "a relay handed on a FORGED descriptor: it is not asked again for a day"
        case .other: "a relay handed on another descriptor than it promised: it is not asked again for a day"
        default: "a descriptor that a relay handed on was not taken"
        }
    }
}
