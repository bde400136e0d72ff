// SPDX-License-Identifier: Apache-2.0
// A link as a QR code on the terminal, drawn by the program qrencode (libqrencode). The link goes to it through a pipe and the
// picture straight to standard output: neither is in a list of processes or in a file.
internal import Foundation
internal import Glibc

public struct QRCode: Sendable {
    private let program: String

    /// Throws where there is no qrencode, so that nobody makes an invitation that is not shown.
    ///
    /// - Parameter path: as PATH; nil = this process's.
    public init(path: String? = nil) throws {
        guard let program = HostTools(path: path, scratch: "/").find("qrencode") else {
            throw NodeFailure(
                .failure,
                "--qr needs the program qrencode: apt install qrencode, or leave out --qr; no invitation was made")
        }
        self.program = program
    }

    /// Draws; to be called when everything before it is flushed. The lowest level of redundancy makes the smallest picture, and
    /// a screen has no scratches.
    public func show(_ text: String) throws {
        let pipe = Pipe()
        // A pipe holds 64 KiB, and a link has about 120 bytes: this waits for nobody.
        try pipe.fileHandleForWriting.write(contentsOf: Data(text.utf8))
        try pipe.fileHandleForWriting.close()
        let form = isatty(STDOUT_FILENO) == 1 ? "ANSIUTF8" : "UTF8"
        var child = try ChildProcess(
            program, ["--type", form, "--level", "L", "--margin", "2", "--output", "-"],
            environment: ["LC_ALL": "C"], inputDescriptor: pipe.fileHandleForReading.fileDescriptor)
        while child.poll() == nil { usleep(1000) }
        guard child.poll() == 0 else {
            throw NodeFailure(
                .failure, "qrencode ended with status \(child.poll() ?? 255): the link above is good all the same")
        }
    }
}
