// SPDX-License-Identifier: Apache-2.0
// `pqvpn completions`: what a shell needs to complete this program's commands and flags.
internal import ArgumentParser
internal import VPNNode

struct CompletionsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "completions", abstract: "Print the completions of a shell: bash, zsh or fish.",
        discussion: "bash: source <(pqvpn completions bash)")

    @Argument(help: "bash, zsh or fish.")
    var shell: String

    func run() throws {
        let names = ["bash", "zsh", "fish"]
        guard names.contains(shell), let kind = CompletionShell(rawValue: shell) else {
            let near = Spelling.nearest(to: shell, among: names).map { "; did you mean '\($0)'?" } ?? ""
            throw NodeFailure(
                .usage, "there are completions for \(names.joined(separator: ", ")), not for '\(shell)'\(near)")
        }
        print(PQVPNCommand.completionScript(for: kind))
    }
}
