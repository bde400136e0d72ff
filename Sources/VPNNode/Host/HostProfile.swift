// SPDX-License-Identifier: Apache-2.0
// Which configuration a command means: NAME is NAME.yaml among the profiles, anything with a slash or an ending is a file.
internal import Foundation

/// A configuration with the name under which the host remembers what was done for it.
public struct HostProfile: Hashable, Sendable {
    public let name: String
    /// Absolute.
    public let file: String

    /// Throws where the words name nothing that could be a profile, or no file.
    init(_ words: String, _ places: HostPlaces) throws {
        let isFile = words.contains("/") || words.hasSuffix(".yaml") || words.hasSuffix(".yml")
        file = isFile ? PathResolver(file: "./x").absolute(words) : "\(places.profiles)/\(words).yaml"
        let leaf = ProtectedFile.split(file).name
        name = leaf.contains(".") ? String(leaf[..<leaf.lastIndex(of: ".")!]) : leaf
        guard Self.isName(name) else {
            throw NodeFailure(
                .usage,
                "'\(name)' is no name for a profile: 1 to 64 letters, digits, '-', '_' or '.', no '-' or '.' first")
        }
        guard ProtectedFile.exists(file) else {
            let others = Self.names(places)
            let near = Spelling.nearest(to: name, among: others).map { "; did you mean '\($0)'?" } ?? ""
            let list = others.isEmpty || isFile ? "" : "; there are \(others.joined(separator: ", "))"
            throw NodeFailure(.usage, "there is no \(file)\(near.isEmpty ? list : near)")
        }
    }

    static func isName(_ name: String) -> Bool {
        (1...64).contains(name.utf8.count) && name.first != "." && name.first != "-"
            && name.utf8.allSatisfy { byte in
                switch byte {
                case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: true
                default: "-_.".utf8.contains(byte)
                }
            }
    }

    /// What nodes keep beside their profiles unless told otherwise: pins, relays and the like are YAML, too.
    private static let companions = ["known_peers", "revoked", "relays", "guards", "invites", "joining"]

    /// Of the profiles' directory.
    static func names(_ places: HostPlaces) -> [String] {
        let files = (try? FileManager.default.contentsOfDirectory(atPath: places.profiles)) ?? []
        return files.filter { $0.hasSuffix(".yaml") }.map { String($0.dropLast(5)) }.filter { name in
            isName(name) && !companions.contains { name == $0 || name.hasSuffix(".\($0)") }
        }.sorted()
    }
}
