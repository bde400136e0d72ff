// SPDX-License-Identifier: Apache-2.0
// Which addresses of this host datagrams came to, by the small numbers that endpoints carry (Endpoint.source): who was called at one
// of several answers from that one, and not from the one that routes prefer, which a NAT or a filter in front of the caller refuses.

import CLinux
import VPNCore
import VPNLock

/// What all sockets of an engine know of this host's addresses.
final class LocalAddresses: Sendable {
    /// Further addresses get no number, and routes choose: a host may own a whole prefix, and others say which of it they call.
    static var limit: Int { 255 }
    /// All of 127.0.0.0/8 is this host's: one of its users could take the number of every other address with a datagram each.
    static var loopbackLimit: Int { 16 }
    /// So long routes choose where an address turned out to be none of this host's any more.
    static var rest: TimeSpan { .seconds(10) }

    private struct Table {
        var numbers: [IPAddress: UInt8] = [:]
        /// By number, from 1 on.
        var addresses: [(address: IPAddress, restsUntil: Instant)] = []
        /// Of them, those of the loopback interface.
        var loopbacks = 0
    }

    private let table = Guarded(Table())

    /// The number of an address that something came to; 0 where routes are to choose.
    func number(of address: IPAddress, now: Instant) -> UInt8 {
        table.withLock { table in
            if let number = table.numbers[address] {
                return now < table.addresses[Int(number) - 1].restsUntil ? 0 : number
            }
            guard table.addresses.count < LocalAddresses.limit, address.isOfOneHost else { return 0 }
            if address.isLoopback {
                guard table.loopbacks < LocalAddresses.loopbackLimit else { return 0 }
                table.loopbacks += 1
            }
            table.addresses.append((address, .origin))
            let number = UInt8(table.addresses.count)
            table.numbers[address] = number
            return number
        }
    }

    /// The address behind a number; nil where routes are to choose.
    func address(_ number: UInt8, now: Instant) -> IPAddress? {
        table.withLock { table in
            guard number > 0, Int(number) <= table.addresses.count else { return nil }
            let found = table.addresses[Int(number) - 1]
            return now < found.restsUntil ? nil : found.address
        }
    }

    /// What could not be sent from there went without it.
    func rest(_ number: UInt8, now: Instant) {
        table.withLock { table in
            guard number > 0, Int(number) <= table.addresses.count else { return }
            table.addresses[Int(number) - 1].restsUntil = now + LocalAddresses.rest
        }
    }
}

/// The address that is met most, so that the lock is seldom taken.
struct LocalAddressCache {
    private let addresses: LocalAddresses
    private var arrived: (address: IPAddress, number: UInt8, until: Instant)?
    private var left: clinux_local?

    init(_ addresses: LocalAddresses) { self.addresses = addresses }

    /// Where a datagram came from, and which address it came to.
    @inline(__always)
    mutating func endpoint(_ address: clinux_address, at local: clinux_local, now: Instant) -> Endpoint {
        var endpoint = Endpoint(address)
        // A link-local one is spoken to by its interface.
        guard local.is_told != 0, address.scope == 0 else { return endpoint }
        endpoint.source = number(of: local.address, now)
        return endpoint
    }

    @inline(__always)
    private mutating func number(of address: IPAddress, _ now: Instant) -> UInt8 {
        if let arrived, arrived.address == address, now < arrived.until { return arrived.number }
        let number = addresses.number(of: address, now: now)
        // Long enough to spare the lock, short enough to hear that it rests.
        arrived = (address, number, now + .seconds(1))
        return number
    }

    /// What a datagram leaves from; told nothing where routes are to choose.
    @inline(__always)
    mutating func local(_ number: UInt8) -> clinux_local {
        guard number != 0 else { return clinux_local() }
        if let left, left.number == number { return left }
        guard let address = addresses.address(number, now: MonotonicClock.now) else { return clinux_local() }
        let found = clinux_local(address, number: number)
        left = found
        return found
    }

    mutating func rest(_ number: UInt8) {
        left = nil
        addresses.rest(number, now: MonotonicClock.now)
    }
}

extension IPAddress {
    fileprivate var isLoopback: Bool { family == .v4 ? value >> 24 == 127 : value == 1 }

    /// Whether something can be sent from it: neither no address, nor one of many hosts.
    fileprivate var isOfOneHost: Bool {
        switch family {
        case .v4: value != 0 && value >> 28 != 0xE && value != 0xFFFF_FFFF
        case .v6: value != 0 && value >> 120 != 0xFF
        }
    }
}

extension clinux_local {
    init(_ address: IPAddress, number: UInt8) {
        self.init(bytes: clinux_address(Endpoint(address, port: 0)).bytes, number: number, is_told: 1)
    }

    var address: IPAddress {
        var full = clinux_address()
        full.bytes = bytes
        return Endpoint(full).address
    }
}
