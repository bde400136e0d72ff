// SPDX-License-Identifier: Apache-2.0
// Files that no log is written to: what others could have put there, or could write to.
import Foundation
import Logging
import Testing

@testable import VPNNode

@Suite struct LogPlaceTests {
    private func refusal(_ scratch: Scratch, _ name: String) -> NodeFailure? {
        failure { _ = try LogOutput.file(scratch.file(name)) }
    }

    @Test func whatIsNoFileOfOursIsRefused() throws {
        let scratch = try Scratch()
        try scratch.write("precious", to: "real")
        try scratch.link("linked.log", to: scratch.file("real"))
        #expect(refusal(scratch, "linked.log")?.message.contains("is a symbolic link") == true)
        for mode in [0o620, 0o602, 0o666] {
            try scratch.write("", to: "open.log", mode: mode)
            let open = refusal(scratch, "open.log")
            #expect(open?.status == .permission && open?.message.contains("others can write") == true, "\(mode)")
        }
        // Nobody reads it: opening must not wait for somebody who does.
        scratch.makeFIFO("fifo.log")
        #expect(refusal(scratch, "fifo.log") != nil)
        try FileManager.default.createDirectory(
            atPath: scratch.file("directory.log"), withIntermediateDirectories: false)
        #expect(refusal(scratch, "directory.log") != nil)
        #expect(refusal(scratch, "absent/n.log")?.message.contains("No such file") == true)
        #expect(try scratch.read("real") == "precious")
    }

    @Test func whatIsOursIsAppendedTo() throws {
        let scratch = try Scratch()
        // Others may read it, where the operator wants that.
        try scratch.write("{}\n", to: "n.log", mode: 0o640)
        let output = try LogOutput.file(scratch.file("n.log"))
        output.logger("node", level: .info).info("a line", metadata: ["event": "a.b"])
        let text = try scratch.read("n.log")
        #expect(text.hasPrefix("{}\n{\"ts\":") && text.hasSuffix("}\n") && text.contains("a line"), "\(text)")
        #expect(output.linesLost == 0 && output.format == .json)
    }
}
