// SPDX-License-Identifier: Apache-2.0
// What `pqvpn top` draws: a picture from the last reports, as lines. It draws on no terminal; Screen does.

public struct TopView {
    /// How many values the lines of history keep.
    private static let kept = 60

    private struct History {
        var bytesIn: UInt64
        var bytesOut: UInt64
        var rateIn: [Double?] = []
        var rateOut: [Double?] = []
        var roundTrip: [Double?] = []

        mutating func add(bytesIn: UInt64, bytesOut: UInt64, roundTrip: Double?, seconds: Double) {
            func rate(_ now: UInt64, _ before: UInt64) -> Double? {
                // A new session counts from nothing.
                now >= before && seconds > 0 ? Double(now - before) / seconds : nil
            }
            rateIn = (rateIn + [rate(bytesIn, self.bytesIn)]).suffix(TopView.kept)
            rateOut = (rateOut + [rate(bytesOut, self.bytesOut)]).suffix(TopView.kept)
            self.roundTrip = (self.roundTrip + [roundTrip]).suffix(TopView.kept)
            (self.bytesIn, self.bytesOut) = (bytesIn, bytesOut)
        }
    }

    private var last: StatusReport?
    private var node: History?
    private var peers: [String: History] = [:]
    private var drops: (before: UInt64, now: UInt64) = (0, 0)

    public init() {}

    /// - Parameter seconds: since the report before.
    public mutating func add(_ report: StatusReport, after seconds: Double) {
        let traffic = report.traffic
        if node == nil { node = History(bytesIn: traffic.bytesIn, bytesOut: traffic.bytesOut) }
        node?.add(bytesIn: traffic.bytesIn, bytesOut: traffic.bytesOut, roundTrip: nil, seconds: seconds)
        var seen: [String: History] = [:]
        for peer in report.peers {
            let key = peer.peerID ?? peer.name
            let (bytesIn, bytesOut) = (peer.session?.bytesIn ?? 0, peer.session?.bytesOut ?? 0)
            var history = peers[key] ?? History(bytesIn: bytesIn, bytesOut: bytesOut)
            history.add(
                bytesIn: bytesIn, bytesOut: bytesOut, roundTrip: peer.roundTripSeconds, seconds: seconds)
            seen[key] = history
        }
        peers = seen
        let total = report.drops.values.reduce(0, &+)
        drops = (last == nil ? total : drops.now, total)
        last = report
    }

    /// At most `size.rows` lines of at most `size.columns` characters.
    public func lines(of size: (columns: Int, rows: Int)) -> [String] {
        guard let report = last, let node else { return [] }
        var lines = report.text.split(separator: "\n", omittingEmptySubsequences: false).prefix(1).map(String.init)
        lines.append(
            "\(report.nickname)  \(report.peerID.prefix(8))…  up \(Units.span(report.uptimeSeconds))  "
                + "UDP \(report.listening)" + (report.tunnel.map { "  \($0.name)" } ?? ""))
        lines.append("")
        lines.append("in   \(padded(rate(node.rateIn), 13)) \(Units.sparkline(node.rateIn))")
        lines.append("out  \(padded(rate(node.rateOut), 13)) \(Units.sparkline(node.rateOut))")
        lines.append("")
        let rows = report.peers.map { peer in
            let history = peers[peer.peerID ?? peer.name]
            return [
                peer.name.isEmpty ? "-" : peer.name, peer.state, rate(history?.rateIn ?? []),
                rate(history?.rateOut ?? []), peer.roundTripSeconds.map(Units.span) ?? "-",
                peer.session.map { Units.span($0.renewsInSeconds) } ?? "-",
                Units.sparkline(Array((history?.roundTrip ?? []).suffix(20))),
            ]
        }
        if !rows.isEmpty {
            let table = Units.table(["PEER", "STATE", "IN", "OUT", "RTT", "REKEY IN", "RTT, LAST 20"], rows)
            lines += table.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
            lines.append("")
        }
        lines.append("dropped \(drops.now) (+\(drops.now &- min(drops.before, drops.now)))  " + worst(report))
        for finding in report.health {
            lines.append("\(finding.severity == "error" ? "E" : "W") \(finding.code)  \(finding.text)")
        }
        // The last line is the way out.
        let room = max(1, size.rows - 1)
        let shown = lines.prefix(room).map { String($0.prefix(size.columns)) }
        return shown + [String("q quits".prefix(size.columns))]
    }

    private func rate(_ values: [Double?]) -> String {
        (values.last ?? nil).map(Units.rate(bytesPerSecond:)) ?? "-"
    }

    private func padded(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    private func worst(_ report: StatusReport) -> String {
        report.drops.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.prefix(3).map { "\($0.key) \($0.value)" }
            .joined(separator: ", ")
    }
}
