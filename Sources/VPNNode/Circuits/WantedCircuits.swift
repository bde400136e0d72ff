// SPDX-License-Identifier: Apache-2.0
// The circuits that somebody wants: the configuration, or a person. The core builds one and forgets it where it fails; here it is
// remembered, and when to try again. It builds nothing itself and looks at no clock.
internal import VPNCore
internal import VPNCrypto

struct WantedCircuits {
    enum Origin: String, Sendable { case configuration, command }

    /// Why the last attempt came to nothing.
    enum Failure: Equatable, Sendable {
        /// It was not even begun.
        case refused(CircuitRefusal)
        case failed(hop: Int, CircuitFailure)
    }

    struct Entry {
        /// The ways to its last hop, or to others like it: another one is taken where one fails.
        let ways: [CircuitRequest]
        var way = 0
        let origin: Origin
        /// In the core; nil between attempts.
        var number: OwnCircuit.Number?
        /// Of the attempt that is under way, or came to something.
        var began = Instant.origin
        var isReady = false
        /// When the next attempt begins; nil while there is one.
        var due: Instant?
        /// One after the other.
        var failures = 0
        /// The same, but those count that were ready for a moment only.
        var streak = 0
        var readySince: Instant?
        /// Circuits one after the other that were ready, and did not last.
        var brief = 0
        var replacements = 0
        var lastFailure: Failure?

        var request: CircuitRequest { ways[way] }
    }

    /// Between attempts: doubles from the one to the other.
    static let shortestPause = TimeSpan.seconds(1)
    static let longestPause = TimeSpan.seconds(60)
    /// A circuit that lasted so long is no failure when it ends.
    static let provenAfter = TimeSpan.seconds(5)
    /// And one that lasted so long has done its work. Were each that ends sooner built again at once, whoever ends them would have new
    /// relays drawn at his pace, until some of his are among them.
    static let usedAfter = TimeSpan.seconds(60)
    /// Of a pause, so that the clients of one relay do not all come back to it at once.
    static let jitter = 0.75...1.25

    private(set) var entries: [Entry] = []

    subscript(name: String) -> Entry? { entries.first { $0.request.name == name } }
    subscript(number: OwnCircuit.Number) -> Entry? { entries.first { $0.number == number } }

    /// When `next` has something.
    var deadline: Instant? { entries.compactMap(\.due).min() }

    var counts: (ready: Int, building: Int) {
        let ready = entries.count(where: \.isReady)
        return (ready, entries.count - ready)
    }

    // MARK: What is wanted

    /// These are what the configuration wants from now on; who stays as it was goes on undisturbed. What a person wanted goes where
    /// the configuration has its name, its target or one of its networks.
    ///
    /// - Returns: the numbers of the circuits that are to be closed, before others are built.
    mutating func configure(
        _ requests: [CircuitRequest], directPrefixes: Set<IPPrefix> = [], now: Instant
    ) -> [OwnCircuit.Number] {
        let names = Set(requests.map(\.name))
        let prefixes = directPrefixes.union(requests.flatMap(\.allowedIPs))
        var leaving: [OwnCircuit.Number] = []
        entries.removeAll { entry in
            let stays =
                switch entry.origin {
                case .configuration: requests.contains(entry.ways[0])
                case .command:
                    !names.contains(entry.request.name) && prefixes.isDisjoint(with: entry.request.allowedIPs)
                }
            if !stays, let number = entry.number { leaving.append(number) }
            return !stays
        }
        for request in requests where self[request.name] == nil { add(request, .configuration, now: now) }
        return leaving
    }

    /// - Parameter alternatives: other hops under the same name and with the same networks.
    mutating func add(
        _ request: CircuitRequest, alternatives: [[PeerID]] = [], _ origin: Origin, now: Instant
    ) {
        let others = alternatives.map { hops in
            CircuitRequest(
                name: request.name, hops: hops, allowedIPs: request.allowedIPs, wantsLease: request.wantsLease)
        }
        entries.append(Entry(ways: [request] + others, origin: origin, due: now))
    }

