// SPDX-License-Identifier: Apache-2.0
// What is set on a network interface through rtnetlink. It knows nothing of what goes through it.

import CLinux
import Glibc
public import VPNCore

/// An interface of this host's network namespace.
public struct NetworkInterface: Hashable, Sendable {
    public let name: String
    public let index: Int32

    init(name: String) throws(EngineError) {
        // SAFETY: the string is valid and terminated for the call.
        let index = unsafe name.withCString { unsafe clinux_interface_index($0) }
        guard index > 0 else { throw EngineError(.system, errno: -index, "finding interface \(name)") }
        self.name = name
        self.index = index
    }

    /// Whether there is one of this name.
    public static func exists(_ name: String) -> Bool { (try? NetworkInterface(name: name)) != nil }

    /// The number of the one of this name; nil where there is none.
    public static func index(of name: String) -> UInt32? {
        (try? NetworkInterface(name: name)).map { UInt32($0.index) }
    }

    /// The name of the one of this number; nil where there is none.
    public static func name(of index: UInt32) -> String? {
        var name = [CChar](repeating: 0, count: Int(IF_NAMESIZE))
        // SAFETY: the kernel writes a terminated name of at most IF_NAMESIZE bytes.
        guard unsafe if_indextoname(index, &name) != nil else { return nil }
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// The one that has an address; nil where none has, or several do.
    public static func holder(of address: IPAddress) -> String? {
        var list: UnsafeMutablePointer<ifaddrs>?
        // SAFETY: getifaddrs fills `list`, which is freed below; nothing of it is kept.
        guard unsafe getifaddrs(&list) == 0 else { return nil }
        defer { unsafe freeifaddrs(list) }
        var names: Set<String> = []
        var next = unsafe list
        while let entry = unsafe next {
            // SAFETY: both strings and addresses are the list's, of the family that the address names.
            if let held = unsafe entry.pointee.ifa_addr, unsafe Self.bytes(of: held) == address.bytes {
                unsafe names.insert(String(cString: entry.pointee.ifa_name))
            }
            unsafe next = entry.pointee.ifa_next
        }
        return names.count == 1 ? names.first : nil
    }

    private static func bytes(of address: UnsafeMutablePointer<sockaddr>) -> [UInt8]? {
        let raw = UnsafeRawPointer(address)
        // SAFETY: a socket address of the family that sa_family names.
        switch Int32(unsafe address.pointee.sa_family) {
        case AF_INET:
            var v4 = unsafe raw.loadUnaligned(as: sockaddr_in.self).sin_addr
            return unsafe withUnsafeBytes(of: &v4) { unsafe [UInt8]($0) }
        case AF_INET6:
            var v6 = unsafe raw.loadUnaligned(as: sockaddr_in6.self).sin6_addr
            return unsafe withUnsafeBytes(of: &v6) { unsafe [UInt8]($0) }
        default: return nil
        }
    }

    /// Whether a name is one that the kernel takes and no pattern: 1 to 15 bytes, no '/', ':', '%', blanks or controls.
    public static func isValid(name: String) -> Bool {
        let bytes = Array(name.utf8)
        guard (1...15).contains(bytes.count), name != ".", name != ".." else { return false }
        return bytes.allSatisfy { $0 > 0x20 && $0 != 0x7F && !"/:%".utf8.contains($0) }
    }

    /// Sets the MTU and the addresses and brings the link up.
    func configure(mtu: Int, addresses: [InterfaceAddress]) throws(EngineError) {
        // No address may appear by itself: its neighbour discovery would fall into the tunnel. Without IPv6 there is
        // nothing to turn off.
        _ = clinux_link_without_autoconf(index)
        try check(clinux_link_set(index, UInt32(mtu), 0), .badMTU, "\(mtu)")
        for address in addresses { try addAddress(address) }
        try check(clinux_link_set(index, 0, 1), .system, "bringing up \(name)")
        for address in addresses { waitUntilLocal(address.address) }
    }

    /// Gives the interface one more address; one that it has is no error.
    public func addAddress(_ address: InterfaceAddress) throws(EngineError) {
        let bytes = address.address.bytes
        // SAFETY: 4 or 16 bytes as the family says, valid for the call.
        let result = unsafe bytes.withUnsafeBufferPointer {
            unsafe clinux_address_add(
                index, Int32(address.address.family.rawValue), $0.baseAddress!, Int32(address.length))
        }
        // With net.ipv6.conf.*.disable_ipv6 the kernel says EACCES.
        if address.address.family == .v6, [-EACCES, -EAFNOSUPPORT, -EOPNOTSUPP].contains(result) {
            throw EngineError(.ipv6Missing, errno: -result, "the interface address \(address)")
        }
        if result == -EEXIST { return }
        try check(result, .interfaceAddress, "\(address)")
    }

    /// Takes an address away; one that it has not is no error.
    public func removeAddress(_ address: InterfaceAddress) throws(EngineError) {
        let bytes = address.address.bytes
        // SAFETY: as above.
        let result = unsafe bytes.withUnsafeBufferPointer {
            unsafe clinux_address_remove(
                index, Int32(address.address.family.rawValue), $0.baseAddress!, Int32(address.length))
        }
        if result == -EADDRNOTAVAIL || result == -ENODEV { return }
        try check(result, .interfaceAddress, "\(address)")
    }

    /// The kernel makes an IPv6 address its own a moment after it took it; packets for it are lost until then. Gives up
    /// after a second: a tunnel that loses its first packets is better than none.
    private func waitUntilLocal(_ address: IPAddress) {
        for _ in 0..<1000 {
            if Self.isLocal(address) { return }
            usleep(1000)
        }
    }

    /// Whether this host answers to an address, of whichever interface. One question to the kernel, however many routes it has.
    public static func isLocal(_ address: IPAddress) -> Bool {
        // SAFETY: 4 or 16 bytes as the family says, valid for the call.
        unsafe address.bytes.withUnsafeBufferPointer {
            unsafe clinux_address_is_local(Int32(address.family.rawValue), $0.baseAddress!)
        } == 1
    }

    /// Deletes the interface; whoever has it open sees it vanish.
    func remove() throws(EngineError) { try check(clinux_link_delete(index), .system, "deleting \(name)") }

    /// Whether it is up; nil where there is none any more. Where somebody sets it down the kernel forgets its routes, and its
    /// addresses of IPv6.
    public var isUp: Bool? {
        let result = clinux_link_is_up(index)
        return result < 0 ? nil : result == 1
    }

    /// Makes a route that is missing; false where it, or another one to that network, is there.
    public func restoreRoute(_ prefix: IPPrefix, table: UInt32? = nil) -> Bool {
        unsafe withBytes(prefix) { unsafe clinux_route_add(index, table ?? 0, $0, $1, $2) } == 0
    }

    /// Routes a network into the interface, in the routing table of a number or, for nil, in the main one. One that an earlier run
    /// left there is as good as new.
    public func addRoute(_ prefix: IPPrefix, table: UInt32? = nil) throws(EngineError) {
        var result = unsafe withBytes(prefix) { unsafe clinux_route_add(index, table ?? 0, $0, $1, $2) }
        // By this interface alone: of others' the kernel says ESRCH.
        if result == -EEXIST,
            unsafe withBytes(prefix, { unsafe clinux_route_remove(index, table ?? 0, $0, $1, $2) }) == 0
        {
            result = unsafe withBytes(prefix) { unsafe clinux_route_add(index, table ?? 0, $0, $1, $2) }
        }
        if prefix.family == .v6, [-EACCES, -EAFNOSUPPORT, -EOPNOTSUPP].contains(result) {
            throw EngineError(.ipv6Missing, errno: -result, "the route to \(prefix)")
        }
        try check(result, result == -EEXIST ? .routeTaken : .route, "\(prefix)")
    }

    /// Removes a route; one that is gone already is no error.
    public func removeRoute(_ prefix: IPPrefix, table: UInt32? = nil) throws(EngineError) {
        let result = unsafe withBytes(prefix) { unsafe clinux_route_remove(index, table ?? 0, $0, $1, $2) }
        if result == -ESRCH || result == -ENODEV { return }
        try check(result, .route, "\(prefix)")
    }

    @unsafe
    private func withBytes(_ prefix: IPPrefix, _ body: (Int32, UnsafePointer<UInt8>, Int32) -> Int32) -> Int32 {
        let bytes = prefix.address.bytes
        // SAFETY: 4 or 16 bytes as the family says, valid for the call.
        return unsafe bytes.withUnsafeBufferPointer {
            unsafe body(Int32(prefix.family.rawValue), $0.baseAddress!, Int32(prefix.length))
        }
    }

    private func check(_ result: Int32, _ kind: EngineError.Kind, _ subject: String) throws(EngineError) {
        if result == 0 { return }
        if result == -EPERM { throw EngineError(.noNetAdmin, errno: EPERM, "configuring \(name)") }
        throw EngineError(kind, errno: -result, subject)
    }
}
