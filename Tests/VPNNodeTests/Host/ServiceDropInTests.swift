// SPDX-License-Identifier: Apache-2.0
// What `init --service` finds there already: a drop-in of the operator's and keys stay as they are. Root only, as
// services are.
import Foundation
import Testing

@testable import VPNNode

@Suite(.threads(.programs)) struct ServiceDropInTests {
    private struct Place {
        let scratch = try! Scratch()
        var places = ServicePlaces()

        init() throws {
            try FileManager.default.createDirectory(atPath: scratch.file("bin"), withIntermediateDirectories: false)
            try scratch.write(
                "#!/bin/sh\necho \"$@\" >> \(scratch.file("runuser.log"))\n", to: "bin/runuser", mode: 0o755)
            places.unit = try scratch.write("", to: "pqvpn@.service")
            places.dropIns = scratch.file("units")
            places.state = scratch.file("state")
            places.users = try scratch.write("pqvpn:x:921:922::/:/bin/false\n", to: "passwd")
            places.path = scratch.file("bin")
        }

        func service() throws -> ServiceInstallation {
            try ServiceInstallation(places, name: "hub", directory: scratch.path, scratch: scratch.path)
        }

        var calls: [Substring] { ((try? scratch.read("runuser.log")) ?? "").split(separator: "\n") }
    }

    private func withPlace(_ body: (Place) throws -> Void) throws {
        guard isRoot else { return print("SKIPPED: \(Test.current?.name ?? ""): this user is not root") }
        try body(Place())
    }

    @Test func aDropInOfTheOperatorsStays() throws {
        try withPlace { place in
            let source = try place.scratch.write("[Service]\nPrivateUsers=yes\n", to: "relay.conf")
            let target = "units/pqvpn@hub.service.d/relay.conf"
            #expect(try !place.service().add(dropIn: place.scratch.file("none.conf")))
            #expect(!place.scratch.names.contains("units"))
            #expect(try place.service().add(dropIn: source))
            #expect(try place.scratch.read(target) == "[Service]\nPrivateUsers=yes\n")
            try place.scratch.write("[Service]\nPrivateUsers=no\n", to: target)
            #expect(try place.service().add(dropIn: source))
            #expect(try place.scratch.read(target) == "[Service]\nPrivateUsers=no\n")
        }
    }

    @Test func keysAreMadeOnceAndByTheirUser() throws {
        try withPlace { place in
            let service = try place.service()
            #expect(try service.makeIdentity(nickname: "hub"))
            #expect(place.calls.count == 1 && place.calls.first?.hasPrefix("-u pqvpn -- ") == true, "\(place.calls)")
            try FileManager.default.createDirectory(atPath: service.keys, withIntermediateDirectories: false)
            try place.scratch.write("", to: "state/hub.keys/\(PersistentIdentity.descriptorName)")
            #expect(try !service.makeIdentity(nickname: "hub"))
            #expect(place.calls.count == 1)
        }
    }

    @Test(arguments: ["pqvpn:x:abc:922::/:/bin/false\n", "pqvpn:x:921\n", "pqvpnx:x:921:922::/:/bin/false\n", ""])
    func aUserThatIsNoneIsNamed(_ users: String) throws {
        try withPlace { place in
            try place.scratch.write(users, to: "passwd")
            let refused = failure { _ = try place.service() }
            #expect(refused?.message.contains("needs the user 'pqvpn'") == true, "\(refused?.message ?? "taken")")
            try place.scratch.write("pqvpn:x:921:922::/:/bin/false\n", to: "passwd")
            _ = try place.service()
        }
    }
}
