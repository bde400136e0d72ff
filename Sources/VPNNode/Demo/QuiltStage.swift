// SPDX-License-Identifier: Apache-2.0
// Two hosts with three cables of unlike rate and delay between them, and what happens on them in which order: a stream by each path alone, then
// one by all at once, of which the quickest is cut in the middle and comes back.
//
//     host a  10.91.0.1 ===cable 1=== 10.91.0.2  host b
//             10.92.0.1 ===cable 2=== 10.92.0.2
//             10.93.0.1 ===cable 3=== 10.93.0.2
internal import Foundation
internal import VPNCore
internal import VPNCrypto
internal import VPNEngine

final class QuiltStage {
    private let hosts: [DemoHost]
    private let tools: DemoTools
    private let python: String
    private let scratch: String
    private let plot: String?
    private let say: (String) -> Void
    private let show: (DemoPicture) -> Void

    private var built: [DemoHost] = []
    private var nodes: [QuiltDemoNode] = []
    private var cables: [DemoProcess] = []
    private var programs: [DemoProcess] = []

    private static let lines: [(megabits: Double, milliseconds: Double)] = [(60, 10), (30, 25), (15, 40)]
    /// Seconds of a stream by one path, and those of its beginning that do not count.
    private static let alone = 2.5
    private static let warming = 0.8
    /// Seconds after the beginning of the stream by all: what counts as "all together" begins, the cut, the mending, what counts as "back"
    /// begins, the end.
    private static let plan = (begin: 1.5, cut: 5.0, mending: 8.5, back: 11.0, end: 13.5)

    init(
        suffix: String, tools: DemoTools, scratch: String, plot: String?, say: @escaping (String) -> Void,
        show: @escaping (DemoPicture) -> Void
    ) throws {
        guard let python = DemoTools.path(of: "python3") else {
            throw NodeFailure(
                .failure, "missing: python3. On Debian: sudo apt-get install --no-install-recommends python3")
        }
        if let plot {
            let directory = URL(filePath: plot).deletingLastPathComponent().path
            guard FileManager.default.isWritableFile(atPath: directory) else {
                throw NodeFailure(
                    .usage, "\(plot) cannot be written: make the directory \(directory), or name another file")
            }
        }
        hosts = [(1, "a"), (2, "b")].map { number, letter in
            DemoHost(letter: letter, number: number, suffix: suffix, tools: tools, directory: scratch)
        }
        (self.tools, self.python, self.scratch, self.plot) = (tools, python, scratch, plot)
        (self.say, self.show) = (say, show)
    }

    private var a: QuiltDemoNode { nodes[0] }
    private var b: QuiltDemoNode { nodes[1] }

    private static func name(_ place: Int) -> String { "path \(place + 1)" }
    private static func end(_ place: Int) -> String { "path\(place + 1)" }
    private static func address(_ place: Int, _ host: DemoHost) -> String { "10.\(91 + place).0.\(host.number)" }
    private var endpoints: [String] { Self.lines.indices.map { Self.address($0, hosts[1]) } }

    // MARK: The play

    func perform() throws -> QuiltDemoReport {
        var report = QuiltDemoReport()
        report.paths = Self.lines.enumerated().map { place, line in
            .init(name: Self.name(place), megabits: line.megabits, milliseconds: line.milliseconds)
        }
        try build()
        for place in Self.lines.indices { report.paths[place].alone = try alone(place) }
        say(report.aloneText)
        let timeline = try together(&report)
        report.judge()
        report.check("one session", a.sessions == 1, a.sessionsText)
        if let plot { try draw(timeline, to: plot, &report) }
        say(report.quiltText)
        say(report.checksText)
        return report
    }

    private func build() throws {
        for host in hosts {
            try host.make()
            built.append(host)
            try host.ip("-n", host.namespace, "link", "set", "lo", "up")
            try DemoInterruption.check()
        }
        for (place, line) in Self.lines.enumerated() { try lay(place, line.megabits, line.milliseconds) }
        nodes = try hosts.map { try QuiltDemoNode(host: $0, in: scratch) }
        try a.meet(b)
        try b.meet(a)
        try b.configure(a)
        try b.start(pqvpn: tools.pqvpn, name: "daemon-b")
        let rows = Self.lines.enumerated().map { place, line in
            "  \(Self.name(place))  \(Self.address(place, hosts[0])) - \(Self.address(place, hosts[1]))  "
                + "\(Int(line.megabits)) Mbit/s each way, \(Int(line.milliseconds)) ms there and back"
        }
        say(
            "Two hosts, three paths (\(hosts.map(\.namespace).joined(separator: ", ")))\n"
                + rows.joined(separator: "\n"))
    }

