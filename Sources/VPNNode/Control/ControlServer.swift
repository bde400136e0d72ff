// SPDX-License-Identifier: Apache-2.0
// The local socket: one JSON object a line in, one a line out (docs/operations.md). It knows who calls and how requests are
// written; what they do is NodeControl's.
internal import CLinux
internal import Foundation
internal import Glibc
internal import Logging
internal import Synchronization

/// Listens until it is stopped; the file of the socket goes with it.
final class ControlServer: Sendable {
    /// Bytes of a request.
    static let longestRequest = 16 * 1024
    /// Connections at once; each has a thread.
    static let mostConnections = 16
    /// Seconds for a request to come and an answer to go.
    static let patience: Int32 = 60

    let path: String
    private let control: any RunControl
    private let logger: Logger
    private let listener: Int32
    /// The file that it made: another one of this name is another node's.
    private let file: FileStatus?
    private let state = Mutex(State())

    private struct State {
        var isStopped = false
        var open: Set<Int32> = []
    }

    /// Binds `path` with mode 0660 for `group`, where there is such a group. A file that no living node serves is replaced.
    init(path: String, group: String?, control: any RunControl, logger: Logger) throws {
        self.path = path
        self.control = control
        self.logger = logger
        let (directory, name) = ProtectedFile.split(path)
        try Self.prepare(directory)
        try Self.removeDead(path, name: name, in: directory)
        // SAFETY: here and below, a String argument is a terminated string for the length of the call.
        listener = unsafe clinux_local_listen(path, 0o660, 16)
        guard listener >= 0 else { throw Self.failure(path, errno: -listener) }
        file = try? OpenFile.directory(directory).status(of: name)
        if let group, let id = Self.groupID(group) {
            _ = unsafe fchownat(AT_FDCWD, path, uid_t.max, id, AT_SYMLINK_NOFOLLOW)
        }
        let thread = Thread { [self] in listen() }
        thread.name = "pqvpn-control"
        thread.start()
    }

    private static func failure(_ path: String, errno: Int32) -> NodeFailure {
        let error = SystemCallError(call: "listen", path: path, errno: errno)
        let reason = errno == ENAMETOOLONG ? "the path is longer than 107 bytes" : error.reason
        return NodeFailure(
            errno == EACCES || errno == EPERM ? .permission : .failure,
            "control socket \(path): \(reason); choose another place with control.socket, or \"off\"")
    }

