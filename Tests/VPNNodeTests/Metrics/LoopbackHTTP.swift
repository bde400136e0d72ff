// SPDX-License-Identifier: Apache-2.0
// The plainest client of a server on the loopback interface: bytes out, bytes in. For servers in other processes only, as it
// blocks.
import Foundation
import Glibc

final class LoopbackConnection {
    let descriptor: Int32

    /// Nil where nobody listens.
    init?(port: UInt16) {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var patience = timeval(tv_sec: 60, tv_usec: 0)
        // SAFETY: both structures live for the length of their calls, which get their sizes.
        unsafe setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        let status = unsafe withUnsafePointer(to: &address) {
            unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                unsafe connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        if status != 0 { return nil }
    }

    deinit { close(descriptor) }

    /// False where the other end has closed already.
    @discardableResult
    func send(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        // SAFETY: the array lives for the length of the call, which gets its size.
        return unsafe bytes.withUnsafeBytes {
            unsafe Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) == $0.count
        }
    }

    /// Everything until the other end closes.
    func receive() -> String {
        var all: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            // SAFETY: as above.
            let count = unsafe recv(descriptor, &buffer, buffer.count, 0)
            if count <= 0 { break }
            all += buffer[..<count]
        }
        return String(decoding: all, as: UTF8.self)
    }
}

enum LoopbackHTTP {
    struct Answer {
        let status: Int
        let head: String
        let body: String
    }

    /// One request on a connection of its own; nil where there is no answer.
    static func ask(
        _ port: UInt16, _ path: String, method: String = "GET", headers: String = "", body: String = ""
    ) -> Answer? {
        guard let connection = LoopbackConnection(port: port) else { return nil }
        connection.send("\(method) \(path) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\(headers)\r\n\(body)")
        return answer(connection.receive())
    }

    static func answer(_ text: String) -> Answer? {
        guard let end = text.range(of: "\r\n\r\n") else { return nil }
        let head = String(text[..<end.lowerBound])
        guard let status = head.split(separator: " ").dropFirst().first.flatMap({ Int($0) }) else { return nil }
        return Answer(status: status, head: head.lowercased(), body: String(text[end.upperBound...]))
    }
}