    /// Both ends are made on the first host; one goes to the other.
    private func lay(_ place: Int, _ megabits: Double, _ milliseconds: Double) throws {
        let (near, far) = (hosts[0], hosts[1])
        let (end, moving) = (Self.end(place), "far\(place + 1)")
        let cable = DelayedCable(
            ends: [end, moving],
            shape: .init(
                bitsPerSecond: megabits * 1e6, delay: TimeSpan(nanoseconds: UInt64(milliseconds / 2 * 1e6))))
        let process = try near.start("cable-\(place + 1)", tools.pqvpn, ["demo", "--cable", cable.text])
        cables.append(process)
        try DemoProcess.wait(10, for: "cable \(place + 1)") {
            guard process.isRunning else {
                throw NodeFailure(.failure, "cable \(place + 1) ended:\n\(process.lastErrors())")
            }
            return (try? near.ip("-n", near.namespace, "link", "show", "dev", moving)) != nil
        }
        try near.ip("-n", near.namespace, "link", "set", moving, "netns", far.namespace, "name", end)
        for host in hosts {
            try host.ip("-n", host.namespace, "address", "add", Self.address(place, host) + "/24", "dev", end)
            try host.ip("-n", host.namespace, "link", "set", end, "mtu", "1500", "up")
        }
    }

    private func transfer(_ name: String, seconds: Double) throws -> QuiltTransfer {
        let receiver = try b.host.start(
            "receiver-\(name)", python, ["-c", QuiltTransfer.receiving, b.host.innerIPv4, "\(QuiltTransfer.port)"])
        programs.append(receiver)
        try DemoProcess.wait(10, for: "the receiver") {
            guard receiver.isRunning else {
                throw NodeFailure(.failure, "the receiver ended:\n\(receiver.lastErrors())")
            }
            return receiver.output.contains("listening\n")
        }
        let sender = try a.host.start(
            "sender-\(name)", python,
            ["-c", QuiltTransfer.sending, b.host.innerIPv4, "\(QuiltTransfer.port)", "\(seconds)"])
        programs.append(sender)
        return QuiltTransfer(receiver: receiver, sender: sender)
    }

    /// Mbit/s of a stream by one path.
    private func alone(_ place: Int) throws -> Double {
        try a.configure(b, endpoints: [endpoints[place]])
        try a.start(pqvpn: tools.pqvpn, name: "daemon-a\(place + 1)")
        defer { a.daemon?.stop() }
        try a.wait("a session by \(Self.name(place))", seconds: 15) { a.sessions > 0 }
        let transfer = try transfer("\(place + 1)", seconds: Self.alone)
        _ = try transfer.sender.finish(within: Self.alone + 15)
        _ = try transfer.receiver.finish(within: 15)
        var count = QuiltCount()
        let looks = transfer.heard.looks
        for look in looks { count.add(look.bytes, at: look.time) }
        guard let first = looks.first else { return 0 }
        return count.rate(first.time + Self.warming, first.time + Self.alone)
    }

    private func together(_ report: inout QuiltDemoReport) throws -> QuiltTimeline {
        try a.configure(b, endpoints: endpoints)
        try a.start(pqvpn: tools.pqvpn, name: "daemon-a")
        for node in nodes {
            try node.wait("all \(endpoints.count) paths", seconds: 15) { node.quilt?.up == endpoints.count }
        }
        say("One TCP stream by all of them; \(Self.name(0)) is cut after \(Int(Self.plan.cut)) s, and comes back")
        let transfer = try transfer("all", seconds: Self.plan.end)
        var timeline = QuiltTimeline(paths: endpoints.count)
        var shown = 0.0
        var begin: Double?
        while transfer.sender.isRunning {
            try DemoInterruption.check()
            for node in nodes { try node.checkAlive() }
            Thread.sleep(forTimeInterval: 0.1)
            guard let start = begin ?? transfer.heard.looks.first?.time else { continue }
            begin = start
            let quilt = look(since: start, &timeline)
            let now = Self.now - start
            guard now < Self.plan.end + 20 else {
                throw NodeFailure(.timeout, "the stream did not end: it stood still after the cut")
            }
            if timeline.cut == nil, now >= Self.plan.cut {
                cables[0].send(DelayedCable.cutting)
                timeline.cut = Self.now - start
            } else if timeline.mended == nil, now >= Self.plan.mending {
                cables[0].send(DelayedCable.mending)
                timeline.mended = Self.now - start
            }
            if now - shown >= 0.5 {
                shown = now
                show(picture(now, transfer.heard.looks, since: start, timeline, quilt))
            }
        }
        _ = try transfer.receiver.finish(within: 15)
        guard let start = begin else { throw NodeFailure(.failure, "nothing came through the tunnel") }
        _ = look(since: start, &timeline)
        let heard = transfer.heard
        for look in heard.looks { timeline.stream.add(look.bytes, at: look.time - start) }
        report.isWhole = transfer.isWhole
        report.bytes = heard.looks.last?.bytes ?? 0
        report.quilt = a.quilt
        fill(&report, timeline)
        if let cut = timeline.cut {
            report.pause = heard.longestPause(start + cut - 0.05, start + (timeline.mended ?? Self.plan.end))
        }
        return timeline
    }

