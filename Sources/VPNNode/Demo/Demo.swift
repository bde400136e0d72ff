// SPDX-License-Identifier: Apache-2.0
// `pqvpn demo`: two hosts, one cable, two daemons, and what they and an eavesdropper see of it. The order of events is
// here; how each is done is in the files beside.
//
//     host a  10.77.0.1, fd77::1                       host b  10.77.0.2, fd77::2
//        pqvpn0 --- daemon --- outer0 ======cable====== outer0 --- daemon --- pqvpn0
//                              10.99.0.1      10.99.0.2
internal import Foundation

/// One run of the demonstration.
public struct Demo {
    public struct Options: Sendable {
        /// Length of the TCP run.
        public var seconds: Int
        /// Leaves the hosts and the daemons behind.
        public var keepsHosts: Bool
        public var isJSON: Bool

        public init(seconds: Int = 3, keepsHosts: Bool = false, isJSON: Bool = false) {
            self.seconds = seconds
            self.keepsHosts = keepsHosts
            self.isJSON = isJSON
        }

        var arguments: [String] {
            ["--seconds", "\(seconds)"] + (keepsHosts ? ["--keep"] : []) + (isJSON ? ["--json"] : [])
        }
    }

    public enum Outcome: Sendable {
        case finished(DemoReport)
        /// The run was done, and told of, by another process, which ended with this status.
        case delegated(status: Int32)
    }

    private let options: Options
    private let say: (String) -> Void

    /// `say` is given the text for people, paragraph by paragraph.
    public init(_ options: Options, say: @escaping (String) -> Void) {
        self.options = options
        self.say = say
    }

    /// Throws ``NodeFailure`` where the demonstration cannot even begin or breaks; nothing is left behind then.
    public func run() throws -> Outcome {
        DemoInterruption.watch()
        let tools = try DemoTools()
        let suffix = DemoPlace.randomSuffix()
        let scratch = FileManager.default.temporaryDirectory.path + "/pqvpn-demo-\(suffix)"
        try FileManager.default.createDirectory(
            atPath: scratch, withIntermediateDirectories: false, attributes: [.posixPermissions: 0o700])
        var isKept = false
        defer { if !isKept { try? FileManager.default.removeItem(atPath: scratch) } }
        switch try DemoPlace.find(tools: tools, arguments: options.arguments, scratch: scratch) {
        case .elsewhere(let status): return .delegated(status: status)
        case .here: break
        }
        let hosts = [(1, "a"), (2, "b")].map { number, letter in
            DemoHost(letter: letter, number: number, suffix: suffix, tools: tools, directory: scratch)
        }
        let stage = DemoStage(hosts: hosts, tools: tools, scratch: scratch, seconds: options.seconds, say: say)
        do {
            let report = try stage.perform()
            if options.keepsHosts {
                isKept = true
                say(stage.keepText)
            } else {
                stage.clear()
                say("Both hosts, their daemons and their files are removed.")
            }
            return .finished(report)
        } catch {
            stage.clear()
            throw error
        }
    }
}
