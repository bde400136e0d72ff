// SPDX-License-Identifier: Apache-2.0
// The completions load in the shells that this machine has, and bash completes with them.
import Foundation
import Testing

@Suite struct CompletionTests {
    @Test func bashCompletesCommands() throws {
        let scratch = try Scratch()
        let made = try Program.run(["completions", "bash"], in: scratch)
        #expect(made.status == 0)
        try scratch.write(made.output, to: "pqvpn.bash")
        // What the shell does when somebody types "pqvpn doc" and a tab.
        let script = """
            set -e; source ./pqvpn.bash
            COMP_WORDS=(pqvpn doc); COMP_CWORD=1; COMP_LINE="pqvpn doc"; COMP_POINT=9; COMP_TYPE=9; COMP_KEY=9
            words="$(complete -p pqvpn)"; name="${words#*-F }"; name="${name%% *}"
            set +e; "$name" pqvpn doc pqvpn; echo "${COMPREPLY[@]}"
            """
        try scratch.write(script, to: "try.sh")
        let tried = try Program.launch(["/bin/bash", "--norc", "try.sh"], in: scratch)
        #expect(tried.status == 0 && tried.output.contains("doctor"), "\(tried.output) \(tried.errors)")
    }

    @Test func otherShellsGetTheirOwn() throws {
        let scratch = try Scratch()
        for (shell, word) in [("zsh", "#compdef pqvpn"), ("fish", "complete -c 'pqvpn'")] {
            let made = try Program.run(["completions", shell], in: scratch)
            #expect(made.status == 0 && made.output.contains(word), "\(made.output.prefix(300))")
        }
        let unknown = try Program.run(["completions", "bsh"], in: scratch)
        #expect(unknown.status == 2 && unknown.errors.contains("did you mean 'bash'"), "\(unknown.errors)")
    }
}
