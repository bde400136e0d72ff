// SPDX-License-Identifier: Apache-2.0

struct CrowdFailure: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
