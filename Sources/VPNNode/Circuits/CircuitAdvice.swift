// SPDX-License-Identifier: Apache-2.0
// Why a circuit came to nothing, in words: which node said so, and what to do where. For the log, the status and the commands alike.
internal import VPNCore

struct CircuitAdvice: Equatable {
    /// Whose word it was, or whose silence; nil where it was this node's.
    let node: String?
    let text: String
    let fix: String

    /// - Parameters:
    ///   - hops: their names, in order.
    ///   - selection: why there was no path when one was looked for last.
    init(_ failure: WantedCircuits.Failure, hops: [String], selection: SelectionFailure? = nil) {
        switch failure {
        case .refused(.noPath): self.init(selection)
        case .refused(let refusal): self.init(refusal, hops: hops)
        case .failed(let hop, let failure): self.init(failure, hop: hop, hops: hops)
        }
    }

    /// There was no path to choose.
    private init(_ selection: SelectionFailure?) {
        node = nil
        text = selection?.description ?? "no path of the kind that was asked for can be chosen"
        fix = "pqvpn relays; pqvpn relay import FILE"
    }

    private init(_ refusal: CircuitRefusal, hops: [String]) {
        node = nil
        let first = hops.first ?? "?"
        switch refusal {
        case .length: (text, fix) = ("a circuit has 1 to \(Limits.circuitHops) hops", "name fewer hops")
        case .entry:
            (text, fix) = ("'\(first)', the first hop, is no peer that this node meets directly", "pqvpn status")
        case .unknownHop:
            (text, fix) = (
                "one of \(Self.list(hops)) is not pinned here, or is revoked",
                "pqvpn peers list; pqvpn peers add FILE (its identity.pub)"
            )
        case .loop:
            (text, fix) = (
                "a hop is this node itself, or comes again after one hop or none", "name other nodes, each of them once"
            )
        case .name: (text, fix) = ("there is a circuit of this name", "pqvpn circuits")
        case .prefix:
            (text, fix) = (
                "one of its networks is a peer's or another circuit's", "pqvpn status; see allowed_ips of the peers"
            )
        case .noPath: (text, fix) = ("no path of the kind that was asked for can be chosen", "pqvpn relays")
        case .tooMany:
            (text, fix) = ("this node has as many circuits as there may be", "pqvpn circuit close NAME")
        }
    }

    private init(_ failure: CircuitFailure, hop: Int, hops: [String]) {
        func name(_ index: Int) -> String { hops.indices.contains(index) ? hops[index] : "hop \(index + 1)" }
        let (relay, target) = (name(hop - 1), name(hop))
        switch failure {
        case .noEntry:
            node = target
            text = "there is no session with '\(target)', the first hop"
            fix = "pqvpn ping \(target); see whether it runs, UDP reaches it, and it has this node pinned"
        case .refused(.refused):
            node = relay
            text = "'\(relay)' refuses to go on to '\(target)'"
            fix =
                "at '\(relay)': relay.enabled: true, pqvpn peers add with the identity.pub of '\(target)', and its address as the "
                + "endpoint of a peer"
        case .refused(.busy):
            node = relay
            text = "'\(relay)' has no room for another circuit"
            fix = "wait, name another relay, or raise relay.max_circuits at '\(relay)'"
        case .refused(.unreachable):
            node = relay
            text = "'\(relay)' does not reach '\(target)'"
            fix =
                "see whether '\(target)' runs, UDP reaches it from '\(relay)', and each of the two has the other pinned"
        case .noAnswer:
            node = relay
            text = "'\(relay)' does not answer: it is gone, or what is before it"
            fix = "pqvpn trace; name another relay if it stays away"
        case .handshake:
            node = target
            text = "'\(target)' does not answer the handshake that comes through '\(relay)'"
            fix = "at '\(target)': relay.enabled: true, since it is met by a circuit; see whether it runs"
        case .lost:
            node = target
            text = "the session with '\(target)' is gone"
            fix = "it is built again; pqvpn trace shows how far the way goes"
        case .silent:
            node = nil
            text = "nothing comes back from '\(target)' any more: a node on the way is gone"
            fix = "it is built again; pqvpn circuits shows whether that works and who refuses"
        case .ended(let end):
            node = relay
            text = "the way beyond '\(relay)' was ended there: \(Self.words(end))"
            fix = "it is built again; see the log of '\(relay)' if it happens often"
        case .tooNarrow:
            node = relay
            text = "what '\(relay)' carries on to '\(target)' is too short for a handshake"
            fix = "name fewer hops, or see why the path between the two has an MTU so small"
        case .local:
            node = nil
            text = "no throwaway keys could be made for '\(target)', or it is not pinned any more"
            fix = "pqvpn peers list"
        }
    }

    private static func words(_ end: CircuitEnd) -> String {
        switch end {
        case .closed: "closed"
        case .idle: "nothing came for 90 s"
        case .lost: "it lost the session that carried it"
        case .misused: "its number was used for something else"
        }
    }

    private static func list(_ names: [String]) -> String { names.map { "'\($0)'" }.joined(separator: ", ") }
}

extension CircuitFailure {
    /// Stable, for programs and metrics.
    var code: String {
        switch self {
        case .noEntry: "no_entry"
        case .refused(let refusal): "\(refusal)"
        case .noAnswer: "no_answer"
        case .handshake: "handshake"
        case .lost: "lost"
        case .silent: "silent"
        case .ended: "ended"
        case .tooNarrow: "too_narrow"
        case .local: "local"
        }
    }
}

extension WantedCircuits.Failure {
    var code: String {
        switch self {
        case .refused(let refusal): refusal.rawValue
        case .failed(_, let failure): failure.code
        }
    }
}
