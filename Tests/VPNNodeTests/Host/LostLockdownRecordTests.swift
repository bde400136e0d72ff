// SPDX-License-Identifier: Apache-2.0
// A record of the lockdown that cannot be read: who asked for it is not known any more, and that opens no host.
import Foundation
import Testing

@testable import VPNNode

@Suite(.threads(.programs)) struct LostLockdownRecordTests {
    private struct Place {
        let scratch = try! Scratch()
        let lockdown: Lockdown

        init() throws {
            for directory in ["bin", "state"] {
                try FileManager.default.createDirectory(
                    atPath: scratch.file(directory), withIntermediateDirectories: false,
                    attributes: [.posixPermissions: 0o700])
            }
            try scratch.write("#!/bin/sh\ncat >> \(scratch.file("told"))\n", to: "bin/nft", mode: 0o755)
            lockdown = Lockdown(
                tools: HostTools(path: scratch.file("bin"), scratch: scratch.file("state")),
                places: HostPlaces(state: scratch.file("state")))
        }

        /// What the kernel was given since the last time.
        func told() -> String {
            defer { try? FileManager.default.removeItem(atPath: scratch.file("told")) }
            return (try? scratch.read("told")) ?? ""
        }

        func spoil() throws { try scratch.write("{", to: "state/lockdown.json") }
    }

    /// Nothing is told to the kernel, or a table that is there afterwards.
    private func keeps(_ told: String) -> Bool { told.isEmpty || told.contains("chain output") }

    @Test func whoGoesOpensNothingForOthers() throws {
        let place = try Place()
        try place.lockdown.hold(for: LockdownRecord.byHand, .plain)
        try place.lockdown.hold(for: "x", .plain)
        _ = place.told()
        // As it is where the record can be read.
        var isOff = try place.lockdown.release(for: "x")
        #expect(!isOff && keeps(place.told()))
        try place.lockdown.hold(for: "x", .plain)
        _ = place.told()
        try place.spoil()
        isOff = (try? place.lockdown.release(for: "x")) ?? false
        let told = place.told()
        #expect(!isOff && keeps(told), "\(told)")
    }

    @Test func whoComesForgetsNobody() throws {
        let place = try Place()
        try place.lockdown.hold(for: LockdownRecord.byHand, .plain)
        try place.spoil()
        try place.lockdown.hold(for: "x", .plain)
        #expect(place.told().contains("chain output"))
        let isOff = (try? place.lockdown.release(for: "x")) ?? false
        let told = place.told()
        #expect(!isOff && keeps(told), "\(told)")
        // A way out there is all the same.
        try place.lockdown.off()
        #expect(place.told() == LockdownPlan.removal)
    }
}
