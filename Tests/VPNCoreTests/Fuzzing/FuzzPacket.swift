// SPDX-License-Identifier: Apache-2.0
// A packet that a fuzzer thinks up.
import VPNTesting

extension PacketModel {
    /// A packet with checksums that hold, without payload, of about 16 bytes of input.
    init(_ input: inout FuzzInput) {
        self.init()
        let shape = input.byte()
        (isIPv4, isTCP, dontFragment) = (shape & 1 == 0, shape & 2 == 0, shape & 4 == 0)
        flags = input.byte()
        if shape & 8 != 0 { flags = 0x10 }
        trafficClass = input.byte()
        id = input.word()
        sequence = input.wide()
        if shape & 16 != 0 { tcpOptions = input.take(4 * Int(input.byte() % 11)) }
        if shape & 32 != 0 {
            if isIPv4 {
                ipOptions = input.take(4 * Int(input.byte() % 11))
            } else {
                let units = Int(input.byte() & 3)
                ipOptions = [isTCP ? 6 : 17, UInt8(units)] + input.take(units * 8 + 6)
            }
        }
        if shape & 64 != 0 { (source, destination) = (input.byte(), input.byte()) }
    }
}
