// SPDX-License-Identifier: Apache-2.0
// Where to call a peer, as the operator wrote it: an address or a name, and a port. Names are resolved later and again,
// so this is not an Endpoint.
public import VPNCore

/// "192.0.2.1:9000", "[2001:db8::1]:9000" or "vpn.example.org:9000".
public struct EndpointName: Hashable, Sendable, CustomStringConvertible {
    public enum Host: Hashable, Sendable {
        case address(IPAddress)
        /// A DNS name.
        case name(String)
    }

    public let host: Host
    /// 1…65535.
    public let port: UInt16

    public init(host: Host, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// Parses one of the three forms. The error is a sentence.
    public init(_ text: String) throws(EndpointNameError) {
        guard let colon = text.lastIndex(of: ":") else {
            throw EndpointNameError("'\(text)' has no port: write host:port")
        }
        var host = String(text[..<colon])
        if host.hasPrefix("["), host.hasSuffix("]") {
            host = String(host.dropFirst().dropLast())
            guard let address = IPAddress(host), address.family == .v6 else {
                throw EndpointNameError("'\(host)' in brackets is not an IPv6 address")
            }
            self.host = .address(address)
        } else {
            guard !host.contains(":") else {
                throw EndpointNameError("'\(text)': write an IPv6 address in brackets, [2001:db8::1]:9000")
            }
            self.host = try Self.host(host)
        }
        guard let port = Self.port(text[text.index(after: colon)...]) else {
            throw EndpointNameError("'\(text)' has no port in 1…65535")
        }
        self.port = port
    }

    /// An address without brackets, or a name.
    static func host(_ text: String) throws(EndpointNameError) -> Host {
        if let address = IPAddress(text) { return .address(address) }
        // RFC 1123 §2.1; a name whose last label is numeric would be a misspelt IPv4 address.
        let labels = text.split(separator: ".", omittingEmptySubsequences: false)
        let isName = (1...253).contains(text.utf8.count) && labels.allSatisfy(isLabel)
        guard isName, let last = labels.last, !last.allSatisfy(\.isNumber) else {
            throw EndpointNameError("'\(text)' is neither an IP address nor a host name")
        }
        return .name(text)
    }

    private static func isLabel(_ label: Substring) -> Bool {
        (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
            && label.utf8.allSatisfy { byte in
                switch byte {
                case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                    UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
                    true
                default: false
                }
            }
    }

    private static func port(_ text: Substring) -> UInt16? {
        guard (1...5).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let port = UInt16(text), port > 0
        else { return nil }
        return port
    }

    public var description: String {
        switch host {
        case .address(let address): address.family == .v6 ? "[\(address)]:\(port)" : "\(address):\(port)"
        case .name(let name): "\(name):\(port)"
        }
    }

    /// The endpoint, where no name must be looked up.
    public var literal: Endpoint? {
        guard case .address(let address) = host else { return nil }
        return Endpoint(address, port: port)
    }
}

/// Why a text is no endpoint, as a sentence.
public struct EndpointNameError: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String

    init(_ description: String) { self.description = description }
}
