// SPDX-License-Identifier: Apache-2.0
// A property that is nil most of the time, behind a pointer: where it is nil it takes eight bytes.

/// As a value: copies share what they have until one of them changes it.
@propertyWrapper
struct Rare<Value> {
    private final class Box {
        var value: Value?

        init(_ value: Value?) { self.value = value }
    }

    private var box: Box?

    init(wrappedValue: Value?) { box = wrappedValue.map { Box($0) } }

    var wrappedValue: Value? {
        get { box?.value }
        _modify {
            if box == nil || !isKnownUniquelyReferenced(&box) { box = Box(box?.value) }
            defer { if box?.value == nil { box = nil } }
            yield &box!.value
        }
    }
}
