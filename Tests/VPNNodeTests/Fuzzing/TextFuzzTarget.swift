// SPDX-License-Identifier: Apache-2.0
// What is fuzzed of the texts that a node reads, by the names that `make fuzz` knows. What the core reads: FuzzTarget of
// VPNCoreTests.
import VPNTesting

enum TextFuzzTarget: String, CaseIterable {
    case configuration, knownPeers = "known-peers", documents, control, texts

    /// Traps or throws if the property does not hold.
    func run(_ bytes: [UInt8]) throws {
        var input = FuzzInput(bytes)
        switch self {
        case .configuration: try ConfigurationProperty.check(&input)
        case .knownPeers: try DocumentProperty.checkKnownPeers(&input)
        case .documents: try DocumentProperty.check(&input)
        case .control: try ControlProperty.check(&input)
        case .texts: try TextProperty.check(&input)
        }
    }
}
