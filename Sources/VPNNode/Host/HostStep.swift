// SPDX-License-Identifier: Apache-2.0
// One change to a host, and what takes it back: the pieces of a plan. A step is asked for its way back before it is taken, so
// that the way back can be on disk by then.

/// One change.
struct HostStep: Hashable, Sendable {
    enum Change: Hashable, Sendable {
        /// Tools; `revert` in its own order.
        case commands(apply: [HostCommand], revert: [HostCommand])
        /// A file of /proc/sys.
        case setting(String, String)
        /// A file of the name resolution, as a whole.
        case resolverFile(String, String)
        /// A table, and what is known of its addresses when it is there only.
        case innerFence(InnerFence)
    }

    /// "rule -4 28785"; in messages.
    let title: String
    let change: Change

    init(_ title: String, _ change: Change) {
        self.title = title
        self.change = change
    }

    /// What takes it back, seen from the host as it is now.
    func undo() throws -> HostUndo {
        switch change {
        case .commands(_, let revert): HostUndo(title: title, way: .commands(revert))
        case .setting(let path, let value):
            HostUndo(title: title, way: .setting(path: path, was: try KernelSetting.read(path), wrote: value))
        case .innerFence(let fence): HostUndo(title: title, way: .commands([fence.undo]))
        case .resolverFile(let path, let text):
            HostUndo(title: title, way: .resolverFile(try ResolverFile.save(path, for: text)))
        }
    }

    /// Throws with the step and the tool's own words.
    ///
    /// - Parameter isShared: another profile has the same on record: that it is there already is no fault then.
    func perform(_ tools: HostTools, isShared: Bool = false) throws {
        do {
            switch change {
            case .commands(let commands, _):
                for var command in commands {
                    if isShared { command.gone.append("File exists") }
                    try tools.perform(command)
                }
            case .setting(let path, let value): try KernelSetting.write(path, value)
            case .resolverFile(let path, let text): try ResolverFile.write(path, text)
            case .innerFence(let fence): try fence.load(tools)
            }
        } catch {
            let failure = NodeFailure(error)
            throw NodeFailure(failure.status, "\(title): \(failure.message)")
        }
    }
}

/// What takes a change back, as it lies on disk.
struct HostUndo: Codable, Hashable, Sendable {
    enum Way: Codable, Hashable, Sendable {
        case commands([HostCommand])
        case setting(path: String, was: String, wrote: String)
        case resolverFile(ResolverFile)
    }

    let title: String
    var way: Way

    /// Whether both are of one thing of the host, which is there as long as one of them is wanted.
    func isOfSame(as other: HostUndo) -> Bool {
        switch (way, other.way) {
        case (.setting(let path, _, _), .setting(let another, _, _)): path == another
        case (.commands, .commands): way == other.way
        default: false
        }
    }

    /// Is to lead to where one of the same thing would have led, which is not taken.
    mutating func inherit(_ other: HostUndo) {
        // Whoever came second found what the first had written.
        guard case .setting(let path, let was, let wrote) = way, was == wrote,
            case .setting(_, let before, _) = other.way
        else { return }
        way = .setting(path: path, was: before, wrote: wrote)
    }

    /// Takes it back, also where it was never made, was taken back already, or went with the interface. Returns what somebody
    /// else has changed since, which is left as it is; throws where it could not be taken back.
    func perform(_ tools: HostTools) throws -> String? {
        do {
            switch way {
            case .commands(let commands):
                for command in commands { try tools.perform(command) }
                return nil
            case .setting(let path, let was, let wrote):
                guard try KernelSetting.read(path) == wrote else { return nil }
                try KernelSetting.write(path, was)
                return nil
            case .resolverFile(let file): return try file.restore()
            }
        } catch {
            let failure = NodeFailure(error)
            throw NodeFailure(failure.status, "\(title): \(failure.message)")
        }
    }
}
