// SPDX-License-Identifier: Apache-2.0
// Standard error, or whatever else is open already and may be a pipe or a terminal whose reader has stopped reading: a node does not
// wait for that one. What it does not take is lost, and counted by LogSink.
internal import Glibc

struct LogPipe: ~Copyable, Sendable {
    private let file: OpenFile
    /// It was waited for in vain, and is not again until it takes something.
    private var isStalled = false
    /// A line was begun and not ended.
    private var isTorn = false

    /// Milliseconds for a reader that is slow, and reads.
    private static let patience: Int32 = 100
    /// A pipe that is ready takes so many bytes at once (pipe(7), PIPE_BUF), and a terminal.
    private static let piece = 4096

    init(_ file: consuming OpenFile) { self.file = file }

    /// Writes a line and its end; throws EAGAIN where nobody takes it.
    mutating func write(_ line: String) throws(SystemCallError) {
        var bytes = [UInt8]((line + "\n").utf8)
        if isTorn { bytes.insert(0x0A, at: 0) }
        for start in stride(from: 0, to: bytes.count, by: Self.piece) {
            guard isReady() else {
                if start > 0 { isTorn = true }
                throw SystemCallError(call: "write", path: file.path, errno: EAGAIN)
            }
            try file.write(Array(bytes[start..<min(start + Self.piece, bytes.count)]))
        }
        isTorn = false
    }

    private mutating func isReady() -> Bool {
        isStalled = !file.isWritable(within: isStalled ? 0 : Self.patience)
        return !isStalled
    }
}
