// SPDX-License-Identifier: Apache-2.0
// Notices that the operator changed the file of relays, or published this node anew, while the node runs: two stat calls a look, as
// TrustWatch has for pins.
internal import Synchronization
internal import VPNCore
internal import VPNCrypto

final class RelayWatch: Sendable {
    enum Finding: Sendable {
        case relays([KeptRelay])
        /// What this node is to say of itself.
        case own(Descriptor)
        /// The words of the refusal, which name the file.
        case refused(String)
    }

    private let store: RelayStore
    private let ownFile: String
    private let stamps = Mutex<(FileStatus?, FileStatus?)>((nil, nil))

    init(store: RelayStore, ownFile: String) {
        self.store = store
        self.ownFile = ownFile
    }

    /// What has changed since the last look. Blocks on files: not for an actor's thread, and one call at a time. A file that is gone
    /// changes nothing.
    func look() -> [Finding] {
        let now = (Self.stamp(of: store.path), Self.stamp(of: ownFile))
        let before = stamps.withLock { stamps in
            defer { stamps = (now.0 ?? stamps.0, now.1 ?? stamps.1) }
            return stamps
        }
        var findings: [Finding] = []
        if let status = now.0, status != before.0 {
            do { findings.append(.relays(try store.read())) } catch {
                findings.append(.refused("\(NodeFailure(error))"))
            }
        }
        if let status = now.1, status != before.1 {
            do { findings.append(.own(try DescriptorFile.read(ownFile))) } catch {
                findings.append(.refused("\(NodeFailure(error))"))
            }
        }
        return findings
    }

    private static func stamp(of path: String) -> FileStatus? {
        let (directory, name) = ProtectedFile.split(path)
        return (try? OpenFile.directory(directory).status(of: name)) ?? nil
    }
}
