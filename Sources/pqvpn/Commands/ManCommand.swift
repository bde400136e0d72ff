// SPDX-License-Identifier: Apache-2.0
// `pqvpn man`: the manual pages of all commands, for `make man` and for those who package this program.
internal import ArgumentParser
internal import Foundation
internal import VPNNode

struct ManCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "man", abstract: "Write manual pages: pqvpn.1 and one for each command.", shouldDisplay: false)

    @Option(help: ArgumentHelp("Where to; made where it is absent.", valueName: "directory"))
    var out: String

    @Option(help: ArgumentHelp("What they say about their age, YYYY-MM-DD; default: today.", valueName: "date"))
    var date: String?

    func run() throws {
        let pages = try CommandTree(json: PQVPNCommand._dumpHelp()).all.map {
            ManualPage(command: $0, date: try longDate)
        }
        do {
            try FileManager.default.createDirectory(atPath: out, withIntermediateDirectories: true)
            for page in pages {
                try Data(page.text.utf8).write(to: URL(fileURLWithPath: out).appendingPathComponent(page.fileName))
            }
        } catch {
            throw NodeFailure(.failure, "manual pages cannot be written to \(out): \(error.localizedDescription)")
        }
        print("\(pages.count) manual pages are in \(out)")
    }

    /// "November 25, 2026", whatever the language of this machine.
    private var longDate: String {
        get throws {
            var calendar = Calendar(identifier: .gregorian)
            calendar.timeZone = .gmt
            var moment = Date()
            if let date {
                guard let parsed = try? Date(date, strategy: .iso8601.year().month().day()) else {
                    throw NodeFailure(.usage, "--date is YYYY-MM-DD, not '\(date)'")
                }
                moment = parsed
            }
            let months = [
                "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
                "November", "December",
            ]
            let parts = calendar.dateComponents([.year, .month, .day], from: moment)
            return "\(months[(parts.month ?? 1) - 1]) \(parts.day ?? 1), \(parts.year ?? 1970)"
        }
    }
}
