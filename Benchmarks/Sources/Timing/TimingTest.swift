// SPDX-License-Identifier: Apache-2.0
// Whether two classes of inputs take the same time: Welch's t-test over many interleaved measurements, as in dudect (Reparaz, Balasch,
// Verbauwhede: "Dude, is my code constant time?", 2017). |t| above 4.5 says that they do not; the reverse cannot be shown.
import Glibc

/// What was compared, and what came of it.
struct TimingResult {
    let subject: String
    /// What the first class is, and the second.
    let classes: (String, String)
    /// Of each class.
    let samples: Int
    /// Nanoseconds of one operation, without the slowest tenth of the samples.
    let means: (Double, Double)
    /// Of all samples.
    let t: Double
    /// The largest in amount of those that leave out the slowest: long interruptions hide small differences.
    let largest: Double

    static let threshold = 4.5
    var differs: Bool { abs(t) > Self.threshold || abs(largest) > Self.threshold }
}

struct TimingTest {
    let subject: String
    let classes: (String, String)
    /// Of both classes together.
    var samples = 100_000
    /// Operations in one measurement: more than one where the clock is too coarse for one.
    var operations = 1

    /// Shares of the fastest samples that are compared on their own.
    private static let crops = [0.99, 0.95, 0.9, 0.75, 0.5]

    /// - Parameters:
    ///   - prepare: makes the input of class 0 or 1; its time does not count.
    ///   - run: the operation.
    func measure<Input>(prepare: (Int) -> Input, run: (Input) -> Void) -> TimingResult {
        var times: [[Double]] = [[], []]
        for number in 0..<(samples + samples / 20) {
            // At random, so that no rhythm of the machine meets one class more than the other.
            let kind = Int.random(in: 0...1)
            let input = prepare(kind)
            let start = Self.nanoseconds
            for _ in 0..<operations { run(input) }
            let time = Self.nanoseconds - start
            // The first ones warm up.
            if number >= samples / 20 { times[kind].append(Double(time) / Double(operations)) }
        }
        let sorted = (times[0] + times[1]).sorted()
        let t = Self.welch(times[0], times[1])
        let cropped = Self.crops.map { share -> Double in
            let limit = sorted[Int(Double(sorted.count - 1) * share)]
            return Self.welch(times[0].filter { $0 <= limit }, times[1].filter { $0 <= limit })
        }
        let limit = sorted[Int(Double(sorted.count - 1) * 0.9)]
        return TimingResult(
            subject: subject, classes: classes, samples: min(times[0].count, times[1].count),
            means: (
                Self.moments(times[0].filter { $0 <= limit }).mean, Self.moments(times[1].filter { $0 <= limit }).mean
            ), t: t, largest: cropped.max { abs($0) < abs($1) } ?? t)
    }

    private static func moments(_ values: [Double]) -> (mean: Double, variance: Double) {
        let mean = values.reduce(0, +) / Double(max(1, values.count))
        let sum = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
        return (mean, sum / Double(max(1, values.count - 1)))
    }

    private static func welch(_ a: [Double], _ b: [Double]) -> Double {
        guard a.count > 1, b.count > 1 else { return 0 }
        let (first, second) = (moments(a), moments(b))
        let error = (first.variance / Double(a.count) + second.variance / Double(b.count)).squareRoot()
        return error > 0 ? (first.mean - second.mean) / error : 0
    }

    private static var nanoseconds: UInt64 {
        var time = timespec()
        // SAFETY: the kernel writes one timespec, and the clock exists on every Linux.
        _ = unsafe clock_gettime(CLOCK_MONOTONIC, &time)
        return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
    }
}
