// SPDX-License-Identifier: Apache-2.0
// What the argument parser knows of a command, as much of its JSON as manual pages need. Its own types for that are in a library
// that no program of ours has use for otherwise.
internal import Foundation

struct CommandTree: Decodable {
    struct Argument: Decodable {
        struct Name: Decodable {
            let kind: String
            let name: String

            /// As mdoc's Fl wants it: without the first hyphen.
            var flag: String { kind == "long" ? "-\(name)" : name }
        }

        let kind: String
        let shouldDisplay: Bool
        let isOptional: Bool
        let isRepeating: Bool
        let names: [Name]?
        let preferredName: Name?
        let valueName: String?
        let defaultValue: String?
        let abstract: String?
        let discussion: String?

        var isPositional: Bool { kind == "positional" }
    }

    let commandName: String
    let superCommands: [String]?
    let abstract: String?
    let discussion: String?
    let shouldDisplay: Bool?
    let subcommands: [CommandTree]?
    let arguments: [Argument]?

    /// "pqvpn peers add".
    var path: [String] { (superCommands ?? []) + [commandName] }
    var shownArguments: [Argument] { (arguments ?? []).filter { $0.shouldDisplay && $0.preferredName?.name != "help" } }
    /// Without the parser's own `help`, which says what these pages say.
    var shownSubcommands: [CommandTree] {
        (subcommands ?? []).filter { $0.shouldDisplay ?? true && $0.commandName != "help" }
    }

    /// It and everything below it.
    var all: [CommandTree] { [self] + shownSubcommands.flatMap(\.all) }

    private struct Tool: Decodable { let command: CommandTree }

    /// The tree that is described by the parser's JSON.
    init(json: String) throws { self = try JSONDecoder().decode(Tool.self, from: Data(json.utf8)).command }
}
