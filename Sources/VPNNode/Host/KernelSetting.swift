// SPDX-License-Identifier: Apache-2.0
// One file of /proc/sys: a line, read and written as a whole.
internal import Glibc

enum KernelSetting {
    static func read(_ path: String) throws -> String {
        let bytes = try OpenFile(path, O_RDONLY).read(limit: 4096)
        return String(decoding: bytes, as: UTF8.self).filter { $0 != "\n" }
    }

    static func write(_ path: String, _ value: String) throws {
        try OpenFile(path, O_WRONLY).write([UInt8]("\(value)\n".utf8))
    }
}
