// SPDX-License-Identifier: Apache-2.0
// Datagrams on their way to the socket: a batch of buffers, and how they go together as trains. It seals nothing and
// knows no peers. What the kernel refuses as a train goes as single datagrams, and trains end for good where it refuses
// them as such.

import CLinux
import Glibc
import VPNCore

/// The batch that a worker fills and sends.
@safe
struct Outbox: ~Copyable {
    let pool: BufferPool
    private let trains: UnsafeMutablePointer<clinux_train>
    /// Datagrams and trains that wait; of the trains, those before `sent` are gone.
    private(set) var filled = 0
    private var queued = 0
    private var sent = 0

    /// The last train may grow: it is not sent, and has no shorter datagram at its end.
    private var isOpen = false
    private var openEndpoint = Endpoint(high: 0, low: 0, port: 0)
    private var openSegment = 0
    private var openBytes = 0
    private var openClass: UInt8 = 0
    /// Some of what waits lies in memory of others.
    private var hasBorrowed = false

    private var sendsTrains: Bool
    /// Trains refused since the last that went.
    private var refusals = 0
    /// The error of a train that was refused and is on its way in single datagrams: EINVAL and EMSGSIZE also stand for datagrams
    /// that are too long for the device, which is no reason to give up trains. Whether a single one goes tells which it was.
    private var suspicion: Int32 = 0
    /// So many trains in a row of which the datagrams went one by one end trains for good.
    private static var patience: Int { 16 }

    private var addresses: LocalAddressCache
    /// The address that the train at `sent` could not leave from: it is on its way from the one that routes say.
    private var left: UInt8?

    /// Since `takeCounts`.
    private var counts = Counts()

    struct Counts {
        var datagrams = 0
        var bytes = 0
        /// Not 0 if trains ended: the errno.
        var trainsLost: Int32 = 0
    }

    enum Outcome {
        case sent
        /// The kernel's send buffer is full.
        case blocked
    }

    init(packet: Int, sendsTrains: Bool, addresses: LocalAddresses = LocalAddresses()) {
        pool = BufferPool(packet: packet)
        self.sendsTrains = sendsTrains
        self.addresses = LocalAddressCache(addresses)
        // SAFETY: owned by this value alone and freed in deinit; no train is read before it was written.
        unsafe trains = .allocate(capacity: BufferPool.largestCapacity)
        unsafe trains.initialize(repeating: clinux_train(), count: BufferPool.largestCapacity)
    }

    deinit { unsafe trains.deallocate() }

    var isFull: Bool { filled == BufferPool.largestCapacity }
    /// Bytes of one buffer.
    var size: Int { pool.size }

    /// The memory of the next free buffer, valid as long as this value. Only where not `isFull`.
    @unsafe
    var memory: UnsafeMutablePointer<UInt8> {
        @inline(__always) get { unsafe pool.memory(filled) }
    }

    /// Puts a datagram that lies in the next free buffer into the batch.
    @inline(__always)
    mutating func append(_ datagram: Range<Int>, to endpoint: Endpoint, trafficClass: UInt8 = 0) {
        precondition(datagram.lowerBound >= 0 && datagram.upperBound <= pool.size)
        // SAFETY: `datagram` lies within the buffer of this place, which `memory` checks.
        unsafe append(pool.memory(filled) + datagram.lowerBound, datagram.count, endpoint, trafficClass)
    }

    /// Whether a datagram of this length may be lent.
    func canBorrow(_ length: Int) -> Bool { Limits.headroom + length <= pool.size }

    /// Puts a datagram that lies elsewhere into the batch. Its bytes stay as they are until the next `transmit`, after which they
    /// are not needed: what the kernel did not take was copied.
    ///
    /// - Parameter length: such that `canBorrow`.
    @unsafe
    @inline(__always)
    mutating func borrow(
        _ base: UnsafeMutablePointer<UInt8>, _ length: Int, to endpoint: Endpoint, trafficClass: UInt8 = 0
    ) {
        precondition(canBorrow(length))
        hasBorrowed = true
        unsafe append(base, length, endpoint, trafficClass)
    }

    @unsafe
    @inline(__always)
    private mutating func append(
        _ base: UnsafeMutablePointer<UInt8>, _ length: Int, _ endpoint: Endpoint, _ trafficClass: UInt8
    ) {
        unsafe pool.datagrams[filled].base = unsafe base
        unsafe pool.datagrams[filled].length = UInt32(length)
        // Nothing can follow without bytes: the kernel divides by size.
        if isOpen, sendsTrains, length > 0, length <= openSegment, endpoint == openEndpoint, trafficClass == openClass,
            openBytes + length <= Limits.largestDatagram
        {
            // SAFETY: an open train is the one before `queued`.
            let count = unsafe trains[queued - 1].count + 1
            unsafe trains[queued - 1].count = count
            openBytes += length
            isOpen = length == openSegment && count < CLINUX_TRAIN
        } else {
            // The kernel takes addresses and class from a train's first datagram alone.
            unsafe pool.datagrams[filled].address = clinux_address(endpoint)
            unsafe pool.datagrams[filled].local = addresses.local(endpoint.source)
            unsafe pool.datagrams[filled].traffic_class = trafficClass
            // SAFETY: no more trains than datagrams, so `queued` is within the capacity.
            unsafe trains[queued] = clinux_train(first: UInt32(filled), count: 1)
            queued += 1
            (isOpen, openEndpoint, openSegment, openBytes) = (length > 0, endpoint, length, length)
            openClass = trafficClass
        }
        filled += 1
    }

