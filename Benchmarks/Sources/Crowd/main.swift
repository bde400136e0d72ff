// SPDX-License-Identifier: Apache-2.0
// Crowd FOLDER COUNT: so many peers of one daemon, in one process, each with an identity and a socket of its own; scripts/soak.
//   FOLDER/server.yaml    what `pqvpn peers add` wrote of the daemon's identity
// It writes FOLDER/known_peers.yaml and FOLDER/peers.yaml, which the daemon is started with, says "ready", reads a line
// "ADDRESS PORT", and calls. "up N SECONDS" once all have a session; they keep it until the standard input ends. "held N" is
// how many then have it still.
import Foundation

// Not by print: a pipe would get it only at the end.
func say(_ line: String) { FileHandle.standardOutput.write(Data((line + "\n").utf8)) }

do {
    let arguments = CommandLine.arguments
    guard arguments.count == 3, let count = Int(arguments[2]), 1...50_000 ~= count else {
        throw CrowdFailure("Crowd FOLDER COUNT")
    }
    var crowd = try Crowd(count: count, server: PinFile.keys(in: arguments[1] + "/server.yaml"))
    try PinFile.write(crowd.identities, to: arguments[1])
    say("ready")
    let words = (readLine() ?? "").split(separator: " ")
    guard words.count == 2, let port = UInt16(words[1]) else { throw CrowdFailure("no line \"ADDRESS PORT\"") }
    let seconds = try crowd.call(String(words[0]), port)
    say("up \(count) \(String(format: "%.1f", seconds))")
    try crowd.hold()
    say("held \(crowd.confirmed)")
} catch {
    FileHandle.standardError.write(Data("crowd: \(error)\n".utf8))
    exit(1)
}