    private static var now: Double { Double(MonotonicClock.now.nanoseconds) / 1e9 }

    /// What came by each path until now.
    private func look(since start: Double, _ timeline: inout QuiltTimeline) -> QuiltReport.Quilt? {
        guard let quilt = b.quilt else { return nil }
        let now = Self.now - start
        for path in quilt.paths {
            // At the far end paths are known by where they come from.
            guard
                let place = Self.lines.indices.first(where: {
                    path.endpoint.hasPrefix(Self.address($0, hosts[0]) + ":")
                })
            else { continue }
            timeline.paths[place].add(Double(path.bytesIn), at: now)
        }
        return quilt
    }

    private func picture(
        _ now: Double, _ looks: [QuiltTransfer.Words.Look], since start: Double, _ timeline: QuiltTimeline,
        _ quilt: QuiltReport.Quilt?
    ) -> DemoPicture {
        var stream = QuiltCount()
        for look in looks { stream.add(look.bytes, at: look.time - start) }
        let states = a.quilt?.paths.map(\.state) ?? []
        let most = Self.lines.map(\.megabits).reduce(0, +)
        var bars = Self.lines.indices.map { place in
            QuiltPicture.Bar(
                name: Self.name(place), rate: timeline.paths[place].rate(now - 0.5, now), most: most,
                state: place == 0 && timeline.cut != nil && timeline.mended == nil
                    ? "cut" : states.indices.contains(place) ? states[place] : "")
        }
        bars.append(.init(name: "stream", rate: stream.rate(now - 0.5, now), most: most, state: ""))
        let picture = QuiltPicture(seconds: now, bars: bars)
        return DemoPicture(lines: picture.lines, line: picture.line)
    }

    private func fill(_ report: inout QuiltDemoReport, _ timeline: QuiltTimeline) {
        let cut = timeline.cut ?? Self.plan.cut
        let mended = timeline.mended ?? Self.plan.mending
        report.together = timeline.stream.rate(Self.plan.begin, cut)
        // From when everybody knows of the cut.
        report.whileCut = timeline.stream.rate(cut + 1, mended)
        report.atTheEnd = timeline.stream.rate(Self.plan.back, Self.plan.end)
        for (place, count) in timeline.paths.enumerated() {
            report.paths[place].together = count.rate(Self.plan.begin, cut)
            report.paths[place].whileCut = count.rate(cut + 1, mended)
            report.paths[place].atTheEnd = count.rate(Self.plan.back, Self.plan.end)
        }
    }

    private func draw(_ timeline: QuiltTimeline, to file: String, _ report: inout QuiltDemoReport) throws {
        let names = Self.lines.enumerated().map { place, line in
            "\(Self.name(place)): \(Int(line.megabits)) Mbit/s, \(Int(line.milliseconds)) ms"
        }
        let picture = QuiltPlot(
            names: names, timeline: timeline,
            title: "One TCP stream by three paths at once, of which the quickest is cut and comes back")
        do {
            try Data(picture.svg.utf8).write(to: URL(filePath: file))
        } catch {
            throw NodeFailure(.failure, "\(file) cannot be written: \(error)")
        }
        report.plot = file
        report.check("the plot", true, file)
    }

    // MARK: The end

    /// Ends what was started and removes what was made, whatever state it is in.
    func clear() {
        for program in programs { program.stop() }
        for node in nodes { node.daemon?.stop() }
        for cable in cables { cable.stop() }
        for host in built { host.remove() }
        (programs, cables, built) = ([], [], [])
    }

    /// How to enter the hosts, and how to remove them.
    var keepText: String {
        let daemons = nodes.compactMap { $0.daemon?.identifier }
        let first = cables.first.map { "\($0.identifier)" } ?? ""
        return DemoPlace.keepText(hosts: hosts, processes: daemons + cables.map(\.identifier), scratch: scratch)
            + "\nTo ask a node: pqvpn quilt --socket \(nodes.first?.socket ?? "")"
            + "\nTo cut \(Self.name(0)), and to mend it: kill -USR1 \(first); kill -USR2 \(first)"
    }
}
