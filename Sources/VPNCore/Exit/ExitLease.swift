// SPDX-License-Identifier: Apache-2.0
// What an exit gives a guest for the life of its association, and CONFIG of kind 1, which says it (§8), to the byte.

/// The inner addresses of an anonymous client, and what it should know of the exit.
public struct ExitLease: Hashable, Sendable {
    /// One of each family at most, and one of them at least.
    public var ipv4: IPAddress?
    public var ipv6: IPAddress?
    /// Name servers that the exit's policy lets be reached; up to four.
    public var servers: [IPAddress]
    /// The longest inner packet, in bytes, that the exit's tunnel carries.
    public var mtu: Int
    /// Whether the exit refuses nothing but what is private and mail; what else it refuses it does not say here.
    public var isAllowAll: Bool

    public init(ipv4: IPAddress?, ipv6: IPAddress?, servers: [IPAddress], mtu: Int, isAllowAll: Bool) {
        self.ipv4 = ipv4
        self.ipv6 = ipv6
        self.servers = servers
        self.mtu = mtu
        self.isAllowAll = isAllowAll
    }

    public var addresses: [IPAddress] { [ipv4, ipv6].compactMap { $0 } }

    /// The addresses as networks of their own.
    var prefixes: [IPPrefix] { addresses.map { IPPrefix(containing: $0, length: $0.family.bits) } }

    /// Whether a client may take this for its own: addresses that a host can have, and a length that carries them.
    var isSane: Bool {
        !addresses.isEmpty && addresses.allSatisfy(SpecialNetworks.isAssignable)
            && servers.allSatisfy(SpecialNetworks.isAssignable)
            && (ipv6 == nil ? Limits.smallestInnerMTU : Limits.smallestIPv6MTU)...Limits.largestPathMTU ~= mtu
    }
}

/// Why a guest has no lease.
public enum LeaseRefusal: String, Sendable, CaseIterable {
    /// The last hop is no exit.
    case noExit = "no_exit"
    /// It has no address left.
    case exhausted
    /// It said nothing for 8 s.
    case noAnswer = "no_answer"
    /// It said what no lease can be.
    case nonsense
}

/// `kind 1 (1) │ status 1 │ policy 1 │ reserved 1 │ MTU 2 │ count 1 │ servers 1 │ count × (family 1 │ length 1 │ address 4 or 16) │
/// servers × (family 1 │ address 4 or 16)`; refused: `kind 1 │ status 1` and nothing more.
enum ExitLeaseMessage: Equatable {
    case granted(ExitLease)
    case refused(LeaseRefusal)

    static var kind: UInt8 { 1 }
    /// The payload of the question.
    static let request: [UInt8] = [kind]

    private static func status(_ refusal: LeaseRefusal) -> UInt8 { refusal == .exhausted ? 2 : 1 }

    /// Nil for anything that is not exactly such a message.
    init?(_ payload: [UInt8]) {
        guard payload.count >= 2, payload[0] == ExitLeaseMessage.kind else { return nil }
        switch payload[1] {
        case 0: break
        case 1 where payload.count == 2:
            self = .refused(.noExit)
            return
        case 2 where payload.count == 2:
            self = .refused(.exhausted)
            return
        default: return nil
        }
        guard payload.count >= 8, payload[2] <= 1, payload[3] == 0, payload[7] <= Limits.leaseServers else {
            return nil
        }
        var lease = ExitLease(
            ipv4: nil, ipv6: nil, servers: [], mtu: Int(payload.u16(at: 4)), isAllowAll: payload[2] == 1)
        var rest = payload[8...]
        for _ in 0..<payload[6] {
            guard let family = ExitLeaseMessage.family(&rest), let length = rest.popFirst(), Int(length) == family.bits,
                let address = ExitLeaseMessage.address(family, &rest)
            else { return nil }
            switch family {
            case .v4:
                guard lease.ipv4 == nil else { return nil }
                lease.ipv4 = address
            case .v6:
                guard lease.ipv6 == nil else { return nil }
                lease.ipv6 = address
            }
        }
        for _ in 0..<payload[7] {
            guard let family = ExitLeaseMessage.family(&rest), let address = ExitLeaseMessage.address(family, &rest)
            else { return nil }
            lease.servers.append(address)
        }
        guard rest.isEmpty else { return nil }
        self = .granted(lease)
    }

    private static func family(_ rest: inout ArraySlice<UInt8>) -> IPAddress.Family? {
        rest.popFirst().flatMap { IPAddress.Family(rawValue: $0) }
    }

    private static func address(_ family: IPAddress.Family, _ rest: inout ArraySlice<UInt8>) -> IPAddress? {
        let bytes = Array(rest.prefix(family.bits / 8))
        rest = rest.dropFirst(bytes.count)
        guard let address = IPAddress(bytes: bytes), address.family == family else { return nil }
        return address
    }

    var encoded: [UInt8] {
        switch self {
        case .refused(let refusal): return [ExitLeaseMessage.kind, ExitLeaseMessage.status(refusal)]
        case .granted(let lease):
            precondition(lease.servers.count <= Limits.leaseServers, "more name servers than a lease has")
            var bytes: [UInt8] = [ExitLeaseMessage.kind, 0, lease.isAllowAll ? 1 : 0, 0]
            bytes.append(bigEndian: UInt16(clamping: lease.mtu))
            bytes += [UInt8(lease.addresses.count), UInt8(lease.servers.count)]
            for address in lease.addresses {
                bytes += [address.family.rawValue, UInt8(address.family.bits)] + address.bytes
            }
            for server in lease.servers { bytes += [server.family.rawValue] + server.bytes }
            return bytes
        }
    }
}
