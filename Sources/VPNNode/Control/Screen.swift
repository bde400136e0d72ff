// SPDX-License-Identifier: Apache-2.0
// A terminal as a screen: its size, whole pictures, single keys. Put back as it was when the screen goes, also by ^C.
internal import CLinux
internal import Glibc

public struct Screen: ~Copyable {
    private let old: termios
    public private(set) var size: (columns: Int, rows: Int) = (80, 24)

    /// Throws where standard input and output are no terminal.
    public init() throws {
        guard isatty(STDIN_FILENO) == 1, isatty(STDOUT_FILENO) == 1 else {
            throw NodeFailure(.usage, "this needs a terminal; for programs there is `pqvpn status --watch --json`")
        }
        var now = termios()
        // SAFETY: the kernel writes one struct termios into ours, and reads one below.
        guard unsafe tcgetattr(STDIN_FILENO, &now) == 0 else {
            throw NodeFailure(.failure, "this terminal cannot be used")
        }
        old = now
        // Keys come at once and unseen; ^C as a byte, so that the terminal is put back first.
        now.c_lflag &= ~tcflag_t(ICANON | ECHO | ISIG)
        unsafe tcsetattr(STDIN_FILENO, TCSANOW, &now)
        // The other screen, without a cursor.
        Self.write("\u{1B}[?1049h\u{1B}[?25l")
        measure()
    }

    deinit {
        Self.write("\u{1B}[?25h\u{1B}[?1049l")
        var back = old
        unsafe tcsetattr(STDIN_FILENO, TCSANOW, &back)
    }

    /// A whole picture.
    public mutating func show(_ lines: [String]) {
        measure()
        // Line by line over what is there: no flicker.
        Self.write("\u{1B}[H" + lines.map { $0 + "\u{1B}[K" }.joined(separator: "\r\n") + "\u{1B}[J")
    }

    /// Waits; true for q, ^C and ^D.
    public func isQuit(within seconds: Double) -> Bool {
        guard clinux_wait_readable(STDIN_FILENO, Int32(seconds * 1000)) > 0 else { return false }
        var byte: UInt8 = 0
        // SAFETY: one byte is written into ours.
        guard unsafe read(STDIN_FILENO, &byte, 1) == 1 else { return true }
        return [0x71, 0x51, 3, 4].contains(byte)
    }

    private mutating func measure() {
        var window = winsize()
        // SAFETY: the kernel writes one struct winsize into ours.
        guard unsafe ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &window) == 0, window.ws_col > 0, window.ws_row > 1 else {
            return
        }
        size = (Int(window.ws_col), Int(window.ws_row))
    }

    private static func write(_ text: String) {
        let bytes = [UInt8](text.utf8)
        // SAFETY: the array's bytes, no more.
        _ = unsafe Glibc.write(STDOUT_FILENO, bytes, bytes.count)
    }

    /// A text for standard output that takes the place of the one before, where that is a terminal.
    public static func repainting(_ text: String) -> String {
        isatty(STDOUT_FILENO) == 1 ? "\u{1B}[H\u{1B}[2J" + text : text + "\n"
    }

    /// So that whoever reads a pipe sees each piece at once.
    public static func flush() { fflush(nil) }
}
