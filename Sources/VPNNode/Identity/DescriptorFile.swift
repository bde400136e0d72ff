// SPDX-License-Identifier: Apache-2.0
// A descriptor as a text file (docs/key-files.md): what one operator gives to another. Public, so of any mode.
public import VPNCore
internal import VPNCrypto

public enum DescriptorFile {
    private static let armour = Armour(title: "DESCRIPTOR", noun: "descriptor")

    /// The whole file. The headers are for people: only what is signed counts.
    public static func text(of descriptor: Descriptor) -> String {
        armour.text(
            [("Peer-ID", descriptor.keys.peerID.hex), ("Nickname", descriptor.nickname)], descriptor.encoded)
    }

    /// Writes the text of a descriptor to a file that must not exist yet.
    static func write(_ text: String, to path: String) throws { try Armour.write(text, to: path) }

    /// Reads a file and checks its keys and both of its signatures. A refused signature or key has status 7.
    public static func read(_ path: String) throws -> Descriptor { try decode(armour.read(path), path: path) }

    /// Decodes the text of a file; `path` is for messages.
    static func decode(_ text: String, path: String) throws -> Descriptor {
        let (fields, content) = try armour.decode(text, path: path)
        let descriptor: Descriptor
        do {
            descriptor = try Descriptor(decoding: content, using: SystemCryptography())
        } catch {
            throw NodeFailure(refusing: "descriptor \(path)", error)
        }
        try armour.check(fields, "Peer-ID", is: descriptor.keys.peerID.hex, path: path)
        return descriptor
    }
}

extension NodeFailure {
    /// A descriptor that is not believed, in a file or inside a statement.
    init(refusing what: String, _ error: DescriptorError) {
        switch error {
        case .malformed(let reason): self.init(.usage, "\(what) is damaged: \(reason)")
        case .key(let error): self.init(.untrustedIdentity, "\(what) is refused: \(error)")
        case .signature: self.init(.untrustedIdentity, "\(what) is refused: its signatures do not hold")
        }
    }
}
