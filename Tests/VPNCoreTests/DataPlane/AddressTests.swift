// SPDX-License-Identifier: Apache-2.0
// Addresses and prefixes as text.

import Testing
import VPNCore

@Suite struct AddressTests {
    @Test(arguments: [
        ("0.0.0.0", "0.0.0.0"), ("255.255.255.255", "255.255.255.255"), ("10.77.0.1", "10.77.0.1"),
        ("::", "::"), ("::1", "::1"), ("1::", "1::"), ("fd77::1", "fd77::1"), ("FD77::0001", "fd77::1"),
        ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"), ("2001:0:0:1:0:0:0:1", "2001:0:0:1::1"),
        ("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
        ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"), ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
        ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"), ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"),
    ])
    func parsesAndPrints(text: String, canonical: String) throws {
        let address = try #require(IPAddress(text))
        #expect(address.description == canonical)
        #expect(IPAddress(canonical) == address)
        #expect(IPAddress(bytes: address.bytes) == address)
    }

    @Test(arguments: [
        "", ".", "1.2.3", "1.2.3.4.5", "256.0.0.1", "01.2.3.4", "1..2.3", "1.2.3.4 ", "0x1.2.3.4", "1.2.3.-4",
        ":", ":::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2::3", "::12345", "g::", "1:2:3:4:5:6:7:8::",
        "1.2.3.4::", "::1.2.3", "::1.2.3.4:5", "fe80::1%eth0", ":1:2:3:4:5:6:7", "1:2:3:4:5:6:7:", "1:::2", "[::1]",
        "１.2.3.4",
    ])
    func refuses(text: String) {
        #expect(IPAddress(text) == nil)
    }

    @Test func prefixesAreCanonical() throws {
        #expect(try IPPrefix("10.0.0.0/8").description == "10.0.0.0/8")
        #expect(try IPPrefix("0.0.0.0/0").last == 0xFFFF_FFFF)
        #expect(try IPPrefix("::/0").last == .max)
        #expect(try IPPrefix("fd77::2").length == 128)
        #expect(try IPPrefix("10.0.0.1").length == 32)
        let hint = IPPrefixError.hostBits("10.77.0.1/24", suggestion: try IPPrefix("10.77.0.0/24"))
        #expect(throws: hint) { try IPPrefix("10.77.0.1/24") }
        #expect(hint.description.contains("'10.77.0.0/24'"))
        #expect(throws: IPPrefixError.hostBits("fd77::1/64", suggestion: try IPPrefix("fd77::/64"))) {
            try IPPrefix("fd77::1/64")
        }
        #expect(try InterfaceAddress("10.77.0.1/24").network == IPPrefix("10.77.0.0/24"))
        #expect(try IPPrefix("10.0.0.0/8").contains(IPAddress("10.255.0.1")!))
        #expect(try !IPPrefix("10.0.0.0/8").contains(IPAddress("::a00:1")!))
    }

    @Test(arguments: [
        "10.0.0.0/33", "::/129", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8x", "10.0.0.0/0008",
    ])
    func refusesLengths(text: String) {
        #expect(throws: IPPrefixError.length(text)) { try IPPrefix(text) }
    }

    @Test(arguments: ["", "/8", "10.0.0.0/8/8", "host/24"])
    func refusesMalformedPrefixes(text: String) {
        #expect(throws: IPPrefixError.malformed(text)) { try IPPrefix(text) }
    }

    @Test func endpointsAndAddressesConvert() {
        let v4 = Endpoint(IPAddress("198.51.100.7")!, port: 9000)
        #expect(v4.isV4 && v4.address.description == "198.51.100.7")
        let v6 = Endpoint(IPAddress("2001:db8::7")!, port: 9000)
        #expect(!v6.isV4 && v6.address.description == "2001:db8::7")
    }
}
