// SPDX-License-Identifier: Apache-2.0
// `identity rotate --out FILE`: a refusal that names the file must mean that nothing was done, or whoever runs it again
// rotates twice, and no peer can follow.
import Foundation
import Testing
import VPNCore
import VPNCrypto

@testable import VPNNode

@Suite struct RotationOutputTests {
    private func target(_ keys: String) throws -> IdentityCommandTarget {
        try IdentityCommandTarget(configurationFile: nil, keyDirectory: keys, passphraseFile: nil)
    }

    @Test(arguments: ["taken.pub", "absent/new.pub"])
    func aStatementThatCannotBeWrittenRotatesNothing(_ output: String) throws {
        let scratch = try Scratch()
        let keys = scratch.file("keys")
        let id = try PersistentIdentity.generate(into: keys, nickname: "a").descriptor.keys.peerID
        try scratch.write("somebody's\n", to: "taken.pub")
        let failed = failure(of: { _ = try target(keys).rotate(nickname: nil, output: scratch.file(output)) })
        #expect(failed != nil)
        let present = try PersistentIdentity.load(directory: keys).publicKeys.peerID
        #expect(present == id, "refused with '\(failed?.message ?? "")', and rotated all the same")
        let aside = scratch.names.filter { $0.hasPrefix("keys.old-") }
        #expect(aside == [])
        #expect(try scratch.read("taken.pub") == "somebody's\n")
        // To a file that is free it is done, once.
        let report = try target(keys).rotate(nickname: nil, output: scratch.file("free.pub"))
        let statement = try RotationFile.read(scratch.file("free.pub"))
        #expect(statement.oldID == id && statement.newID.hex == report.peerID)
    }
}
