// SPDX-License-Identifier: Apache-2.0
// How what a test holds appears in the words of one that fails: by its name. A test prints what an expectation names, with all
// that it is made of; of a whole node that would be megabytes, and there are types in it that the language cannot look into.

extension VirtualHost: CustomStringConvertible, CustomReflectable {
    public var description: String { "node \(name)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension VirtualNetwork: CustomStringConvertible, CustomReflectable {
    public var description: String { "virtual network \(seed) at \(now)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
