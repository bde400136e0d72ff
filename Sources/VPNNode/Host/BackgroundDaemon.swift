// SPDX-License-Identifier: Apache-2.0
// A daemon that we started and that lives on behind us: known by the lock on its pid file and not by its number alone, which
// may be another process's by now.
internal import Glibc

struct BackgroundDaemon {
    let pidFile: String

    /// Its process; nil where it ended.
    var process: Int32? {
        guard let file = try? OpenFile(pidFile, O_RDWR), (try? file.tryLock()) == false,
            let words = try? file.read(limit: 32)
        else { return nil }
        return Int32(String(decoding: words, as: UTF8.self).filter { $0 != "\n" })
    }

    /// Asks it to end, and makes it after a while. Returns whether it had to be killed.
    func stop() throws -> Bool {
        guard let process else { return false }
        kill(process, SIGTERM)
        if waitForEnd(of: process, seconds: HostNumbers.goodbyeSeconds) { return false }
        kill(process, SIGKILL)
        guard waitForEnd(of: process, seconds: HostNumbers.goodbyeSeconds) else {
            throw NodeFailure(
                .timeout, "process \(process) does not end: see what it waits for, then run `pqvpn down` again")
        }
        return true
    }

    /// What a killed one has left.
    func forget() {
        let (directory, name) = ProtectedFile.split(pidFile)
        if process == nil, ProtectedFile.exists(pidFile) { try? OpenFile.directory(directory).remove(name) }
    }

    private func waitForEnd(of ending: Int32, seconds: Double) -> Bool {
        let limit = ContinuousClock.now + .seconds(seconds)
        while process == ending {
            guard ContinuousClock.now < limit else { return false }
            usleep(10_000)
        }
        return true
    }
}
