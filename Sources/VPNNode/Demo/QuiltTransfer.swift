// SPDX-License-Identifier: Apache-2.0
// One TCP stream through the tunnel whose receiver tells when what came, how long nothing did, and the SHA-256 of all: two small programs of
// Python's, started on the hosts.
internal import Foundation
internal import VPNCore

struct QuiltTransfer {
    let receiver: DemoProcess
    let sender: DemoProcess
    static let port = 7007

    static let receiving = """
        hashlib, socket, sys, time = map(__import__, ("hashlib", "socket", "sys", "time"))
        def tell(text): sys.stdout.write(text + "\\n"), sys.stdout.flush()
        def now(): return time.clock_gettime(time.CLOCK_BOOTTIME)
        place = socket.create_server((sys.argv[1], int(sys.argv[2])))
        tell("listening")
        stream, _ = place.accept()
        digest, total, last, shown = hashlib.sha256(), 0, None, 0
        while True:
            block = stream.recv(262144)
            if not block: break
            time_of_it = now()
            if last and time_of_it - last > 0.05: tell("pause %.6f %.6f" % (last, time_of_it))
            last = time_of_it
            total += len(block)
            digest.update(block)
            if last - shown >= 0.05:
                tell("at %.6f %d" % (last, total))
                shown = last
        tell("whole %d %s" % (total, digest.hexdigest()))
        """
    /// Each block is unlike all others, so that one in another's place is found.
    static let sending = """
        hashlib, os, socket, sys, time = map(__import__, ("hashlib", "os", "socket", "sys", "time"))
        stream = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10)
        stream.settimeout(None)
        end, number, digest, total, noise = time.monotonic() + float(sys.argv[3]), 0, hashlib.sha256(), 0, os.urandom(65536)
        while time.monotonic() < end:
            number += 1
            block = number.to_bytes(8, "big") + noise[8:]
            stream.sendall(block)
            total += len(block)
            digest.update(block)
        stream.shutdown(socket.SHUT_WR)
        sys.stdout.write("whole %d %s" % (total, digest.hexdigest()) + "\\n")
        """

    /// What a receiver or a sender has said so far. Times are in seconds of CLOCK_BOOTTIME.
    struct Words: Equatable {
        var looks: [Look] = []
        var pauses: [Pause] = []
        /// Bytes and their digest, at the end.
        var whole: String?

        struct Look: Equatable {
            let time: Double
            let bytes: Double
        }
        struct Pause: Equatable {
            let from: Double
            let to: Double
        }

        /// A line that is not finished yet, or is none of theirs, is left out.
        init(_ text: String) {
            for line in text.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
                let words = line.split(separator: " ")
                guard words.count == 3 else { continue }
                switch (words[0], Double(words[1]), Double(words[2])) {
                case ("at", let time?, let bytes?): looks.append(Look(time: time, bytes: bytes))
                case ("pause", let from?, let to?): pauses.append(Pause(from: from, to: to))
                case ("whole", _?, _): whole = words[1] + " " + words[2]
                default: break
                }
            }
        }

        /// The longest time without a byte that touches this one.
        func longestPause(_ from: Double, _ to: Double) -> Double {
            pauses.filter { $0.to > from && $0.from < to }.map { $0.to - $0.from }.max() ?? 0
        }
    }

    var heard: Words { Words(receiver.output) }

    /// Both ends have the same count and digest.
    var isWhole: Bool { heard.whole != nil && heard.whole == Words(sender.output).whole }
}
