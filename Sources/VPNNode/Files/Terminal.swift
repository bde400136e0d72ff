// SPDX-License-Identifier: Apache-2.0
// The terminal of the person who runs a command, for questions whose answer must not show.
internal import Glibc
internal import VPNCrypto

struct Terminal: ~Copyable {
    private let file: OpenFile

    /// Nil where the process has no terminal.
    init?() {
        guard let file = try? OpenFile("/dev/tty", O_RDWR), isatty(file.descriptor) == 1 else { return nil }
        // Whoever waits for a person waits.
        _ = fcntl(file.descriptor, F_SETFL, 0)
        self.file = file
    }

    /// One line, typed without echo, into secret memory. ^C and ^D are taken as "no", after the echo was put back.
    borrowing func readSecret(prompt: String, limit: Int) throws -> Secret {
        var old = termios()
        // SAFETY: the kernel writes one struct termios into ours, here and reads it below.
        guard unsafe tcgetattr(file.descriptor, &old) == 0 else {
            throw SystemCallError(call: "tcgetattr", path: file.path, errno: Glibc.errno)
        }
        var quiet = old
        // Without signals, a ^C arrives as a byte that ends the line, so that nobody is left with a mute terminal.
        quiet.c_lflag &= ~tcflag_t(ECHO | ECHONL | ISIG)
        quiet.c_lflag |= tcflag_t(ICANON)
        quiet.c_cc.11 = Self.interrupt
        guard unsafe tcsetattr(file.descriptor, TCSAFLUSH, &quiet) == 0 else {
            throw SystemCallError(call: "tcsetattr", path: file.path, errno: Glibc.errno)
        }
        defer {
            unsafe tcsetattr(file.descriptor, TCSAFLUSH, &old)
            try? file.write([0x0A])
        }
        try file.write([UInt8](prompt.utf8))
        let descriptor = file.descriptor
        var used = 0
        let line = try Secret(count: limit + 1) { room in
            var isWhole = false
            while !isWhole {
                guard used < room.count else { throw NodeFailure(.usage, "that is longer than \(limit) bytes") }
                // SAFETY: `used` is inside the block, which is ours until the closure returns.
                let count = unsafe read(descriptor, room.baseAddress! + used, room.count - used)
                if count < 0 && Glibc.errno == EINTR { continue }
                guard count > 0 else { throw NodeFailure(.failure, "no passphrase was given: nothing was done") }
                used += count
                let last = unsafe room[used - 1]
                guard last != Self.interrupt else { throw NodeFailure(.failure, "interrupted: nothing was done") }
                isWhole = last == 0x0A
            }
        }
        return line.slice(0..<used - 1)
    }

    /// Asks for a y, typed with echo.
    borrowing func confirms(_ prompt: String) throws -> Bool {
        try file.write([UInt8](prompt.utf8))
        var answer: [UInt8] = []
        while answer.count < 16, answer.last != 0x0A {
            var byte: UInt8 = 0
            // SAFETY: the kernel writes one byte into ours.
            let count = unsafe read(file.descriptor, &byte, 1)
            if count < 0 && Glibc.errno == EINTR { continue }
            guard count == 1 else { return false }
            answer.append(byte)
        }
        return ["y", "yes"].contains(String(decoding: answer, as: UTF8.self).lowercased().filter(\.isLetter))
    }

    private static let interrupt: UInt8 = 3
}
