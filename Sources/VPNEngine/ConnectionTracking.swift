// SPDX-License-Identifier: Apache-2.0
// What the kernel remembers of connections that it forwards, and that it shall forget some. How that is said: ConnectionMessage.

import CLinux
import Glibc
public import VPNCore

public enum ConnectionTracking {
    private static let subject = "asking the kernel for its connections (nf_conntrack_netlink)"
    /// For one answer, in seconds.
    private static let patience: Int32 = 5
    /// For all of them.
    private static let limit = TimeSpan.seconds(20)

    /// Ends all that the kernel knows of connections from these addresses, whoever began them; says how many there were. It takes
    /// CAP_NET_ADMIN, and as long as it takes to read the whole table: not for a thread that others wait for.
    @discardableResult
    public static func forget(from isMeant: (IPAddress) -> Bool) throws(EngineError) -> Int {
        let reader = try FileDescriptor(clinux_netfilter_open(patience), subject)
        let writer = try FileDescriptor(clinux_netfilter_open(patience), subject)
        let start = MonotonicClock.now
        var (count, buffer) = (0, [UInt8](repeating: 0, count: 1 << 16))
        try send(ConnectionMessage.question, reader)
        while true {
            for message in try receive(&buffer, reader) {
                switch message {
                case .connection(let connection):
                    guard connection.isFrom(isMeant) else { continue }
                    try send(ConnectionMessage.deletion(of: connection), writer)
                    try settle(&buffer, writer)
                    count += 1
                case .end(let code):
                    guard code == 0 else { throw EngineError(.system, errno: -code, subject) }
                    return count
                case .other: break
                }
            }
            guard MonotonicClock.now.since(start) < limit else {
                throw EngineError(.system, errno: ETIMEDOUT, subject)
            }
        }
    }

    private static func settle(_ buffer: inout [UInt8], _ socket: borrowing FileDescriptor) throws(EngineError) {
        for message in try receive(&buffer, socket) {
            // Whatever has ended by itself meanwhile is gone as well.
            if case .end(let code) = message, code != 0, code != -ENOENT {
                throw EngineError(.system, errno: -code, subject)
            }
        }
    }

    private static func send(_ bytes: [UInt8], _ socket: borrowing FileDescriptor) throws(EngineError) {
        // SAFETY: the array's bytes, no more.
        let status = unsafe clinux_local_send(socket.raw, bytes, UInt(bytes.count))
        guard status == 0 else { throw EngineError(.system, errno: -status, subject) }
    }

    private static func receive(
        _ buffer: inout [UInt8], _ socket: borrowing FileDescriptor
    ) throws(EngineError) -> [ConnectionMessage] {
        while true {
            // SAFETY: at most the array's size is written into it.
            let count = unsafe clinux_read(socket.raw, &buffer, UInt(buffer.count))
            if count == -Int(EINTR) { continue }
            guard count > 0 else { throw EngineError(.system, errno: Int32(-count), subject) }
            return ConnectionMessage.all(in: buffer[..<count])
        }
    }
}
