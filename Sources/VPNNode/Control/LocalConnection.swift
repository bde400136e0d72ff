// SPDX-License-Identifier: Apache-2.0
// One connection of a local socket, as lines. Blocking, with a limit in time and size: whoever uses it has a thread for it.
internal import CLinux
internal import Glibc

struct LocalConnection: ~Copyable {
    /// Who is at the other end, by the kernel's word.
    struct Caller: Sendable, Equatable {
        let pid: Int32
        let uid: UInt32
        let gid: UInt32
    }

    let descriptor: Int32
    private let path: String
    private var rest: [UInt8] = []

    /// Connects to a node's socket, within the time too.
    init(path: String, seconds: Int32 = 30) throws(SystemCallError) {
        // SAFETY: a String argument is a terminated string for the length of the call.
        descriptor = unsafe clinux_local_connect(path, seconds)
        self.path = path
        if descriptor < 0 { throw SystemCallError(call: "connect", path: path, errno: -descriptor) }
    }

    /// Takes a descriptor that was accepted.
    init(accepted descriptor: Int32, path: String) {
        self.descriptor = descriptor
        self.path = path
    }

    /// Whose process listens there, or called.
    func other() throws(SystemCallError) -> Caller {
        var who = clinux_caller()
        // SAFETY: the kernel's word on the other end is written into ours.
        let status = unsafe clinux_local_other(descriptor, &who)
        if status < 0 { throw SystemCallError(call: "getsockopt", path: path, errno: -status) }
        return Caller(pid: who.pid, uid: who.uid, gid: who.gid)
    }

    /// The next line without its end; nil where the other end has closed. Throws where it is longer than `limit`, or late.
    mutating func readLine(limit: Int) throws(SystemCallError) -> [UInt8]? {
        while true {
            if let end = rest.firstIndex(of: 0x0A) {
                let line = Array(rest[..<end])
                rest.removeSubrange(...end)
                return line
            }
            guard rest.count <= limit else { throw SystemCallError(call: "read", path: path, errno: EMSGSIZE) }
            var buffer = [UInt8](repeating: 0, count: 65536)
            // SAFETY: at most the array's size is written into it.
            let count = unsafe clinux_read(descriptor, &buffer, UInt(buffer.count))
            if count == -Int(EINTR) { continue }
            if count < 0 { throw SystemCallError(call: "read", path: path, errno: Int32(-count)) }
            if count == 0 { return nil }
            rest += buffer[..<count]
        }
    }

    /// Sends a line and its end.
    func write(line: String) throws(SystemCallError) {
        let bytes = [UInt8]((line + "\n").utf8)
        // SAFETY: the array's bytes, no more.
        let status = unsafe clinux_local_send(descriptor, bytes, UInt(bytes.count))
        if status < 0 { throw SystemCallError(call: "send", path: path, errno: -status) }
    }

    deinit { clinux_close(descriptor) }
}
