// SPDX-License-Identifier: Apache-2.0
// What a suite counted, for people: a line at its end, and a file that reports quote.
import Foundation

enum Figures {
    /// One line, and for each figure `suite name value unit`, tab-separated, at the end of the file that `PQVPN_RESULTS` names:
    /// scripts/assurance collects them.
    static func tell(_ suite: String, _ figures: [(name: String, value: Int, unit: String)]) {
        print("\(suite): " + figures.map { "\($0.value) \($0.unit)" }.joined(separator: ", "))
        guard let path = ProcessInfo.processInfo.environment["PQVPN_RESULTS"] else { return }
        let lines = figures.map { "\(suite)\t\($0.name)\t\($0.value)\t\($0.unit)\n" }.joined()
        if !FileManager.default.fileExists(atPath: path) {
            _ = FileManager.default.createFile(atPath: path, contents: nil)
        }
        guard let file = FileHandle(forWritingAtPath: path) else { return print("cannot write to \(path)") }
        defer { try? file.close() }
        _ = try? file.seekToEnd()
        try? file.write(contentsOf: Data(lines.utf8))
    }

    /// A number from the environment.
    static func number(_ name: String) -> Int? { ProcessInfo.processInfo.environment[name].flatMap { Int($0) } }
}
