// SPDX-License-Identifier: Apache-2.0
// Notices that the operator changed the file of relays, or published this node anew, while the node runs: two stat calls a look, as
// TrustWatch has for pins. And that somebody set the clock: then what is in the files may be good that was not.
internal import Synchronization
internal import VPNCore
internal import VPNCrypto
internal import VPNEngine

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
    /// The time of day, and how long this machine runs.
    typealias Times = (unix: UInt64, now: Instant)

    private let times: @Sendable () -> Times
    private let stamps = Mutex<(FileStatus?, FileStatus?)>((nil, nil))
    /// When all was offered last.
    private let offered = Mutex<Times?>(nil)

    /// In seconds: what descriptors say that they are good for is in days.
    private static let step: UInt64 = 60

    init(
        store: RelayStore, ownFile: String,
        times: @escaping @Sendable () -> Times = { (UnixTime.now, MonotonicClock.now) }
    ) {
        self.store = store
        self.ownFile = ownFile
        self.times = times
    }

    /// What has changed since the last look, or all where somebody has set the clock. Blocks on files: not for an actor's thread, and one
    /// call at a time. A file that is gone changes nothing.
    func look() -> [Finding] {
        let isSet = isClockSet()
        let now = (Self.stamp(of: store.path), Self.stamp(of: ownFile))
        let before = stamps.withLock { stamps -> (FileStatus?, FileStatus?) in
            defer { stamps = (now.0 ?? stamps.0, now.1 ?? stamps.1) }
            return isSet ? (nil, nil) : stamps
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

    /// Whether the time of day is another one than what passed since all was offered makes it.
    private func isClockSet() -> Bool {
        let times = self.times()
        return offered.withLock { offered -> Bool in
            guard let last = offered else {
                offered = times
                return false
            }
            let expected = last.unix &+ times.now.since(last.now).nanoseconds / 1_000_000_000
            let distance = max(expected, times.unix) - min(expected, times.unix)
            if distance > Self.step { offered = times }
            return distance > Self.step
        }
    }

    private static func stamp(of path: String) -> FileStatus? {
        let (directory, name) = ProtectedFile.split(path)
        return (try? OpenFile.directory(directory).status(of: name)) ?? nil
    }
}
