// SPDX-License-Identifier: Apache-2.0
// The part of a configuration that is about quilts: which paths a peer is to be reached by at once, and the rules between those keys.
// Which addresses and interfaces of this host they come to is QuiltPlan's.
public import VPNCore

extension NodeConfiguration {
    /// `peers[].quilt`.
    public struct Quilt: Sendable, Hashable {
        public var scheduler: QuiltScheduler = .edpf
        /// Of `redundant`: small packets and those of DSCP EF alone are doubled.
        public var doublesSmallOnly = false
        /// Milliseconds; nil = auto.
        public var deadline: Int?
        /// Fewer paths than are asked for will do.
        public var relaxesDisjointness = false
        /// Paths in all; nil = as many as are listed.
        public var paths: Int?
        /// Where the peer is, too.
        public var endpoints: [EndpointName] = []
        /// Of this host; empty = as routes say.
        public var interfaces: [String] = []
    }
}

extension NodeConfiguration.Quilt {
    /// A path as the file has it.
    struct Path: Hashable, Sendable {
        var endpoint: EndpointName
        /// Nil = as routes say.
        var interface: String?
    }

    /// The paths to a peer, each of them once: the n-th goes to the n-th endpoint by the n-th interface, and a list that ends begins anew.
    ///
    /// - Parameter first: where the handshake goes.
    func paths(to first: EndpointName) -> [Path] {
        let places = [first] + endpoints.filter { $0 != first }
        let listed = max(places.count, interfaces.count)
        var seen: Set<Path> = []
        let all = (0..<min(paths ?? listed, Limits.patches)).map { number in
            Path(
                endpoint: places[number % places.count],
                interface: interfaces.isEmpty ? nil : interfaces[number % interfaces.count])
        }
        return all.filter { seen.insert($0).inserted }
    }
}

extension ConfigurationDocument {
    /// Nil where the peer has none.
    func quilt(_ peer: String) -> NodeConfiguration.Quilt? {
        let path = "\(peer).quilt"
        switch effective(path) {
        case .boolean(true), .map: break
        default: return nil
        }
        var quilt = NodeConfiguration.Quilt()
        if let word = effective("\(path).scheduler").text?.lowercased(), let kind = QuiltScheduler(rawValue: word) {
            quilt.scheduler = kind
        }
        quilt.doublesSmallOnly = effective("\(path).double").text?.lowercased() == "small"
        quilt.deadline = effective("\(path).deadline_ms").integer
        quilt.relaxesDisjointness = effective("\(path).relax_disjointness").boolean ?? false
        quilt.paths = effective("\(path).paths").integer
        quilt.endpoints = texts("\(path).endpoints").compactMap { try? EndpointName($0) }
        quilt.interfaces = texts("\(path).interfaces")
        return quilt
    }

    mutating func checkQuilts() {
        for number in 0..<count(of: "peers") {
            let peer = "peers[\(number)]"
            guard let quilt = quilt(peer) else { continue }
            checkQuilt(quilt, peer, "\(peer).quilt")
        }
    }

    private mutating func checkQuilt(_ quilt: NodeConfiguration.Quilt, _ peer: String, _ path: String) {
        if !texts("\(peer).via").isEmpty || effective("\(peer).exit").boolean == true {
            return report(
                .conflict, path, at: mark(path),
                "cannot be with via or exit: a quilt's paths are direct ones, and this peer is reached by a circuit")
        }
        if quilt.doublesSmallOnly, quilt.scheduler != .redundant {
            report(
                .conflict, "\(path).double", at: mark("\(path).double"),
                "has no effect with scheduler: \(quilt.scheduler.rawValue); only redundant sends packets twice",
                severity: .warning)
        }
        guard let first = effective("\(peer).endpoint").text.flatMap({ try? EndpointName($0) }) else {
            return checkCaller(peer, path)
        }
        checkTwins(quilt, path, key: "endpoints", texts("\(path).endpoints"))
        checkTwins(quilt, path, key: "interfaces", quilt.interfaces)
        if let place = quilt.interfaces.firstIndex(of: effective("tunnel.interface").text ?? "") {
            let key = "\(path).interfaces[\(place)]"
            report(
                .conflict, key, at: mark(key), "is the tunnel itself: name interfaces that datagrams leave this host by"
            )
        }
        checkCount(quilt, path, first: first)
    }

    /// Only the end that makes the session adds paths to it.
    private mutating func checkCaller(_ peer: String, _ path: String) {
        for key in ["paths", "endpoints", "interfaces"] where values["\(path).\(key)"] != nil {
            report(
                .conflict, "\(path).\(key)", at: mark("\(path).\(key)"),
                "needs \(peer).endpoint: the end that calls chooses the paths; here scheduler, double and deadline_ms count alone"
            )
        }
    }

    private mutating func checkTwins(_ quilt: NodeConfiguration.Quilt, _ path: String, key: String, _ entries: [String])
    {
        var seen: Set<String> = []
        for (place, entry) in entries.enumerated() where !seen.insert(entry).inserted {
            let key = "\(path).\(key)[\(place)]"
            report(
                .duplicate, key, at: mark(key),
                "'\(entry)' stands in the list already: what it is for goes by one path",
                severity: quilt.relaxesDisjointness ? .warning : .error)
        }
    }

    private mutating func checkCount(_ quilt: NodeConfiguration.Quilt, _ path: String, first: EndpointName) {
        let found = quilt.paths(to: first).count
        let wanted = max(2, quilt.paths ?? 2)
        if quilt.endpoints.filter({ $0 != first }).count + 1 > Limits.patches {
            report(
                .outOfRange, "\(path).endpoints", at: mark("\(path).endpoints"),
                "and peers[].endpoint are more than the \(Limits.patches) paths that there may be: leave some out")
        }
        guard found < wanted else { return }
        let key = values["\(path).paths"] == nil ? path : "\(path).paths"
        let words =
            found == 1
            ? "names one path alone, to \(first): add other addresses of the peer to endpoints, or interfaces of this host"
            : "asks for \(wanted) paths, and endpoints and interfaces make \(found) that differ: list more of them"
        report(
            .conflict, key, at: mark(key),
            words + (quilt.relaxesDisjointness || found == 1 ? "" : ", or set relax_disjointness: true for fewer"),
            severity: quilt.relaxesDisjointness ? .warning : .error)
    }
}
