// SPDX-License-Identifier: Apache-2.0
// Why an engine could not be built, as a kind that a program can act on and a sentence that a person can.

import CLinux

/// A failure while interfaces and sockets were set up. Nothing is left behind when one is thrown.
public struct EngineError: Error, Equatable, Sendable {
    public enum Kind: String, CaseIterable, Sendable {
        /// /dev/net/tun is not there, or the kernel has no TUN driver.
        case noTunDevice = "no_tun_device"
        /// /dev/net/tun may not be opened.
        case tunPermission = "tun_permission"
        /// CAP_NET_ADMIN is missing.
        case noNetAdmin = "no_net_admin"
        case badInterfaceName = "bad_interface_name"
        case interfaceNameTaken = "interface_name_taken"
        case badMTU = "bad_mtu"
        case interfaceAddress = "interface_address"
        case routeTaken = "route_taken"
        case route
        case addressInUse = "address_in_use"
        case addressNotAvailable = "address_not_available"
        /// The port needs a privilege.
        case portPermission = "port_permission"
        case ipv6Missing = "ipv6_missing"
        /// Any other system call.
        case system
    }

    public let kind: Kind
    /// The errno of the call that failed; 0 where none was made.
    public let errno: Int32
    /// What it was about: an interface, an address, a network or a call.
    public let subject: String

    init(_ kind: Kind, errno: Int32 = 0, _ subject: String) {
        self.kind = kind
        self.errno = errno
        self.subject = subject
    }
}

extension EngineError: CustomStringConvertible {
    /// One sentence that says what is wrong and what to do.
    public var description: String {
        let cause = errno == 0 ? "" : " (errno \(errno))"
        return sentence + cause
    }

    private var sentence: String {
        switch kind {
        case .noTunDevice:
            "/dev/net/tun is missing: load the 'tun' kernel module or give the container the device"
        case .tunPermission:
            "/dev/net/tun may not be opened: run as root or give this user access to the device"
        case .noNetAdmin:
            "\(subject) needs CAP_NET_ADMIN: run as root or grant the capability"
        case .badInterfaceName:
            "'\(subject)' is no interface name: 1 to 15 bytes without '/', ':', '%' or blanks"
        case .interfaceNameTaken:
            "an interface named '\(subject)' exists or is in use: choose another name or remove it"
        case .badMTU:
            "the kernel refuses the MTU \(subject)"
        case .interfaceAddress:
            "the kernel refuses the interface address \(subject): is it in use on another interface?"
        case .routeTaken:
            "there is a route to \(subject) already: remove it or change allowed_ips"
        case .route:
            "the kernel refuses a route to \(subject)"
        case .addressInUse:
            "UDP \(subject) is in use: stop the other program or choose another port"
        case .addressNotAvailable:
            "no interface of this host has the address of UDP \(subject)"
        case .portPermission:
            "UDP \(subject) may not be bound: ports below 1024 need CAP_NET_BIND_SERVICE"
        case .ipv6Missing:
            "\(subject) needs IPv6, which this host has not or has disabled"
        case .system:
            "\(subject) failed"
        }
    }
}
