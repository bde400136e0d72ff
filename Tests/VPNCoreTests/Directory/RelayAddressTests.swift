// SPDX-License-Identifier: Apache-2.0
// Where a descriptor may say that its relay is: nowhere that its readers would not call by themselves.
import Testing

@testable import VPNCore

struct RelayAddressTests {
    @Test(arguments: ["93.184.215.14:4433", "[2606:4700::1111]:443", "1.1.1.1:65535", "192.0.1.1:1"])
    func publicAddressesAreCalled(_ text: String) throws {
        let endpoint = try #require(RelayAddress.parse(text))
        #expect(RelayAddress.isCallable(endpoint, .publicOnly))
    }

    @Test(arguments: [
        "10.0.0.1:4433", "172.31.255.1:4433", "192.168.1.1:4433", "100.64.0.1:4433", "[fd00::1]:4433", "198.19.0.1:1",
        "192.0.2.1:4433", "[2001:db8::1]:4433",
    ])
    func privateAddressesAreCalledInLaboratories(_ text: String) throws {
        let endpoint = try #require(RelayAddress.parse(text))
        #expect(!RelayAddress.isCallable(endpoint, .publicOnly))
        #expect(RelayAddress.isCallable(endpoint, .publicAndPrivate))
    }

    @Test(arguments: [
        "127.0.0.1:4433", "0.0.0.0:4433", "169.254.169.254:80", "224.0.0.1:4433", "255.255.255.255:4433",
        "240.0.0.1:1", "[::1]:4433", "[::]:4433", "[fe80::1]:4433", "[ff02::1]:4433", "[64:ff9b::7f00:1]:4433",
        "[2002:7f00:1::1]:4433", "[2001:0:1::1]:4433",
        "192.88.99.1:4433",
    ])
    func someAddressesAreNeverCalled(_ text: String) throws {
        let endpoint = try #require(RelayAddress.parse(text))
        #expect(!RelayAddress.isCallable(endpoint, .publicAndPrivate))
        #expect(RelayAddress.endpoints(in: [text], .publicAndPrivate).isEmpty)
    }

    @Test(arguments: [
        "", ":", "1.1.1.1", "1.1.1.1:", "1.1.1.1:0", "1.1.1.1:00443", "1.1.1.1:65536", "1.1.1.1:+1", "1.1.1.1:4 3",
        "relay.example:4433", "2606:4700::1111:443", "[1.1.1.1]:443", "[2606::1]443", "[2606::1%eth0]:443",
        "1.1.1.01:4433", "1.1.1.1:-1", " 1.1.1.1:443", "[2606::1:443",
        "[::ffff:127.0.0.1]:4433", "[::ffff:8.8.8.8]:4433",
    ])
    func whatIsNoAddressIsLeftOut(_ text: String) { #expect(RelayAddress.parse(text) == nil) }

    @Test func iPv4ComesFirstAndEachOnce() {
        let found = RelayAddress.endpoints(
            in: ["[2606:4700::1]:1", "name:1", "1.1.1.1:1", "1.1.1.1:1", "127.0.0.1:1"], .publicOnly)
        #expect(found.map(\.isV4) == [true, false])
    }

    @Test func neighboursShareASixteenthOrAThirtySecond() throws {
        func near(_ text: String) throws -> IPPrefix {
            RelayAddress.neighbourhood(try #require(RelayAddress.parse(text)))
        }
        #expect(try near("93.184.1.1:1") == near("93.184.255.9:2"))
        #expect(try near("93.184.1.1:1") != near("93.185.1.1:1"))
        #expect(try near("[2606:4700:1::1]:1") == near("[2606:4700:ffff::2]:1"))
        #expect(try near("[2606:4700::1]:1") != near("[2606:4701::1]:1"))
    }

    @Test func capacityIsAByte() {
        #expect(RelayCapacity.bitsPerSecond(0) == 0)
        #expect(RelayCapacity.code(bitsPerSecond: 0) == 1)
        #expect(RelayCapacity.code(bitsPerSecond: .max) == 255)
        for code in UInt8(1)...254 {
            let (this, next) = (RelayCapacity.bitsPerSecond(code), RelayCapacity.bitsPerSecond(code + 1))
            #expect(this < next && next * 8 <= this * 9)
            #expect(RelayCapacity.code(bitsPerSecond: this) == code)
            #expect(RelayCapacity.code(bitsPerSecond: next - 1) == code)
        }
        #expect(
            (900_000_000...1_000_000_000).contains(
                RelayCapacity.bitsPerSecond(RelayCapacity.code(bitsPerSecond: 1_000_000_000))))
    }
}
