// SPDX-License-Identifier: Apache-2.0
// pqvpn quilt: how the paths of a running node's sessions stand.
internal import ArgumentParser
internal import Foundation
internal import VPNNode

struct QuiltCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "quilt",
        abstract: "The paths of sessions that have several: state, round trip, loss, rate, and what goes by each.",
        discussion: "Shares are of all bytes since the session began; with --watch of those since the picture before.")

    @Argument(help: "One peer: a name, a peer_id, or its first 8 digits or more. Default: all that have several paths.")
    var peer: String?

    @Flag(help: "Again every second, until ^C.")
    var watch = false

    @OptionGroup var control: ControlOptions
    @OptionGroup var output: OutputOptions

    func run() throws {
        var client = try control.connect()
        var earlier: QuiltReport?
        repeat {
            let now = try client.ask(ControlRequest(.quilt, peer: peer), as: QuiltReport.self)
            let report = earlier.map { now.since($0) } ?? now
            if output.json || !watch {
                output.print(report)
            } else {
                print(Screen.repainting(report.text))
            }
            guard watch else { return }
            earlier = now
            Screen.flush()
            Thread.sleep(forTimeInterval: 1)
        } while true
    }
}