    /// Nobody wants it any more. The number of what is there to be closed; nil where nothing is.
    mutating func remove(_ name: String) -> OwnCircuit.Number? {
        guard let index = entries.firstIndex(where: { $0.request.name == name }) else { return nil }
        return entries.remove(at: index).number
    }

    // MARK: Attempts

    /// What is to be built now.
    func next(now: Instant) -> [CircuitRequest] {
        entries.filter { entry in entry.due.map { $0 <= now } ?? false }.map(\.request)
    }

    mutating func began(_ name: String, as number: OwnCircuit.Number, now: Instant) {
        change(name) { entry in
            entry.number = number
            entry.began = now
            entry.due = nil
            entry.isReady = false
        }
    }

    /// An attempt came to nothing, or what came of one is gone. Who had a circuit that lasted, or the first of all, and who has another
    /// way that was not tried yet, does not wait.
    ///
    /// - Parameter jitter: of the pause, in `Self.jitter`.
    mutating func failed(_ name: String, _ failure: Failure, jitter: Double, now: Instant) {
        change(name) { entry in
            // One that broke as soon as it was there must not be built for ever without a pause.
            let hasLived = entry.readySince.map { now.since($0) >= Self.provenAfter } ?? false
            if hasLived { entry.streak = 0 }
            if let since = entry.readySince { entry.brief = now.since(since) >= Self.usedAfter ? 0 : entry.brief + 1 }
            let rounds = entry.streak / entry.ways.count
            let isFirst = entry.readySince != nil && entry.streak == 0
            let isAtOnce = hasLived || isFirst || (entry.streak + 1) % entry.ways.count != 0
            let calm =
                entry.brief < 2 ? .zero : min(Self.shortestPause * (1 << min(entry.brief - 2, 6)), Self.longestPause)
            let pause = max(
                calm, isAtOnce ? .zero : min(Self.shortestPause * (1 << min(rounds, 6)), Self.longestPause))
            if !hasLived { entry.streak += 1 }
            entry.readySince = nil
            entry.way = (entry.way + 1) % entry.ways.count
            entry.number = nil
            entry.isReady = false
            entry.failures += 1
            entry.lastFailure = failure
            entry.due = now + TimeSpan(nanoseconds: UInt64(Double(pause.nanoseconds) * jitter))
        }
    }

    /// It carries packets. What the attempt took.
    mutating func ready(_ number: OwnCircuit.Number, now: Instant) -> TimeSpan? {
        guard let entry = self[number] else { return nil }
        change(entry.request.name) { entry in
            entry.isReady = true
            entry.readySince = now
            entry.failures = 0
            entry.lastFailure = nil
        }
        return now.since(entry.began)
    }

    mutating func replaced(_ number: OwnCircuit.Number) {
        guard let name = self[number]?.request.name else { return }
        change(name) { $0.replacements += 1 }
    }

    /// There is a session with somebody: whoever waits to go by it need not wait any longer.
    mutating func met(_ peer: PeerID, now: Instant) {
        for index in entries.indices where entries[index].request.hops.first == peer {
            guard entries[index].due != nil, entries[index].lastFailure?.isAtTheEntry == true else { continue }
            entries[index].due = now
        }
    }

    private mutating func change(_ name: String, _ step: (inout Entry) -> Void) {
        guard let index = entries.firstIndex(where: { $0.request.name == name }) else { return }
        step(&entries[index])
    }
}

extension WantedCircuits.Failure {
    /// Whether a session with the first hop is what was missing.
    var isAtTheEntry: Bool {
        switch self {
        case .refused(let refusal): refusal == .entry
        case .failed(let hop, let failure): hop == 0 && (failure == .noEntry || failure == .lost)
        }
    }
}
