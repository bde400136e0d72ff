// SPDX-License-Identifier: Apache-2.0
// A command's side of the local socket: a NodeControl that lives in another process.
internal import Foundation
internal import Glibc

/// One connection to a running node. Blocking: for commands, not for servers.
public struct ControlClient: ~Copyable {
    private var connection: LocalConnection
    private let path: String
    /// It was answered on this connection, which the node closes when nothing is asked for a minute.
    private var wasAnswered = false

    /// Bytes of an answer: 65,536 peers of a kilobyte each.
    private static let longestAnswer = 128 << 20

    public init(path: String) throws {
        self.path = path
        do {
            connection = try LocalConnection(path: path, seconds: 40)
        } catch {
            switch error.errno {
            case ENOENT, ECONNREFUSED:
                throw NodeFailure(.daemonNotRunning, "no node serves \(path): start one with `pqvpn run --config FILE`")
            case EACCES, EPERM:
                throw NodeFailure(
                    .permission,
                    "control socket \(path): permission denied: run as root, or join the group of the socket")
            default: throw NodeFailure(.failure, "control socket \(path): \(error.reason)")
            }
        }
    }

    /// The answer as it came: one line of JSON. Throws what the node refused. A reading is asked for once more where the node
    /// had let go of a connection that nothing was said on.
    public mutating func ask(_ request: ControlRequest) throws -> String {
        let mayAskAgain = wasAnswered && !request.isOrder
        wasAnswered = false
        do {
            let answer = try askOnce(request)
            wasAnswered = true
            return answer
        } catch let failure as NodeFailure where mayAskAgain && failure.status == .daemonNotRunning {
            // A node that has ended is not there any more.
            guard let again = try? ControlClient(path: path) else { throw failure }
            self = again
            return try ask(request)
        }
    }

    private mutating func askOnce(_ request: ControlRequest) throws -> String {
        do {
            let words = String(decoding: try JSONEncoder().encode(request), as: UTF8.self)
            do throws(SystemCallError) {
                try connection.write(line: words)
            } catch {
                // A node without room for us says so and hangs up: its words count more than the broken pipe.
                guard error.errno == EPIPE || error.errno == ECONNRESET else { throw error }
            }
            guard let line = try connection.readLine(limit: Self.longestAnswer) else {
                throw NodeFailure(.daemonNotRunning, "the node at \(path) ended")
            }
            if let failure = try? JSONDecoder().decode(Refusal.self, from: Data(line)),
                failure.schema == FailureReport.schema
            {
                throw NodeFailure(
                    ExitStatus(rawValue: failure.status) ?? .failure, ControlAnswer.harmless(failure.message))
            }
            return String(decoding: line, as: UTF8.self)
        } catch let error as SystemCallError {
            let isLate = error.errno == EAGAIN || error.errno == EWOULDBLOCK
            throw NodeFailure(
                isLate ? .timeout : .daemonNotRunning,
                isLate ? "the node at \(path) does not answer" : "the node at \(path) ended")
        }
    }

    /// The answer as a value.
    public mutating func ask<Answer: Report & Decodable>(_ request: ControlRequest, as type: Answer.Type) throws
        -> Answer
    {
        let line = try ask(request)
        do {
            return try JSONDecoder().decode(type, from: Data(ControlAnswer.harmless(json: line).utf8))
        } catch {
            throw NodeFailure(.failure, "the node at \(path) answers in another version: use the pqvpn that it runs")
        }
    }

    private struct Refusal: Decodable {
        let schema: String
        let status: Int32
        let message: String
    }
}
