// SPDX-License-Identifier: Apache-2.0
// A cable with delay and a rate, for kernels without netem: a TUN interface at each end, and between them this, a process of its own, so that
// it can stay with hosts that stay. Signals cut it and mend it; its interfaces do not notice, as with a cable that is cut far away.
internal import Foundation
internal import Glibc
internal import Synchronization
internal import VPNCore
internal import VPNEngine

public struct DelayedCable: Equatable, Sendable {
    /// The names of its interfaces, both made in the network namespace of this process; one is moved then.
    let ends: [String]
    let shape: DelayLine.Shape

    static let cutting = SIGUSR1
    static let mending = SIGUSR2
    /// It looks so often: what arrives meanwhile goes on together.
    private static let tick = 0.001

    private static let isCut = Atomic<Bool>(false)
    private static let isEnded = Atomic<Bool>(false)

    init(ends: [String], shape: DelayLine.Shape) { (self.ends, self.shape) = (ends, shape) }

    /// Reads "NEAR,FAR,MBIT/S,MS", the delay being one way. Nil if it is none.
    public init?(_ text: String) {
        let words = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        guard words.count == 4, let rate = Double(words[2]), let delay = Double(words[3]), rate > 0, rate <= 1000,
            delay >= 0, delay <= 1000, words[0] != words[1],
            words[0...1].allSatisfy({ (1...15).contains($0.utf8.count) && !$0.contains("/") })
        else { return nil }
        ends = Array(words[0...1])
        shape = DelayLine.Shape(
            bitsPerSecond: rate * 1e6, delay: TimeSpan(nanoseconds: UInt64(delay * 1e6)))
    }

    var text: String {
        "\(ends[0]),\(ends[1]),\(shape.bitsPerSecond / 1e6),\(shape.delay.seconds * 1000)"
    }

    /// Carries until it is told to end.
    public func run() throws {
        Self.isCut.store(false, ordering: .relaxed)
        Self.isEnded.store(false, ordering: .relaxed)
        _ = signal(Self.cutting) { _ in DelayedCable.isCut.store(true, ordering: .relaxed) }
        _ = signal(Self.mending) { _ in DelayedCable.isCut.store(false, ordering: .relaxed) }
        for number in [SIGTERM, SIGINT] {
            _ = signal(number) { _ in DelayedCable.isEnded.store(true, ordering: .relaxed) }
        }
        let near = try DemoInterface(ends[0])
        let far = try DemoInterface(ends[1])
        var (there, back) = (DelayLine(shape), DelayLine(shape))
        var before = MonotonicClock.now
        while !Self.isEnded.load(ordering: .relaxed) {
            let isCut = Self.isCut.load(ordering: .relaxed)
            if there.isCut != isCut { (there.isCut, back.isCut) = (isCut, isCut) }
            while let packet = near.read() { there.take(packet, at: before) }
            while let packet = far.read() { back.take(packet, at: before) }
            before = MonotonicClock.now
            while let packet = there.next(by: before) { far.write(packet) }
            while let packet = back.next(by: before) { near.write(packet) }
            Thread.sleep(forTimeInterval: Self.tick)
        }
    }
}
