// SPDX-License-Identifier: Apache-2.0
// A number of at most 65,535, such as a size in bytes of a packet, that takes two bytes: for what there is one of for each peer.

/// An `Int` to whoever uses it. A number beyond 0 … 65,535 is a fault of the program.
@propertyWrapper
struct Short {
    private var stored: UInt16

    init(wrappedValue: Int) { stored = UInt16(wrappedValue) }

    var wrappedValue: Int {
        get { Int(stored) }
        set { stored = UInt16(newValue) }
    }
}
