// SPDX-License-Identifier: Apache-2.0
// A program at a pseudo terminal, and somebody who types when it asks. By Python, whose library opens terminals; where there is no
// Python, the test says so and is skipped.
import Foundation
import Testing

@testable import VPNNode

enum Typist {
    private static let script = """
        import json, os, pty, select, sys, time
        steps = json.loads(sys.argv[2])
        pid, terminal = pty.fork()
        if pid == 0:
            os.execv("/bin/sh", ["sh", "-c", "exec " + sys.argv[1]])
        text, done, limit = b"", 0, time.time() + 60
        while time.time() < limit:
            if steps:
                place = text.find(steps[0][0].encode(), done)
                if place >= 0:
                    done = place + len(steps[0][0].encode())
                    answer = steps.pop(0)[1]
                    if answer is not None:
                        os.write(terminal, (answer + "\\n").encode())
                    continue
            ready, _, _ = select.select([terminal], [], [], 1)
            if ready:
                try:
                    more = os.read(terminal, 65536)
                except OSError:
                    break
                if not more:
                    break
                text += more
        os.write(1, text)
        if time.time() >= limit:
            os.kill(pid, 9)
        _, status = os.waitpid(pid, 0)
        sys.exit(os.waitstatus_to_exitcode(status) if not steps else 99)
        """

    /// Types each answer once the words before it were shown; nil for words that only must come. Status 99 where some did not.
    static func run(
        _ command: String, answering steps: [(words: String, answer: String?)], in scratch: Scratch
    ) throws -> Program.Outcome? {
        guard let python = HostTools(scratch: "/").find("python3") else {
            print("SKIPPED: \(Test.current?.name ?? ""): there is no python3 to open a terminal")
            return nil
        }
        let list: [[Any]] = steps.map { [$0.words, $0.answer ?? NSNull()] }
        let json = String(decoding: try JSONSerialization.data(withJSONObject: list), as: UTF8.self)
        return try Program.launch([python, "-c", script, command, json], in: scratch)
    }
}
