import Foundation
// SPDX-License-Identifier: Apache-2.0
// Runs all benchmarks of this package in turn, several rounds of all, and reports the medians. Run by scripts/bench, which
// says what the arguments are.
import Nodes
import VPNCrypto

@main
struct Benchmarks {
    private var rounds = 5
    private var rowFiles: [String] = []
    private var jsonFile: String?
    private var documents: [String] = []
    private var plotFile: String?
    private var origin = "Measured by `make bench`."

    static func main() {
        do {
            try Benchmarks(CommandLine.arguments.dropFirst()).run()
        } catch {
            try? FileHandle.standardError.write(contentsOf: Data("bench: \(error)\n".utf8))
            exit(1)
        }
    }

    private init(_ arguments: ArraySlice<String>) throws {
        var rest = arguments
        while let option = rest.popFirst() {
            guard let value = rest.popFirst() else { throw Failure("\(option) needs a value") }
            switch option {
            case "--rounds":
                // 0: only what stands in files of rows.
                guard let number = Int(value), (0...1000).contains(number) else { throw Failure("--rounds \(value)") }
                rounds = number
            case "--rows": rowFiles.append(value)
            case "--json": jsonFile = value
            case "--plot": plotFile = value
            case "--write": documents.append(value)
            case "--origin": origin = value
            default: throw Failure("unknown argument \(option)")
            }
        }
    }

    private func run() throws {
        var results = Results()
        if rounds > 0 { try measure(&results) }
        for file in rowFiles { try results.add(file: file) }
        let report = Report(results: results, origin: origin)
        print(report.markdown)
        if let jsonFile {
            try Data(report.jsonLines.utf8).write(to: URL(filePath: jsonFile))
        } else {
            print(try report.jsonLines, terminator: "")
        }
        if let plotFile { try Data(Comparison(results).plot.utf8).write(to: URL(filePath: plotFile)) }
        for document in documents { try report.write(into: document) }
    }

    private func measure(_ results: inout Results) throws {
        let handshakes = try HandshakeBenchmark()
        var packets = [
            PacketBenchmark(.aes256GCM, label: "AES-256-GCM"),
            PacketBenchmark(.chaCha20Poly1305, label: "ChaCha20-Poly1305"),
        ]
        let tables = TableBenchmark()
        for number in 1...rounds {
            // Patience is for all rounds together: a machine that is never quiet is reported as such.
            Processor.waitForQuiet(patience: 180 / Double(rounds))
            let foreign = try Processor.foreignLoad {
                try PrimitiveBenchmark.round(&results)
                try handshakes.round(&results)
                for place in packets.indices { try packets[place].round(&results) }
                try tables.round(&results)
            }
            if let foreign {
                results.add(.run, "other work while the above was measured", "cores", foreign)
            }
            try? FileHandle.standardError.write(contentsOf: Data("bench: round \(number) of \(rounds)\n".utf8))
        }
    }
}
