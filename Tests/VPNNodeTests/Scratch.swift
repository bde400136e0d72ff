// SPDX-License-Identifier: Apache-2.0
// A directory for one test, and the identities that many tests need.
import Foundation
import Glibc
import VPNCore
import VPNCrypto

@testable import VPNNode

/// Removed with its last reference.
final class Scratch: Sendable {
    let path: String

    init() throws {
        path = "\(NSTemporaryDirectory())/pqvpn-test-\(UInt64.random(in: .min ... .max))"
        try FileManager.default.createDirectory(
            atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func file(_ name: String) -> String { "\(path)/\(name)" }

    @discardableResult
    func write(_ text: String, to name: String, mode: Int = 0o600) throws -> String {
        let isProgram = mode & 0o111 != 0
        let written = isProgram ? "\(name).text" : name
        try Data(text.utf8).write(to: URL(fileURLWithPath: file(written)))
        if isProgram {
            // A child that another test starts meanwhile holds all files that are open here until it is another program, and the kernel
            // runs nothing that somebody has open for writing: a copy that no file of this process was ever open to.
            guard try Program.launch(["/bin/cp", file(written), file(name)], in: self).status == 0 else {
                throw CocoaError(.fileWriteUnknown)
            }
            try FileManager.default.removeItem(atPath: file(written))
        }
        try setMode(mode, of: name)
        return file(name)
    }

    func setMode(_ mode: Int, of name: String) throws {
        try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: file(name))
    }

    func read(_ name: String) throws -> String { try String(contentsOfFile: file(name), encoding: .utf8) }

    func link(_ name: String, to target: String) throws {
        try FileManager.default.createSymbolicLink(atPath: file(name), withDestinationPath: target)
    }

    /// Makes it the property of nobody. Root only.
    func giveAway(_ name: String) throws {
        try FileManager.default.setAttributes(
            [.ownerAccountID: 65534, .groupOwnerAccountID: 65534], ofItemAtPath: file(name))
    }

    func makeFIFO(_ name: String) {
        // SAFETY: the path is a terminated string for the length of the call.
        _ = unsafe mkfifo(file(name), 0o600)
    }

    var names: [String] { ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted() }
}

enum Identities {
    static let alice = try! SoftwareIdentity()
    static let bob = try! SoftwareIdentity()

    static func pin(_ identity: SoftwareIdentity, _ name: String) -> PinnedPeer {
        PinnedPeer(keys: identity.publicKeys, name: name, origin: .operatorAdded)
    }

    static func descriptor(_ identity: SoftwareIdentity, _ name: String) throws -> Descriptor {
        try LoadedIdentity(signer: identity, nickname: name, isTemporary: false).descriptor
    }
}

/// The failure that a call ends with; nil where it ends well.
func failure(of body: () throws -> Void) -> NodeFailure? {
    do {
        try body()
        return nil
    } catch {
        return NodeFailure(error)
    }
}

/// For tests that need root.
var isRoot: Bool { effectiveUser() == 0 }
