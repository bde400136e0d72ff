// SPDX-License-Identifier: Apache-2.0
// A TUN interface's descriptor: one inner IP packet a read and a write, or with offloads one of up to 64 KiB that stands
// for many, never waiting. The interface lives as long as this value does.

import CLinux
import Glibc

/// The packet side of a TUN interface.
struct TunDevice: ~Copyable, Sendable {
    private let descriptor: FileDescriptor
    /// Which of `.tunnelTCP` and `.tunnelUDP` the kernel granted.
    let offloads: Offloads
    /// Whether `queue` may add descriptors.
    let hasQueues: Bool

    /// Whether an `OffloadHeader` goes before every packet.
    var hasHeaders: Bool { !offloads.isEmpty }

    /// Creates the interface.
    ///
    /// - Parameters:
    ///   - offloads: what to ask for; what the kernel lacks is left out.
    ///   - wantsQueues: whether to ask for an interface to which `queue` can add. One that somebody made beforehand has
    ///     one descriptor.
    static func open(name: String, offloads: Offloads = .all, wantsQueues: Bool = false) throws(EngineError)
        -> TunDevice
    {
        guard wantsQueues else { return try open(name: name, offloads: offloads, flags: 0) }
        do {
            // New: an attach to another daemon's interface would share its packets.
            return try open(name: name, offloads: offloads, flags: CLINUX_TUN_QUEUES | CLINUX_TUN_NEW)
        } catch  where error.kind == .interfaceNameTaken {
            return try open(name: name, offloads: offloads, flags: 0)
        }
    }

    private static func open(name: String, offloads: Offloads, flags: UInt32) throws(EngineError) -> TunDevice {
        let wanted = offloads.intersection([.tunnelTCP, .tunnelUDP])
        // UDP alone is not offered by any kernel.
        guard wanted.contains(.tunnelTCP) else { return try create(name: name, offloads: [], flags: flags) }
        let device = try create(name: name, offloads: .tunnelTCP, flags: flags)
        if wanted.contains(.tunnelUDP), clinux_tun_offload(device.raw, 1) == 0 {
            let hasQueues = device.hasQueues
            return TunDevice(owning: device.release(), offloads: wanted, hasQueues: hasQueues)
        }
        if clinux_tun_offload(device.raw, 0) == 0 { return device }
        _ = consume device
        return try create(name: name, offloads: [], flags: flags)
    }

    /// One more descriptor of this interface, whose name is given. Offloads are the interface's; the header before packets is
    /// each descriptor's own.
    func queue(name: String) throws(EngineError) -> TunDevice {
        try TunDevice.create(name: name, offloads: offloads, flags: CLINUX_TUN_QUEUES)
    }

    private static func create(name: String, offloads: Offloads, flags: UInt32) throws(EngineError) -> TunDevice {
        guard NetworkInterface.isValid(name: name) else { throw EngineError(.badInterfaceName, name) }
        let raw = clinux_tun_device()
        switch -raw {
        case ENOENT, ENODEV, ENXIO: throw EngineError(.noTunDevice, errno: -raw, "/dev/net/tun")
        case EACCES, EPERM: throw EngineError(.tunPermission, errno: -raw, "/dev/net/tun")
        default: break
        }
        let descriptor = try FileDescriptor(raw, "opening /dev/net/tun")
        let all = flags | (offloads.isEmpty ? 0 : CLINUX_TUN_HEADERS)
        // SAFETY: the string is valid and terminated for the call.
        let result = unsafe name.withCString { unsafe clinux_tun_attach(raw, $0, all) }
        switch -result {
        case 0:
            return TunDevice(owning: descriptor, offloads: offloads, hasQueues: flags & CLINUX_TUN_QUEUES != 0)
        case EPERM: throw EngineError(.noNetAdmin, errno: EPERM, "creating interface \(name)")
        // EINVAL: the name is of an interface that is no TUN.
        case EBUSY, EINVAL, EEXIST: throw EngineError(.interfaceNameTaken, errno: -result, name)
        default: throw EngineError(.system, errno: -result, "creating interface \(name)")
        }
    }

    /// Takes any descriptor that moves one packet a call; tests give a socket pair.
    init(owning descriptor: consuming FileDescriptor, offloads: Offloads = [], hasQueues: Bool = false) {
        self.descriptor = descriptor
        self.offloads = offloads
        self.hasQueues = hasQueues
    }

    private consuming func release() -> FileDescriptor { descriptor }

    /// No interface at all: what a relay has.
    static var absent: TunDevice { TunDevice(owning: FileDescriptor(owning: -1)) }

    var exists: Bool { descriptor.raw >= 0 }
    var raw: Int32 { descriptor.raw }

    /// Reads one packet, behind its header if there are headers; bytes or −errno (−EAGAIN: none is there).
    ///
    /// - Parameter room: where it goes; a longer packet is cut off, which its own length field then shows.
    @inline(__always)
    func read(_ room: UnsafeMutableBufferPointer<UInt8>) -> Int {
        // SAFETY: the kernel writes at most `room.count` bytes.
        unsafe clinux_read(descriptor.raw, room.baseAddress!, UInt(room.count))
    }

    /// Writes one packet, with its header if there are headers, in pieces; its length or −errno.
    @inline(__always)
    func write(_ pieces: UnsafePointer<clinux_piece>, _ count: Int) -> Int {
        // SAFETY: the kernel reads each piece's length of bytes, which the caller guarantees.
        unsafe clinux_write_pieces(descriptor.raw, pieces, Int32(count))
    }

    /// Whether an error of `read` or `write` means that the interface is gone for good.
    static func isGone(_ error: Int) -> Bool {
        [-Int(EBADFD), -Int(ENODEV), -Int(EBADF), -Int(ENXIO)].contains(error)
    }
}
