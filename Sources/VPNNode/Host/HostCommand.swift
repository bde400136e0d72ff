// SPDX-License-Identifier: Apache-2.0
// One program with its arguments and what it reads, as a value: plans are made of these, and tests look at them. Running one
// is HostTools' matter.

/// A command without a shell.
public struct HostCommand: Codable, Hashable, Sendable {
    /// A name that is looked for in PATH: "ip".
    public var tool: String
    public var arguments: [String]
    /// What it reads from standard input.
    public var input: String?
    /// Words of the tool that mean that there is nothing to do: of a command that takes something back, that it is gone already.
    public var gone: [String]

    init(_ tool: String, _ arguments: [String], input: String? = nil, gone: [String] = []) {
        self.tool = tool
        self.arguments = arguments
        self.input = input
        self.gone = gone
    }
}

extension HostCommand: CustomStringConvertible {
    /// As somebody would type it.
    public var description: String { ([tool] + arguments).map(Self.quoted).joined(separator: " ") }

    private static func quoted(_ word: String) -> String {
        let isPlain =
            !word.isEmpty
            && word.utf8.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
                default: "-_./:=,@%+".utf8.contains(byte)
                }
            }
        return isPlain
            ? word : "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
    }
}
