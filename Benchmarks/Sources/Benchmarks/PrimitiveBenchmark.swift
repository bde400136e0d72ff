// SPDX-License-Identifier: Apache-2.0
// The primitives, by the product's own self-test: what it reports as the time of an operation is what is reported here.
import VPNCrypto

enum PrimitiveBenchmark {
    static func round(_ results: inout Results) throws {
        for primitive in SelfTest.run(measure: true) {
            guard primitive.passed else { throw Failure("\(primitive.name) fails its known answer") }
            for (operation, nanoseconds) in primitive.nanosecondsPerOperation.sorted(by: { $0.key < $1.key }) {
                results.add(.primitives, "\(primitive.name) \(operation)", "µs", nanoseconds / 1000)
            }
        }
    }
}
