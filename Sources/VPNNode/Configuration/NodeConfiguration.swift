// SPDX-License-Identifier: Apache-2.0
// A configuration that has been checked: every value of it can be used as it is. How it is read from a file is beside.
public import Logging
public import VPNCore
public import VPNCrypto

/// All that one run of a node is told.
public struct NodeConfiguration: Sendable {
    /// Where the node's own identity comes from.
    public enum IdentitySource: Sendable, Hashable {
        /// A fresh identity for this run; its secrets never reach a file.
        case temporary(directoryPrefix: String)
        /// A directory written by `pqvpn keygen`.
        case directory(String)
        /// Four key files.
        case files(KeyFilePaths)
    }

    public struct Security: Sendable, Hashable {
        public var trustsOnFirstUse: Bool
        public var isStrictOnFirstUse: Bool
        /// `strict_sig_verify`.
        public var requiresBothSignatures: Bool
        /// Empty: no restriction.
        public var allowlist: Set<PeerID>
        /// Absolute.
        public var knownPeersFile: String
        /// Absolute.
        public var revokedFile: String
        /// 0 = no limit.
        public var handshakesPerMinutePerAddress: Int

        public var policy: TrustPolicy {
            TrustPolicy(
                trustsOnFirstUse: trustsOnFirstUse, isStrict: isStrictOnFirstUse,
                requiresBothSignatures: requiresBothSignatures, allowlist: allowlist)
        }
    }

    public struct Network: Sendable, Hashable {
        /// "::" takes both families, and IPv4 alone on a host without IPv6.
        public var bindHost: IPAddress
        /// 0 = the kernel chooses.
        public var listenPort: UInt16
        public var maximumConcurrentDatagrams: Int
        /// Bytes.
        public var socketBufferSize: Int
        /// Nil = one for each core.
        public var workers: Int?
        /// Of the outer datagrams; nil = none.
        public var mark: UInt32?
    }

    public struct Tunnel: Sendable, Hashable {
        public var isEnabled: Bool
        public var interface: String
        public var addresses: [InterfaceAddress]
        /// Bytes of an inner packet; nil = auto.
        public var mtu: Int?
        public var carriesDSCP: Bool
        public var isLockedDown: Bool
        public var lan: LANAccess
        public var excludedRoutes: [IPPrefix]
        /// Where the routes go; nil = the main table. Not from the file: who makes the rules that lead there says so.
        public var table: UInt32?
    }

    /// `dns`.
    public struct Resolver: Sendable, Hashable {
        public var mode: ResolverMode
        /// Empty: the host's name servers stay.
        public var servers: [IPAddress]
        public var search: [String]
    }

    public struct Peer: Sendable, Hashable {
        public var name: String
        /// Nil only under TOFU, with an endpoint.
        public var peerID: PeerID?
        public var endpoint: EndpointName?
        public var allowedIPs: [IPPrefix]
        /// 0 = none.
        public var keepaliveSeconds: UInt16
        /// Absolute; nil = none.
        public var presharedKeyFile: String?
        /// Names of the peers on the way to it; empty = met directly.
        public var via: [String] = []
        /// It is asked for inner addresses.
        public var isExit = false
        /// More paths there than one; nil = one.
        public var quilt: Quilt?
        /// Where its entry begins in the file.
        public var mark: SourceMark
        /// The id of the invitation by which it came; nil for a peer of the file.
        public var invitation: String?
    }

    public struct Rekey: Sendable, Hashable {
        public var intervalSeconds: Int
        /// Less than the interval.
        public var thresholdSeconds: Int
        /// Of both directions of a session.
        public var bytes: Int
        public var packets: Int
    }

    public struct Control: Sendable, Hashable {
        public var isEnabled: Bool
        /// Absolute; nil = by the nickname, in the directory of control sockets.
        public var socket: String?
        public var group: String
    }

    public struct Invites: Sendable, Hashable {
        /// Absolute.
        public var file: String
        /// Where guests find this node.
        public var endpoint: EndpointName?
    }

    public struct Metrics: Sendable, Hashable {
        /// `metrics.prometheus`.
        public var isEnabled: Bool
        public var bindHost: IPAddress
        public var bindPort: UInt16
        /// Whether each peer has series of its own.
        public var isPerPeer: Bool
    }

    public struct Obfuscation: Sendable, Hashable {
        public var isEnabled: Bool
        /// Bytes of UDP payload, as the file has them.
        public var buckets: [Int]
        /// To each peer with a session; 0 = no cover traffic.
        public var coverBytesPerSecond: Int

        public var padding: PaddingPolicy { isEnabled ? .datagrams(buckets) : .none }
    }

    /// The file as it was named, for messages.
    public var file: String
    public var nickname: String
    public var identity: IdentitySource
    public var security: Security
    public var network: Network
    public var tunnel: Tunnel
    public var resolver: Resolver
    public var peers: [Peer]
    public var bootstrapPeers: [EndpointName]
    public var rekey: Rekey
    public var control: Control
    public var invites: Invites
    public var metrics: Metrics
    public var exit: Exit
    public var obfuscation: Obfuscation
    public var directory: Directory
    public var circuit: Circuit
    public var relay: Relay
    /// Absolute; nil = standard error.
    public var logFile: String?
    public var logLevel: Logger.Level
    public var logFileLimits: LogFileLimits
    /// Other nodes' addresses are not logged.
    public var scrubsAddresses: Bool
    /// Directory of the persistent identity, absolute, whether or not this run uses it.
    public var keyDirectory: String
    /// Absolute; nil = none.
    public var passphraseFile: String?
}

/// The files of the four private keys, absolute.
public struct KeyFilePaths: Sendable, Hashable {
    public var brainpool: String
    public var ed25519: String
    public var mldsa: String
    public var mlkem: String

    public init(brainpool: String, ed25519: String, mldsa: String, mlkem: String) {
        self.brainpool = brainpool
        self.ed25519 = ed25519
        self.mldsa = mldsa
        self.mlkem = mlkem
    }
}
