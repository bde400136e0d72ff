// SPDX-License-Identifier: Apache-2.0
// `pqvpn demo`: prints what the demonstration says, and maps its end to an exit status.
internal import ArgumentParser
internal import Foundation
internal import Glibc
internal import VPNNode

struct DemoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo", abstract: "Build two hosts with a tunnel between them, and show what it does and hides.",
        discussion: """
            Needs iproute2, iputils-ping, iperf3 and tcpdump, and root or a kernel that allows user namespaces with \
            /dev/net/tun. Everything that it makes is removed at the end, unless --keep is given.
            """)

    @Option(help: "Length of the TCP run in seconds, 1 to 600.")
    var seconds = 3

    @Option(help: "Show a circuit through so many relays, 2 to 4, to a web server instead.")
    var circuit: Int?

    @Flag(help: "Show one session by three paths of unlike rate and delay instead, of which one is cut under load.")
    var quilt = false

    @Option(help: "With --quilt: draw what each path carried, as an SVG file.")
    var plot: String?

    @Option(help: .hidden)
    var cable: String?

    @Flag(help: "Leave the hosts up and print how to enter and how to remove them.")
    var keep = false

    @Flag(help: "Print one JSON object on standard output; the text goes to standard error.")
    var json = false

    func validate() throws {
        guard (1...600).contains(seconds) else { throw ValidationError("--seconds takes 1 to 600") }
        guard circuit.map({ (2...4).contains($0) }) ?? true else {
            throw ValidationError("--circuit takes 2 to 4 relays: with more no IPv6 fits into a path of 1500 bytes")
        }
        guard !quilt || circuit == nil else { throw ValidationError("--quilt and --circuit are two demonstrations") }
        guard plot == nil || quilt else { throw ValidationError("--plot takes --quilt: the others draw nothing") }
    }

    func run() throws {
        if let cable {
            guard let cable = DelayedCable(cable) else { throw ValidationError("--cable takes NEAR,FAR,MBIT/S,MS") }
            return try cable.run()
        }
        let say: (String) -> Void = { text in
            let line = Data((text + "\n\n").utf8)
            // A reader that went away is no reason to leave the hosts behind.
            try? (json ? FileHandle.standardError : FileHandle.standardOutput).write(contentsOf: line)
        }
        let isPainting = !json && isatty(STDOUT_FILENO) == 1
        var painted = 0
        let show: (DemoPicture) -> Void = { picture in
            let up = painted > 0 ? "\u{1B}[\(painted)A" : ""
            let text = isPainting ? up + picture.lines.map { $0 + "\u{1B}[K\n" }.joined() : picture.line + "\n"
            painted = picture.lines.count
            try? (json ? FileHandle.standardError : FileHandle.standardOutput).write(contentsOf: Data(text.utf8))
        }
        let options = Demo.Options(
            seconds: seconds, keepsHosts: keep, isJSON: json, hops: circuit, isQuilt: quilt, plot: plot)
        do {
            switch try Demo(options, say: say, show: show).run() {
            case .delegated(let status): throw ExitCode(status)
            case .finished(let report):
                if json { print(report.json) }
                throw report.ok ? ExitCode.success : ExitCode.failure
            }
        } catch let failure as NodeFailure {
            guard json else { throw failure }
            // This command's own object stands for the general one of a failure.
            print(DemoReport.failed(failure.message).json)
            complain("pqvpn: \(failure.message)")
            throw ExitCode(failure.status.rawValue)
        }
    }
}
