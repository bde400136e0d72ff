// SPDX-License-Identifier: Apache-2.0
// A descriptor as a text file (docs/key-files.md): what one operator gives to another. Public, so of any mode.
internal import Foundation
internal import Glibc
public import VPNCore
internal import VPNCrypto

public enum DescriptorFile {
    private static let begin = "-----BEGIN PQVPN DESCRIPTOR-----"
    private static let end = "-----END PQVPN DESCRIPTOR-----"
    /// The largest descriptor is below 10 KB, a third more in base64.
    private static let maximumSize = 32 << 10

    /// The whole file. The headers are for people: only what is signed counts.
    public static func text(of descriptor: Descriptor) -> String {
        var lines = [begin, "Version: 1", "Peer-ID: \(descriptor.keys.peerID.hex)"]
        lines += ["Nickname: \(descriptor.nickname)", ""]
        let base64 = Data(descriptor.encoded).base64EncodedString()
        var rest = base64[...]
        while !rest.isEmpty {
            lines.append(String(rest.prefix(76)))
            rest = rest.dropFirst(76)
        }
        return lines.joined(separator: "\n") + "\n\(end)\n"
    }

    /// Writes the text of a descriptor to a file that must not exist yet.
    static func write(_ text: String, to path: String) throws {
        let (directory, name) = ProtectedFile.split(path)
        var files = try NewFiles(in: directory)
        try files.checkAbsent([name])
        try files.add(name, mode: 0o644) { try $0.write([UInt8](text.utf8)) }
        try files.commit()
    }

    /// Reads a file and checks its keys and both of its signatures. A refused signature or key has status 7.
    public static func read(_ path: String) throws -> Descriptor {
        let bytes: [UInt8]
        do {
            let file = try OpenFile(path, O_RDONLY, followsLinks: true)
            let status = try file.status()
            guard status.kind == .regular, status.size <= maximumSize else {
                throw NodeFailure(.usage, "\(path) is not a descriptor file")
            }
            bytes = try file.read(limit: status.size)
        } catch let error as SystemCallError {
            let isPermission = error.errno == EACCES || error.errno == EPERM
            throw NodeFailure(isPermission ? .permission : .usage, "descriptor \(path): \(error.reason)")
        }
        return try decode(String(decoding: bytes, as: UTF8.self), path: path)
    }

    /// Decodes the text of a file; `path` is for messages.
    static func decode(_ text: String, path: String) throws -> Descriptor {
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map {
            $0.trimmingCharacters(in: .whitespaces)
        }
        guard let first = lines.firstIndex(of: begin) else {
            throw NodeFailure(.usage, "\(path) is not a descriptor file: it has no '\(begin)' line")
        }
        guard let last = lines[first...].firstIndex(of: end),
            let blank = lines[first..<last].firstIndex(of: "")
        else { throw NodeFailure(.usage, "descriptor \(path) is truncated: ask for it again") }
        let header = lines[(first + 1)..<blank]
        if let version = header.first(where: { $0.hasPrefix("Version: ") }), version != "Version: 1" {
            throw NodeFailure(.usage, "descriptor \(path) has another version than 1, which this program knows")
        }
        guard let data = Data(base64Encoded: lines[(blank + 1)..<last].joined()) else {
            throw NodeFailure(.usage, "descriptor \(path) is damaged: its content is not base64")
        }
        let descriptor: Descriptor
        do {
            descriptor = try Descriptor(decoding: [UInt8](data), using: SystemCryptography())
        } catch DescriptorError.malformed(let reason) {
            throw NodeFailure(.usage, "descriptor \(path) is damaged: \(reason)")
        } catch DescriptorError.key(let error) {
            throw NodeFailure(.untrustedIdentity, "descriptor \(path) is refused: \(error)")
        } catch {
            throw NodeFailure(.untrustedIdentity, "descriptor \(path) is refused: its signatures do not hold")
        }
        if let shown = header.first(where: { $0.hasPrefix("Peer-ID: ") })?.dropFirst(9),
            shown.lowercased() != descriptor.keys.peerID.hex
        {
            throw NodeFailure(
                .untrustedIdentity, "descriptor \(path) is refused: its header names another peer_id than its keys have"
            )
        }
        return descriptor
    }
}
