// SPDX-License-Identifier: Apache-2.0
// Whose the files of a directory are to be: what root makes for the daemon of another user would be out of that one's reach, and so stop
// its next start.
internal import Foundation

enum StateOwner {
    /// Users who are people (UID_MIN and UID_MAX of login.defs): in their directories a daemon of root's may well be at home, which
    /// `sudo pqvpn up FILE` starts.
    private static let people: ClosedRange<UInt32> = 1000...60_000

    /// Throws, before anything is made, where root would write a file into the directory of a service's user. A file that is there already
    /// and is root's has a reader who can.
    static func check(_ path: String) throws {
        guard let owner = foreign(path), !people.contains(owner) else { return }
        let (directory, name) = ProtectedFile.split(path)
        if let status = try OpenFile.directory(directory).status(of: name), status.owner == 0 { return }
        throw NodeFailure(
            .permission,
            "\(directory) belongs to user \(owner), and so must \(name), or a daemon of that user cannot read it: run this as "
                + "that user, `\(command(owner)) …`; nothing was done")
    }

    /// The user of the directory of a file, where this is root and that is somebody else.
    static func foreign(_ path: String) -> UInt32? {
        guard effectiveUser() == 0, let status = try? OpenFile.directory(ProtectedFile.split(path).directory).status()
        else { return nil }
        return status.owner == 0 ? nil : status.owner
    }

    /// The beginning of a command of that user's.
    static func command(_ user: UInt32) -> String {
        let name = name(of: user) ?? "'#\(user)'"
        return "sudo -u \(name) pqvpn"
    }

    /// As /etc/passwd has it; nil where it is nobody's there.
    private static func name(of user: UInt32) -> String? {
        let users = (try? String(contentsOfFile: "/etc/passwd", encoding: .utf8)) ?? ""
        for line in users.split(separator: "\n") {
            let fields = line.split(separator: ":", omittingEmptySubsequences: false)
            if fields.count > 2, fields[2] == String(user) { return String(fields[0]) }
        }
        return nil
    }
}
