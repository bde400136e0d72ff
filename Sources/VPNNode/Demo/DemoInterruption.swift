// SPDX-License-Identifier: Apache-2.0
// Signals that ask the demonstration to end: they are only noted, so that whatever was built can be taken down in order.
internal import Glibc
internal import Synchronization

enum DemoInterruption {
    private static let signal = Atomic<Int32>(0)

    /// From now on SIGINT, SIGTERM and SIGHUP are noted, and a reader that went away is no reason to stop half-way.
    static func watch() {
        // The first access initialises the variable, which a handler must not do.
        signal.store(0, ordering: .relaxed)
        for number in [SIGINT, SIGTERM, SIGHUP] {
            _ = Glibc.signal(number) { DemoInterruption.signal.store($0, ordering: .relaxed) }
        }
        // A handler, unlike "ignore", is not passed on to the programs that are started.
        _ = Glibc.signal(SIGPIPE) { _ in }
    }

    /// The last signal that was noted, if any.
    static var received: Int32? {
        let number = signal.load(ordering: .relaxed)
        return number == 0 ? nil : number
    }

    /// Throws if a signal was noted.
    static func check() throws {
        if let number = received { throw NodeFailure(.failure, "interrupted by signal \(number)") }
    }
}
