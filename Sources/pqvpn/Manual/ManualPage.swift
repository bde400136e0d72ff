// SPDX-License-Identifier: Apache-2.0
// A command's manual page in mdoc(7). Pure: text in, text out; all words come from the commands themselves.
internal import VPNNode

struct ManualPage {
    let command: CommandTree
    /// "November 25, 2026".
    let date: String

    var title: String { command.path.joined(separator: "-") }
    var fileName: String { "\(title).1" }

    var text: String {
        var lines = [
            ".Dd \(date)", ".Dt \(title.uppercased()) 1", ".Os", ".Sh NAME", ".Nm \(title)",
            ".Nd \(Self.words(Self.withoutStop(command.abstract ?? title)))", ".Sh SYNOPSIS",
            ".Nm \(command.path.joined(separator: " "))",
        ]
        lines += command.shownArguments.map(Self.synopsis)
        if !command.shownSubcommands.isEmpty { lines.append(".Ar command") }
        lines += [".Sh DESCRIPTION"]
        let opening = [command.abstract, command.discussion].compactMap(\.self).filter { !$0.isEmpty }
        lines += Array(opening.map(Self.paragraph).joined(separator: [".Pp"]))
        if !command.shownArguments.isEmpty {
            lines += [".Bl -tag -width Ds"] + command.shownArguments.flatMap(Self.item) + [".El"]
        }
        if !command.shownSubcommands.isEmpty {
            lines += [".Ss Commands", ".Bl -tag -width Ds"]
            for below in command.shownSubcommands {
                lines += [".It Cm \(below.commandName)"] + Self.paragraph(below.abstract ?? "")
            }
            lines.append(".El")
        }
        lines += [".Sh EXIT STATUS", ".Bl -tag -width Ds -compact"]
        for status in ExitStatus.allCases { lines += [".It \(status.rawValue)"] + Self.paragraph(status.meaning) }
        lines.append(".El")
        let others = seeAlso
        if !others.isEmpty {
            lines.append(".Sh SEE ALSO")
            lines += others.enumerated().map { ".Xr \($1) 1" + ($0 + 1 < others.count ? " ," : "") }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private var seeAlso: [String] {
        let above = command.path.dropLast()
        let below = command.shownSubcommands.map { $0.path.joined(separator: "-") }
        return ((above.isEmpty ? [] : [above.joined(separator: "-")]) + below).sorted()
    }

    // MARK: Arguments

    private static func synopsis(_ argument: CommandTree.Argument) -> String {
        let value = argument.valueName.map { "Ar \(words($0))" } ?? ""
        let repeats = argument.isRepeating ? " ..." : ""
        let flag = argument.preferredName.map { "Fl \($0.flag)" } ?? ""
        let core =
            switch argument.kind {
            case "positional": value + repeats
            case "flag": flag
            default: "\(flag) \(value)\(repeats)"
            }
        return argument.isOptional ? ".Op \(core)" : ".\(core)"
    }

    private static func item(_ argument: CommandTree.Argument) -> [String] {
        let names = (argument.names ?? []).map { "Fl \($0.flag)" }.joined(separator: " , ")
        let value = argument.valueName.map { "Ar \(words($0))" } ?? ""
        let head =
            switch argument.kind {
            case "positional": ".It \(value)"
            case "flag": ".It \(names)"
            default: ".It \(names) \(value)"
            }
        var lines = [head]
        let told = [argument.abstract, argument.discussion].compactMap(\.self).filter { !$0.isEmpty }
        lines += told.flatMap(paragraph)
        if let standard = argument.defaultValue, argument.kind != "flag" { lines += paragraph("Default: \(standard).") }
        return lines
    }

    // MARK: Text

    /// Each sentence on a line of its own, as the language wants it; empty lines divide paragraphs.
    private static func paragraph(_ text: String) -> [String] {
        var lines: [String] = []
        for line in text.split(separator: "\n", omittingEmptySubsequences: false) {
            let trimmed = String(line.drop { $0 == " " })
            if trimmed.isEmpty {
                if lines.last != ".Pp", !lines.isEmpty { lines.append(".Pp") }
                continue
            }
            var sentence = ""
            for word in trimmed.split(separator: " ") {
                sentence += (sentence.isEmpty ? "" : " ") + word
                if word.hasSuffix("."), word.count > 2 {
                    lines.append(escaped(sentence))
                    sentence = ""
                }
            }
            if !sentence.isEmpty { lines.append(escaped(sentence)) }
        }
        return lines
    }

    /// A line of text that no formatter takes for anything else.
    private static func escaped(_ text: String) -> String {
        let plain = text.replacing("\\", with: "\\e")
        return plain.hasPrefix(".") || plain.hasPrefix("'") ? "\\&" + plain : plain
    }

    /// Words behind a macro: none of them is one, nor punctuation that would leave its scope, nor a quotation.
    private static func words(_ text: String) -> String {
        text.split(separator: " ").map { word in
            let escaped = word.replacing("\\", with: "\\e").replacing("\"", with: "\\(dq")
            let isLikeMacro = (2...3).contains(word.count) && word.first?.isUppercase == true
            let isPunctuation = word.count == 1 && word.first?.isLetter == false
            return isLikeMacro || isPunctuation ? "\\&" + escaped : escaped
        }.joined(separator: " ")
    }

    private static func withoutStop(_ text: String) -> String { text.hasSuffix(".") ? String(text.dropLast()) : text }
}
