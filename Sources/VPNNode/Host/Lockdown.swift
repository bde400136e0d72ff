// SPDX-License-Identifier: Apache-2.0
// The lockdown in the kernel: put there as one transaction, belonging to no process, and compared with what it should be. Who
// wants it is on record, so that it stays as long as anybody does.
internal import Foundation
internal import Glibc
internal import Synchronization
internal import VPNEngine

/// Who asked for the lockdown, and with which exceptions.
struct LockdownRecord: Codable, Hashable, Sendable {
    /// No profile can have this name.
    static let byHand = "by hand"

    var holders: [String: LockdownPlan] = [:]

    var plan: LockdownPlan? { holders.isEmpty ? nil : LockdownPlan.union(Array(holders.values)) }
}

struct Lockdown: Sendable {
    let tools: HostTools
    let places: HostPlaces

    private var path: String { "\(places.state)/lockdown.json" }

    /// Empty where there is none, or where it cannot be read: then nothing is known of who asked.
    var record: LockdownRecord { readable ?? LockdownRecord() }

    /// Nil where there is one that cannot be read.
    private var readable: LockdownRecord? {
        guard ProtectedFile.exists(path) else { return LockdownRecord() }
        guard let bytes = try? ProtectedFile.open(path, noun: "record", maximumSize: 1 << 20).read(limit: 1 << 20)
        else { return nil }
        return try? JSONDecoder().decode(LockdownRecord.self, from: Data(bytes))
    }

    private func write(_ record: LockdownRecord) throws {
        if record.holders.isEmpty {
            guard ProtectedFile.exists(path) else { return }
            return try OpenFile.directory(places.state).remove("lockdown.json")
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
        try ProtectedFile.replace(path, with: [UInt8](try encoder.encode(record)))
    }

    // MARK: On and off

    /// On, or other exceptions. The record is written first: a table without one would be nobody's.
    func hold(for holder: String, _ plan: LockdownPlan) throws {
        let before = record
        var after = before
        // Whoever held it beside this one is not known any more, and is not to be forgotten: it stays until somebody says off.
        if readable == nil { after.holders[LockdownRecord.byHand] = plan }
        after.holders[holder] = plan
        try write(after)
        do { try load(after) } catch {
            try? write(before)
            throw error
        }
    }

    /// Off, unless somebody else holds it. Returns whether it is off.
    func release(for holder: String) throws -> Bool {
        guard var after = readable else {
            throw NodeFailure(
                .failure,
                "\(path) cannot be read: who else wants the lockdown is not known, and it stays; `pqvpn lockdown off` opens the host"
            )
        }
        after.holders[holder] = nil
        try load(after)
        try write(after)
        return after.holders.isEmpty
    }

    /// Off, whoever holds it.
    func off() throws {
        try load(LockdownRecord())
        try write(LockdownRecord())
    }

    private func load(_ record: LockdownRecord) throws {
        try tools.require(["nft"])
        try tools.perform(HostCommand("nft", ["-f", "-"], input: record.plan?.replacement ?? LockdownPlan.removal))
    }

    /// Takes the table away with nothing but nft: no configuration, no record, no file. Whether there was one.
    static func emergency(path: String? = nil) throws -> Bool {
        let tools = HostTools(path: path, scratch: "/")
        guard let nft = tools.find("nft") else {
            throw NodeFailure(.failure, "there is no nft in PATH: install nftables, or restart the machine")
        }
        func run(_ verb: String) throws -> Int32 {
            var child = try ChildProcess(
                nft, [verb, "table", "inet", HostNumbers.lockdownTable], environment: ["LC_ALL": "C"],
                output: .file("/dev/null"), errors: .file("/dev/null"))
            while child.poll() == nil { usleep(1000) }
            return child.poll() ?? 255
        }
        guard try run("list") == 0 else {
            guard effectiveUser() == 0 else { throw NodeFailure(.permission, "filters are root's: run it with sudo") }
            return false
        }
        guard try run("delete") == 0 else {
            throw NodeFailure(
                .permission, "nft may not delete the table: sudo nft delete table \(LockdownPlan.table)")
        }
        return true
    }

    // MARK: Looking

    /// Whether the kernel has the table, as far as this process can tell; nil where it may not ask. For a daemon, which has no
    /// record.
    static func isPresent() -> Bool? {
        guard effectiveUser() == 0 || hasAmbientPrivilege else { return nil }
        let tools = HostTools(scratch: "/")
        guard let nft = tools.find("nft"),
            var child = try? ChildProcess(
                nft, ["-t", "list", "table", "inet", HostNumbers.lockdownTable], environment: ["LC_ALL": "C"],
                output: .file("/dev/null"), errors: .file("/dev/null"))
        else { return nil }
        while child.poll() == nil { usleep(500) }
        return child.poll() == 0
    }

    /// Whether a program that this one starts has CAP_NET_ADMIN.
    private static var hasAmbientPrivilege: Bool {
        guard let text = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8) else { return false }
        let line = text.split(separator: "\n").first { $0.hasPrefix("CapAmb:") }
        let digits = line?.split(whereSeparator: \.isWhitespace).last ?? "0"
        return (UInt64(digits, radix: 16) ?? 0) & (1 << 12) != 0
    }

    private static let listing = HostCommand("nft", ["-s", "list", "table", "inet", HostNumbers.lockdownTable])

    /// The table as the kernel has it; nil where there is none.
    func kernelTable() throws -> String? {
        let outcome = try tools.run(Self.listing)
        if outcome.status == 0 { return outcome.output }
        if outcome.errors.contains("No such file or directory") { return nil }
        throw NodeFailure(
            .permission, "`\(Self.listing)` ended with status \(outcome.status): \(outcome.errors.prefix(200))")
    }

    /// A plan as this kernel and this nft would show it, learnt in a network namespace of a thread's own; nil where there can
    /// be none.
    func shown(_ plan: LockdownPlan) -> String? {
        let (answer, tools) = (Answer(), tools)
        let thread = Thread {
            // The child belongs to the namespace of the thread that starts it.
            guard (try? PrivateNetwork.enter()) != nil,
                (try? tools.perform(HostCommand("nft", ["-f", "-"], input: plan.text))) != nil
            else { return }
            let text = try? tools.perform(Self.listing)
            answer.text.withLock { $0 = text }
        }
        thread.start()
        while !thread.isFinished { usleep(1000) }
        return answer.text.withLock { $0 }
    }

    private final class Answer: Sendable { let text = Mutex<String?>(nil) }

    func status() throws -> LockdownReport {
        let (record, kernel) = (record, try kernelTable())
        let state: LockdownReport.State
        switch (record.plan, kernel) {
        case (nil, nil): state = .off
        case (_?, nil): state = .missing
        case (nil, _?): state = .different
        case (let plan?, let table?):
            guard let shown = shown(plan) else {
                throw NodeFailure(
                    .permission, "the table is there, and cannot be compared: no network namespace can be made here")
            }
            state = shown == table ? .on : .different
        }
        return LockdownReport(state: state, plan: record.plan, holders: record.holders.keys.sorted())
    }
}
