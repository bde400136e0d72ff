// SPDX-License-Identifier: Apache-2.0
// Guests as peers: whoever came by an invitation is one like those of the configuration file, which goes before wherever the two
// contradict each other.
internal import VPNCore
internal import VPNCrypto

extension ConfigurationDocument {
    /// Adds the guests of invites.file to the list of peers. A file that this user may not read is a warning: those who only
    /// want to look need not be root.
    mutating func addGuests(_ path: String) {
        let document: InvitationDocument
        do { document = try InvitationStore.read(path) } catch {
            let failure = NodeFailure(error)
            let mark = values["invites.file"]?.mark ?? SourceMark(line: 1, column: 1)
            return report(
                .refused, "invites.file", at: mark, "\(failure.message): its guests are left out",
                severity: failure.status == .permission ? .warning : .error)
        }
        let mark = values["invites.file"]?.mark ?? SourceMark(line: 1, column: 1)
        for guest in document.guests where !isTaken(guest) {
            append(
                peer: [
                    "name": .text(guest.name), "peer_id": .text(guest.peerID.hex),
                    "allowed_ips": .list(guest.allowedIPs.map { .text("\($0)") }),
                    "invitation": .text("\(InvitationID(guest.invitation))"),
                ], at: mark)
        }
    }

    private func isTaken(_ guest: GuestRecord) -> Bool {
        let networks = Set(guest.allowedIPs.map { "\($0)" })
        return (0..<count(of: "peers")).contains { number in
            let path = "peers[\(number)]"
            if effective("\(path).name").text == guest.name { return true }
            if effective("\(path).peer_id").text?.lowercased() == guest.peerID.hex { return true }
            guard case .list(let list) = effective("\(path).allowed_ips") else { return false }
            let prefixes = list.compactMap(\.text).compactMap { try? IPPrefix($0) }
            return prefixes.contains { networks.contains("\($0)") }
        }
    }
}

extension NodeConfiguration.Peer {
    init(_ guest: GuestRecord) {
        self.init(
            name: guest.name, peerID: guest.peerID, endpoint: nil, allowedIPs: guest.allowedIPs, keepaliveSeconds: 0,
            presharedKeyFile: nil, mark: SourceMark(line: 1, column: 1), invitation: "\(InvitationID(guest.invitation))"
        )
    }
}

extension NodeConfiguration {
    /// A guest is a peer as long as it is pinned: whose pin the operator removed, or whose pin a crash kept from being written,
    /// is none. The latter comes again with its invitation.
    mutating func dropUnpinnedGuests(_ pins: [PinnedPeer]) {
        let known = Set(pins.map(\.peerID))
        peers.removeAll { peer in peer.invitation != nil && peer.peerID.map { !known.contains($0) } ?? true }
    }

    /// Guests who came since the file was read.
    mutating func addGuests(_ guests: [GuestRecord], pins: [PinnedPeer]) -> [Peer] {
        let known = Set(pins.map(\.peerID))
        var added: [Peer] = []
        for guest in guests.map(Peer.init) {
            guard let id = guest.peerID, known.contains(id), !hasRoomTaken(guest) else { continue }
            peers.append(guest)
            added.append(guest)
        }
        return added
    }

    private func hasRoomTaken(_ guest: Peer) -> Bool {
        peers.contains { peer in
            peer.name == guest.name || peer.peerID == guest.peerID
                || peer.allowedIPs.contains { guest.allowedIPs.contains($0) }
        }
    }
}
