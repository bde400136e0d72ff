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
        /// Relays of a circuit, the exit among them; nil shows two hosts and a tunnel.
        public var hops: Int?
        /// Shows one session by several paths, of which one is cut.
        public var isQuilt: Bool
        /// Where the picture of that goes, as an SVG file.
        public var plot: String?

        public init(
            seconds: Int = 3, keepsHosts: Bool = false, isJSON: Bool = false, hops: Int? = nil, isQuilt: Bool = false,
            plot: String? = nil
        ) {
            (self.isQuilt, self.plot) = (isQuilt, plot)
            self.seconds = seconds
            self.hops = hops
            self.keepsHosts = keepsHosts
            self.isJSON = isJSON
        }

        var arguments: [String] {
            ["--seconds", "\(seconds)"] + (hops.map { ["--circuit", "\($0)"] } ?? [])
                + (isQuilt ? ["--quilt"] : []) + (plot.map { ["--plot", $0] } ?? []) + (keepsHosts ? ["--keep"] : [])
                + (isJSON ? ["--json"] : [])
        }
    }

    public enum Outcome: Sendable {
        case finished(any DemoResult)
        /// The run was done, and told of, by another process, which ended with this status.
        case delegated(status: Int32)
    }

    private let options: Options
    private let say: (String) -> Void
    private let show: (DemoPicture) -> Void

    /// `say` is given the text for people, paragraph by paragraph; `show` what is to be watched meanwhile.
    public init(_ options: Options, say: @escaping (String) -> Void, show: @escaping (DemoPicture) -> Void = { _ in }) {
        self.options = options
        self.say = say
        self.show = show
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
        if let hops = options.hops {
            let stage = CircuitStage(
                hops: hops, suffix: suffix, tools: try CircuitTools(tools), scratch: scratch, say: say)
            return .finished(
                try play(stage.perform, keepText: { stage.keepText }, clear: stage.clear, isKept: &isKept))
        }
        if options.isQuilt {
            let stage = try QuiltStage(
                suffix: suffix, tools: tools, scratch: scratch, plot: options.plot, say: say, show: show)
            return .finished(try play(stage.perform, keepText: { stage.keepText }, clear: stage.clear, isKept: &isKept))
        }
        let hosts = [(1, "a"), (2, "b")].map { number, letter in
            DemoHost(letter: letter, number: number, suffix: suffix, tools: tools, directory: scratch)
        }
        let stage = DemoStage(hosts: hosts, tools: tools, scratch: scratch, seconds: options.seconds, say: say)
        return .finished(try play(stage.perform, keepText: { stage.keepText }, clear: stage.clear, isKept: &isKept))
    }

    /// Performs, and clears the stage whatever comes of it, unless it is to stay.
    private func play(
        _ perform: () throws -> any DemoResult, keepText: () -> String, clear: () -> Void, isKept: inout Bool
    ) throws -> any DemoResult {
        do {
            let report = try perform()
            if options.keepsHosts {
                isKept = true
                say(keepText())
            } else {
                clear()
                say("All hosts, their daemons and their files are removed.")
            }
            return report
        } catch {
            clear()
            throw error
        }
    }
}
