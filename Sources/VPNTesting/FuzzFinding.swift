// SPDX-License-Identifier: Apache-2.0
// A property that did not hold.

/// What a fuzzer, or the replay of its inputs, reports.
public struct FuzzFinding: Error, CustomStringConvertible {
    public let description: String

    public init(_ description: String) { self.description = description }

    /// Throws unless `condition`.
    public static func unless(_ condition: Bool, _ text: @autoclosure () -> String) throws {
        if !condition { throw FuzzFinding(text()) }
    }
}
