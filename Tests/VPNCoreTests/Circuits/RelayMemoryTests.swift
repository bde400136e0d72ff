// SPDX-License-Identifier: Apache-2.0
// What an idle circuit costs a relay in memory (§8), as malloc counts it: all that goes when the relay does.
import Foundation
import Glibc
import Testing
import VPNTesting

@testable import VPNCore
@testable import VPNCrypto

@Suite struct RelayMemoryTests {
    private static let mark = "PQVPN_MEMORY"
    /// §8 wants 4 KiB at most.
    private static let most = [1024, 4096, 4096]

    /// Other tests of this process would be counted, too: so the measure is taken in one of its own.
    @Test func idleCircuitsTakeLittle() throws {
        if ProcessInfo.processInfo.environment[Self.mark] != nil { return try measure() }
        let child = Process()
        child.executableURL = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
        child.arguments = ["--testing-library", "swift-testing", "--filter", "RelayMemoryTests"]
        child.environment = ProcessInfo.processInfo.environment.merging([Self.mark: "1"]) { $1 }
        let output = Pipe()
        (child.standardOutput, child.standardError) = (output, output)
        try child.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        child.waitUntilExit()
        let lines = text.split(separator: "\n").filter { $0.hasPrefix(Self.mark) }
        for line in lines { print(line) }
        #expect(child.terminationStatus == 0 && lines.count == 3, "\(text)")
    }

    private func measure() throws {
        let few = try footprints(ofCircuits: 50)
        let many = try footprints(ofCircuits: 400)
        for (place, role) in ["first", "middle", "last"].enumerated() {
            let bytes = (many[place] - few[place]) / 350
            print("\(Self.mark): \(bytes) bytes for each idle circuit at its \(role) relay")
            #expect(bytes <= Self.most[place], "\(role)")
            // Nothing would not be measured at all.
            #expect(bytes > 200, "\(role)")
        }
    }

    /// Bytes in use that go with each of three relays through which so many circuits of three hops lead.
    private func footprints(ofCircuits count: Int) throws -> [Int] {
        var policy = RelayPolicy()
        policy.extendsPerMinute = 0
        policy.handshakesPerMinutePerLink = 1_000_000
        let perClient = 50
        var scenario: CircuitScenario! = CircuitScenario(
            seed: 5, relays: 3, policy: policy, others: count / perClient)
        let network = scenario.network
        network.isCapturing = false
        network.run(for: .seconds(2))
        for number in 0..<count {
            let prefix = IPPrefix(containing: IPAddress(v4: 0x0A64_0000 + UInt32(number)), length: 32)
            let request = CircuitRequest(
                name: "c\(number)", hops: [1, 2, 3].map(scenario.id), allowedIPs: [prefix])
            _ = try network.build(request, at: scenario.others[number / perClient])
            network.run(for: .milliseconds(40))
        }
        // What handshakes leave for a while is gone by then.
        network.run(for: .seconds(60))
        #expect(scenario.relays.map(\.footprint.relayed) == [count, count, 0], "\(scenario.relays.map(\.footprint))")
        #expect(scenario.relays.map(\.footprint.guests) == [0, count, count])
        var relays = scenario.relays
        for relay in relays {
            // What the test keeps of it is no relay's.
            relay.forgetEvents()
            network.detach(relay)
        }
        scenario = nil
        return try (0..<3).map { _ in
            let before = try bytesInUse()
            let secret = SecretMemory.shared.bytesInUse
            relays.removeFirst()
            return before - (try bytesInUse()) + secret - SecretMemory.shared.bytesInUse
        }
    }

    /// What malloc has given out: what it has of the system, less what lies free in it.
    private func bytesInUse() throws -> Int {
        // SAFETY: that is its type (malloc_info(3)); Swift's Glibc lacks its header.
        typealias MallocInfo = @convention(c) (CInt, UnsafeMutablePointer<FILE>) -> CInt
        guard let symbol = unsafe dlsym(nil, "malloc_info"), let file = unsafe tmpfile() else {
            Issue.record("no malloc_info, or no temporary file")
            return 0
        }
        let mallocInfo = unsafe unsafeBitCast(symbol, to: MallocInfo.self)
        // SAFETY: a stream on a file that exists as long as it does.
        defer { unsafe fclose(file) }
        let status = unsafe mallocInfo(0, file)
        #expect(status == 0)
        unsafe rewind(file)
        var text = ""
        var line = [CChar](repeating: 0, count: 4096)
        while unsafe fgets(&line, CInt(line.count), file) != nil {
            text += String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
        // The last of each are the sums of all arenas.
        func size(_ tag: String) throws -> Int {
            let matches = text.matches(of: try Regex("<\(tag)[^>]* size=\"([0-9]+)\""))
            let digits = matches.last?.output[1].substring
            return try #require(digits.flatMap { Int($0) })
        }
        return try size("system type=\"current\"") - size("total type=\"fast\"") - size("total type=\"rest\"")
            + size("total type=\"mmap\"")
    }
}