    /// Others may look for nodes in it, but put nothing there.
    private static func prepare(_ directory: String) throws {
        if ProtectedFile.exists(directory) { return }
        do {
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o755])
        } catch {
            throw NodeFailure(
                .permission,
                "control socket: cannot make \(directory); choose another place with control.socket, or \"off\"")
        }
    }

    private static func removeDead(_ path: String, name: String, in directory: String) throws {
        guard let status = try OpenFile.directory(directory).status(of: name) else { return }
        guard status.kind == .other else {
            throw NodeFailure(
                .failure, "control socket \(path) is another kind of file: remove it, or choose another path")
        }
        do {
            _ = try LocalConnection(path: path, seconds: 2)
        } catch {
            guard error.errno == ECONNREFUSED else { throw failure(path, errno: error.errno) }
            try OpenFile.directory(directory).remove(name)
            return
        }
        throw NodeFailure(
            .failure,
            "control socket \(path) is served by a running node: stop it, or give peer.nickname or control.socket another value"
        )
    }

    private static func groupID(_ name: String) -> gid_t? {
        // SAFETY: the entry is valid until the next call of this thread's; only the number is taken.
        unsafe getgrnam(name).map { unsafe $0.pointee.gr_gid }
    }

    /// Ends all connections and removes the socket's file. Idempotent.
    func stop() {
        let wasStopped = state.withLock { state in
            defer { state.isStopped = true }
            // Under the lock: none of them is closed, and its number anybody else's, before it is out of the set.
            if !state.isStopped { for descriptor in state.open { clinux_local_shutdown(descriptor) } }
            return state.isStopped
        }
        if wasStopped { return }
        let (directory, name) = ProtectedFile.split(path)
        if let named = try? OpenFile.directory(directory).status(of: name), named.inode == file?.inode,
            named.device == file?.device
        {
            try? OpenFile.directory(directory).remove(name)
        }
        clinux_local_shutdown(listener)
    }

    deinit { stop() }

    private func listen() {
        while true {
            var who = clinux_caller()
            // SAFETY: the kernel's word on the caller is written into ours.
            let descriptor = unsafe clinux_local_accept(listener, Self.patience, &who)
            if state.withLock({ $0.isStopped }) {
                if descriptor >= 0 { clinux_close(descriptor) }
                break
            }
            guard descriptor >= 0 else {
                // Out of descriptors, most likely: others may close theirs.
                if -descriptor != EINTR { usleep(100_000) }
                continue
            }
            let caller = LocalConnection.Caller(pid: who.pid, uid: who.uid, gid: who.gid)
            let isTaken = state.withLock { state in
                guard state.open.count < Self.mostConnections else { return false }
                return state.open.insert(descriptor).inserted
            }
            guard isTaken else {
                let connection = LocalConnection(accepted: descriptor, path: path)
                try? connection.write(line: Self.refusal(.failure, "too many connections at once: try again"))
                continue
            }
            Thread.detachNewThread { [self] in serve(descriptor, caller) }
        }
        clinux_close(listener)
    }

    private func serve(_ descriptor: Int32, _ caller: LocalConnection.Caller) {
        do {
            var connection = LocalConnection(accepted: descriptor, path: path)
            // Before the connection closes it: out of the set before the number can be anybody else's.
            defer { state.withLock { _ = $0.open.remove(descriptor) } }
            while let line = try connection.readLine(limit: Self.longestRequest) {
                try connection.write(line: answer(line, caller))
            }
        } catch  where error.errno == EMSGSIZE {
            logger.warning(
                "a control request was too long", metadata: ["event": "control.refused", "uid": "\(caller.uid)"])
        } catch {
            // It went away, or said nothing for a minute.
        }
    }

    private func answer(_ line: [UInt8], _ caller: LocalConnection.Caller) -> String {
        let request: ControlRequest
        do {
            request = try JSONDecoder().decode(ControlRequest.self, from: Data(line))
        } catch {
            let verbs = ControlRequest.Verb.allCases.map(\.rawValue).joined(separator: ", ")
            return Self.refusal(
                .usage, "not a request: {\"version\":\(ControlRequest.version),\"verb\":…} with one of \(verbs)")
        }
        guard request.version == ControlRequest.version else {
            return Self.refusal(
                .usage,
                "the node speaks version \(ControlRequest.version) of the control protocol, not \(request.version): "
                    + "use the pqvpn that it runs")
        }
        if request.isOrder {
            // Whatever changes something leaves a trace of who did it.
            var fields: Logger.Metadata = [
                "event": "control.command", "verb": "\(request.verb.rawValue)", "uid": "\(caller.uid)",
                "pid": "\(caller.pid)",
            ]
            if let peer = request.peer { fields["peer_name"] = "\(peer)" }
            if let level = request.level { fields["level_name"] = "\(level)" }
            logger.notice("asked by a person or program of this host", metadata: fields)
        }
        // This thread is nobody's but this connection's; it may wait.
        let answer = Answer()
        // Whoever asks is not kept waiting by what the node has to do besides.
        Task(priority: .high) { [control] in answer.give(await Self.perform(request, control)) }
        return answer.wait()
    }

    /// What a task leaves for a thread that waits for it.
    private final class Answer: Sendable {
        private let condition = NSCondition()
        private let text = Mutex<String?>(nil)

        func give(_ words: String) {
            condition.withLock { text.withLock { $0 = words } }
            condition.signal()
        }

        func wait() -> String {
            condition.lock()
            defer { condition.unlock() }
            while true {
                if let words = text.withLock({ $0 }) { return words }
                condition.wait()
            }
        }
    }

    private static func perform(_ request: ControlRequest, _ control: any RunControl) async -> String {
        do {
            switch request.verb {
            case .status: return try await control.status().json
            case .rekey: return try await control.rekey(peer(of: request)).json
            case .drop: return try await control.drop(peer(of: request)).json
            case .ping: return try await control.ping(peer(of: request), timeout: timeout(of: request)).json
            case .look: return try await control.look().json
            case .netcheck: return try await control.netcheck(within: timeout(of: request)).json
            case .trace: return try await control.trace(peer(of: request), timeout: timeout(of: request)).json
            case .quilt: return try await control.quilt(request.peer).json
            case .circuits: return try await control.circuitsReport().json
            case .circuitBuild:
                return try await control.buildCircuit(
                    peer(of: request), ways: request.ways ?? [], networks: request.networks ?? [],
                    together: request.together
                ).json
            case .circuitClose: return try await control.closeCircuit(peer(of: request)).json
            case .circuitRenew: return try await control.renewCircuit(peer(of: request)).json
            case .logs: return try await control.logs(LogRing.Question(request)).json
            case .metrics: return try await control.metrics().json
            case .logLevel: return try await control.setLogLevel(request.level).json
            case .reload: return try await control.reload(isTrial: request.isTrial ?? false).json
            }
        } catch { return FailureReport(NodeFailure(error)).json }
    }

    private static func timeout(of request: ControlRequest) -> Duration {
        .milliseconds(min(max(request.timeout ?? 5000, 1), 30_000))
    }

    private static func peer(of request: ControlRequest) throws -> String {
        guard let peer = request.peer, !peer.isEmpty else {
            throw NodeFailure(.usage, "\(request.verb.rawValue) needs a peer, or the name of a circuit")
        }
        return peer
    }

    private static func refusal(_ status: ExitStatus, _ message: String) -> String {
        FailureReport(NodeFailure(status, message)).json
    }
}
