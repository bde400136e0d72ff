// SPDX-License-Identifier: Apache-2.0
// Where commands look for nodes, and whose word they take there; and what of an answer reaches a terminal.
import Foundation
import Glibc
import Testing

@testable import VPNNode

@Suite(.threads(.programs)) struct ControlPlaceTests {
    @Test func nobodyLooksWhereUsersPutTheirs() {
        #expect(ControlPlace.directories([:]) == ["/run/pqvpn"])
        #expect(ControlPlace.directories(["XDG_RUNTIME_DIR": "/run/user/0"]) == ["/run/user/0/pqvpn", "/run/pqvpn"])
        #expect(ControlPlace.directories(["RUNTIME_DIRECTORY": "/run/pqvpn"]) == ["/run/pqvpn"])
    }

    /// Listens, and takes no caller.
    private final class Listener {
        private let descriptor: Int32

        init(_ path: String) throws {
            descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            let bytes = Array(path.utf8)
            try #require(bytes.count < 108)
            // SAFETY: a path that is shorter than the field; the address lives for the length of the call, which gets its size.
            unsafe withUnsafeMutableBytes(of: &address.sun_path) { unsafe $0.copyBytes(from: bytes) }
            let (listener, size) = (descriptor, socklen_t(MemoryLayout<sockaddr_un>.size))
            let status = unsafe withUnsafePointer(to: &address) {
                unsafe $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { unsafe bind(listener, $0, size) }
            }
            try #require(status == 0)
            try #require(listen(descriptor, 0) == 0)
        }

        deinit { close(descriptor) }
    }

    /// A connection that stays.
    private final class Held {
        private let connection: LocalConnection
        init(_ path: String) throws { connection = try LocalConnection(path: path, seconds: 1) }
    }

    @Test func aListenerWithoutRoomIsThereAndDelaysNobody() throws {
        let scratch = try Scratch()
        try FileManager.default.createDirectory(
            atPath: scratch.file("pqvpn"), withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        let path = scratch.file("pqvpn/n.sock")
        #expect(!ControlPlace.isServed(path))
        let listener = try Listener(path)
        var held: [Held] = []
        for _ in 0..<16 {
            guard let one = try? Held(path) else { break }
            held.append(one)
        }
        try #require(held.count < 16)
        let start = ContinuousClock.now
        #expect(ControlPlace.isServed(path))
        #expect(ControlPlace.running(["XDG_RUNTIME_DIR": scratch.path]).contains { $0.hasSuffix("/pqvpn/n.sock") })
        #expect(ContinuousClock.now - start < .seconds(20))
        withExtendedLifetime((listener, held)) {}
    }

    /// Whoever can write to a directory of root's is not believed there.
    @Test func aNodeOfNobodysIsNotRoots() throws {
        guard isRoot, FileManager.default.isExecutableFile(atPath: "/usr/bin/setpriv") else {
            return print("SKIPPED: aNodeOfNobodysIsNotRoots needs root and setpriv")
        }
        let scratch = try Scratch()
        try scratch.write(
            "peer: { nickname: n }\nnetwork: { listen_port: 0, bind_host: 127.0.0.1 }\ntunnel: { enabled: false }\n"
                + "control: { socket: pqvpn/n.sock }\n", to: "c.yaml", mode: 0o644)
        try FileManager.default.createDirectory(
            atPath: scratch.file("pqvpn"), withIntermediateDirectories: true)
        try scratch.setMode(0o777, of: "pqvpn")
        try scratch.giveAway("c.yaml")
        try scratch.giveAway("")
        let daemon = try RunningDaemon(
            ["--config", "c.yaml"], in: scratch, log: "daemon.log", wrapper: CircuitChain.unprivileged)
        try #require(daemon.event("node.ready") != nil, "\(daemon.text)")
        let environment = ["RUNTIME_DIRECTORY": scratch.file("pqvpn")]
        let path = scratch.file("pqvpn/n.sock")
        #expect(ControlPlace.isServed(path))
        #expect(!ControlPlace.running(environment).contains(path))
        // Its own directory is another matter: the one of a service, for instance.
        try scratch.giveAway("pqvpn")
        #expect(ControlPlace.running(environment).contains(path))
        #expect(daemon.end(with: SIGTERM) == 0)
    }

    @Test func whatATerminalObeysIsSpeltOut() throws {
        let line = #"{"a":"x\u001b[2Jy","b":"\r\b\f","c":"é\n\t\"\\u001b\u00e9","d":"\#u{9b}z\#u{202e}","e":"\u009B"}"#
        let harmless = ControlAnswer.harmless(json: line)
        let read = try JSONDecoder().decode([String: String].self, from: Data(harmless.utf8))
        #expect(read["a"] == #"x\u{1b}[2Jy"#)
        #expect(read["b"] == #"\u{d}\u{8}\u{c}"#)
        #expect(read["c"] == "é\n\t\"\\u001bé")
        #expect(read["d"] == #"\u{9b}z\u{202e}"#)
        #expect(read["e"] == #"\u{9b}"#)
        let plain = #"{"a":"b \" c \\ d","e":[1,2.5e3,null,true]}"#
        #expect(ControlAnswer.harmless(json: plain) == plain)
        #expect(ControlAnswer.harmless(json: "\\") == "\\")
        #expect(ControlAnswer.harmless("a\u{1B}[2J\tb\nc") == "a\\u{1b}[2J\tb\nc")
    }
}