    /// Sends what waits, as far as the kernel takes it.
    mutating func transmit(_ socket: borrowing UDPSocket, drops: DropCounters) -> Outcome {
        var mayRetry = true
        while sent < queued {
            // SAFETY: every waiting train covers datagrams of this pool.
            let result = unsafe socket.send(pool.datagrams, trains + sent, queued - sent)
            if result > 0 {
                if suspicion != 0 { noteRefusal() }
                if let number = left.take() { addresses.rest(number) }
                for train in sent..<sent + result { count(unsafe trains[train]) }
                sent += result
                continue
            }
            let error = Int32(-result)
            if error == EAGAIN {
                isOpen = false
                if hasBorrowed { keepBorrowed() }
                return .blocked
            }
            if error == EINTR { continue }
            // An error of an earlier datagram that an ICMP message reported; this one has not been tried.
            if error == ECONNREFUSED && mayRetry {
                drops.add(.sendRefused)
                mayRetry = false
                continue
            }
            mayRetry = true
            if isOfSource(error) { continue }
            let size = Int(unsafe trains[sent].count)
            if size > 1 && Outbox.mayBeOfTrains(error) {
                suspicion = error
                breakUp(sent)
                continue
            }
            suspicion = 0
            drops.add(Outbox.reason(ofSendError: error), size)
            sent += 1
        }
        (sent, queued, filled, isOpen, hasBorrowed) = (0, 0, 0, false, false)
        return .sent
    }

    /// Copies what waits and lies elsewhere into the buffers of its places: whoever lent it needs its memory again.
    mutating func keepBorrowed() {
        hasBorrowed = false
        for place in Int(unsafe trains[sent].first)..<filled {
            // SAFETY: a place below `filled`; what was lent fits behind the headroom, and lies outside of this buffer or is in it.
            let own = unsafe pool.memory(place)
            guard let base = unsafe pool.datagrams[place].base else { continue }
            if unsafe base >= own && base < own + pool.size { continue }
            unsafe (own + Limits.headroom).update(from: base, count: Int(pool.datagrams[place].length))
            unsafe pool.datagrams[place].base = unsafe own + Limits.headroom
        }
    }

    mutating func takeCounts() -> Counts {
        defer { counts = Counts() }
        return counts
    }

    private mutating func count(_ train: clinux_train) {
        counts.datagrams += Int(train.count)
        for place in Int(train.first)..<Int(train.first + train.count) {
            // SAFETY: a train covers datagrams of this pool.
            counts.bytes += Int(unsafe pool.datagrams[place].length)
        }
        if train.count > 1 { refusals = 0 }
    }

    /// Whether the train at `sent` is to be tried again, since it may be the address that it leaves from which was refused: this
    /// host may have it no more.
    private mutating func isOfSource(_ error: Int32) -> Bool {
        // SAFETY: a train covers datagrams of this pool.
        let first = Int(unsafe trains[sent].first)
        if left.take() != nil {
            unsafe pool.datagrams[first].local.is_told = 1
            return false
        }
        guard unsafe pool.datagrams[first].local.is_told != 0,
            [EINVAL, EADDRNOTAVAIL, ENETUNREACH, EHOSTUNREACH].contains(error)
        else { return false }
        unsafe pool.datagrams[first].local.is_told = 0
        left = unsafe pool.datagrams[first].local.number
        return true
    }

    // MARK: - Without trains

    /// Errors that single datagrams may not meet.
    private static func mayBeOfTrains(_ error: Int32) -> Bool {
        [EIO, EINVAL, EMSGSIZE, EOPNOTSUPP, ENOPROTOOPT].contains(error)
    }

    private mutating func noteRefusal() {
        let error = suspicion
        suspicion = 0
        refusals += 1
        // EIO: a device that cannot compute checksums, so that no train will ever leave by it.
        let isFinal = error != EINVAL && error != EMSGSIZE
        guard sendsTrains, isFinal || refusals >= Outbox.patience else { return }
        sendsTrains = false
        counts.trainsLost = error
    }

    /// Makes one train of each datagram of a train.
    private mutating func breakUp(_ place: Int) {
        // SAFETY: no more trains than datagrams, so that all stay within the capacity; from the end, so that none is
        // overwritten before it is moved.
        let train = unsafe trains[place]
        let more = Int(train.count) - 1
        for later in stride(from: queued - 1, to: place, by: -1) { unsafe trains[later + more] = unsafe trains[later] }
        // SAFETY: a train covers datagrams of this pool.
        let first = unsafe pool.datagrams[Int(train.first)]
        for offset in 0...more {
            unsafe pool.datagrams[Int(train.first) + offset].address = unsafe first.address
            unsafe pool.datagrams[Int(train.first) + offset].traffic_class = unsafe first.traffic_class
            unsafe pool.datagrams[Int(train.first) + offset].local = unsafe first.local
            unsafe trains[place + offset] = clinux_train(first: train.first + UInt32(offset), count: 1)
        }
        queued += more
        isOpen = false
    }

    private static func reason(ofSendError error: Int32) -> DropReason {
        switch error {
        case ECONNREFUSED: .sendRefused
        case EMSGSIZE: .sendTooLarge
        case ENETUNREACH, EHOSTUNREACH, ENETDOWN, EADDRNOTAVAIL, EAFNOSUPPORT, EINVAL: .sendUnreachable
        case EPERM, EACCES: .sendDenied
        case ENOBUFS, ENOMEM: .sendNoMemory
        default: .sendFailed
        }
    }
}
