// SPDX-License-Identifier: Apache-2.0
// Who holds a lockdown, by fakes of nft: what the kernel refuses is not on record, whoever goes leaves the rest to
// others, and the ways out need little.
import Foundation
import Testing
import VPNCore

@testable import VPNNode

@Suite(.threads(.programs)) struct LockdownRecordTests {
    private struct Place {
        let scratch = try! Scratch()
        let lockdown: Lockdown

        init() throws {
            for directory in ["bin", "state", "profiles"] {
                try FileManager.default.createDirectory(
                    atPath: scratch.file(directory), withIntermediateDirectories: false,
                    attributes: [.posixPermissions: 0o700])
            }
            let script = """
                #!/bin/sh
                [ ! -f \(scratch.file("no-f")) ] || [ "$1" != -f ] || exit 1
                [ ! -f \(scratch.file("no-list")) ] || [ "$1" != list ] || exit 1
                [ ! -f \(scratch.file("no-delete")) ] || [ "$1" != delete ] || exit 1
                [ "$1" != -f ] || cat > \(scratch.file("told"))

                """
            try scratch.write(script, to: "bin/nft", mode: 0o755)
            lockdown = Lockdown(
                tools: HostTools(path: scratch.file("bin"), scratch: scratch.file("state")),
                places: HostPlaces(state: scratch.file("state")))
        }

        /// The last that the kernel was given.
        var told: String { (try? scratch.read("told")) ?? "" }
        var holders: [String] { lockdown.record.holders.keys.sorted() }

        func fails(_ verb: String, _ isSo: Bool) throws {
            if isSo {
                try scratch.write("", to: "no-\(verb)")
            } else {
                try FileManager.default.removeItem(atPath: scratch.file("no-\(verb)"))
            }
        }
    }

    private static let one = LockdownPlan(interfaces: ["t1"], marks: [5], networks: [])
    private static let two = LockdownPlan(interfaces: ["t2"], marks: [6], networks: [])

    @Test func whatTheKernelRefusesIsNotOnRecord() throws {
        let place = try Place()
        try place.lockdown.hold(for: "x", Self.one)
        try place.fails("f", true)
        #expect(failure { try place.lockdown.hold(for: "y", Self.two) } != nil)
        #expect(place.holders == ["x"])
        // Other exceptions of its own are not, either.
        #expect(failure { try place.lockdown.hold(for: "x", Self.two) } != nil)
        #expect(place.lockdown.record.holders == ["x": Self.one])
        // Nor is its end.
        #expect(failure { _ = try place.lockdown.release(for: "x") } != nil)
        #expect(failure { try place.lockdown.off() } != nil)
        #expect(place.holders == ["x"])
        try place.fails("f", false)
        #expect(try place.lockdown.release(for: "x") && place.holders == [])
        #expect(place.told == LockdownPlan.removal)
    }

    @Test func whoGoesTakesItsExceptionsAlong() throws {
        let place = try Place()
        try place.lockdown.hold(for: "x", Self.one)
        try place.lockdown.hold(for: "y", Self.two)
        #expect(place.told.contains("oifname { \"t1\", \"t2\" } accept"))
        #expect(try !place.lockdown.release(for: "x"))
        #expect(place.told.contains("oifname { \"t2\" } accept") && place.told.contains("meta mark { 6 } accept"))
        // Somebody who never held it takes nothing.
        #expect(try !place.lockdown.release(for: "z"))
        #expect(place.holders == ["y"] && place.told.contains("\"t2\""))
        #expect(try place.lockdown.release(for: "y"))
        #expect(place.told == LockdownPlan.removal && place.lockdown.record == LockdownRecord())
    }

    @Test func offNeedsNoRecordThatCanBeRead() throws {
        let place = try Place()
        try place.lockdown.hold(for: "x", Self.one)
        try place.scratch.write("{", to: "state/lockdown.json")
        try place.lockdown.off()
        #expect(place.told == LockdownPlan.removal)
        #expect(try FileManager.default.contentsOfDirectory(atPath: place.scratch.file("state")) == [])
    }

    @Test func anEmergencyNeedsNftAlone() throws {
        let place = try Place()
        #expect(try Lockdown.emergency(path: place.scratch.file("bin")))
        try place.fails("delete", true)
        let refused = failure { _ = try Lockdown.emergency(path: place.scratch.file("bin")) }
        #expect(refused?.status == .permission && refused?.message.contains("sudo nft delete table") == true)
        // No table is good news to root alone: others are not told of any.
        try place.fails("list", true)
        if isRoot {
            #expect(try !Lockdown.emergency(path: place.scratch.file("bin")))
        } else {
            let unseen = failure { _ = try Lockdown.emergency(path: place.scratch.file("bin")) }
            #expect(unseen?.status == .permission && unseen?.message.contains("sudo") == true)
        }
    }

    @Test func profilesAreTakenAsTheyAreNamed() throws {
        let place = try Place()
        try place.scratch.write("network: { fwmark: 0 }\n", to: "profiles/unmarked.yaml")
        try place.scratch.write("tunnel: { enabled: false }\n", to: "profiles/relay.yaml")
        try place.scratch.write("tunnel: { interface: t7 }\n", to: "profiles/home.yaml")
        var places = HostPlaces()
        places.profiles = place.scratch.file("profiles")
        let lockdown = LockdownSwitch(places: places)
        #expect(try lockdown.plans(["home"]).map(\.interfaces) == [["t7"]])
        #expect(try lockdown.plans(["relay"]).isEmpty)
        let unmarked = failure { _ = try lockdown.plans(["home", "unmarked"]) }
        #expect(unmarked?.status == .usage && unmarked?.message.contains("network.fwmark is 0") == true)
        #expect(failure { _ = try lockdown.plans(["hoem"]) }?.message.contains("did you mean 'home'?") == true)
    }

    @Test func aReportSaysHowItStands() throws {
        let networks = [try IPPrefix("203.0.113.0/24")]
        let open = LockdownPlan(interfaces: ["t1"], marks: [5], networks: networks)
        func text(_ state: LockdownReport.State, _ plan: LockdownPlan?, _ holders: [String]) -> String {
            LockdownReport(state: state, plan: plan, holders: holders).text
        }
        #expect(LockdownReport.off.text == "lockdown is off")
        #expect(text(.missing, open, ["x"]).contains("MISSING: it is wanted for x"))
        #expect(text(.different, nil, []).contains("DIFFERENT") && text(.different, nil, []).contains("nobody asked"))
        #expect(text(.different, open, ["x"]).contains("for x") && !text(.different, open, ["x"]).contains("nobody"))
        #expect(text(.on, open, ["by hand", "x"]).hasPrefix("lockdown is on for by hand, x: out go t1 "))
        #expect(text(.on, open, ["x"]).contains("in clear, but for names: 203.0.113.0/24"))
        #expect(!text(.on, Self.one, ["x"]).contains("in clear"))
    }
}
