// SPDX-License-Identifier: Apache-2.0
// What changes on an interface with a lease, while packets go: its MTU, and the source that packets by a route have.

import CLinux
import Glibc
public import VPNCore

extension NetworkInterface {
    /// Of the route behind one with a preferred source. More than 0, which the daemon's routes for IPv4 have.
    private static let metricBehind: UInt32 = 1024
    /// Milliseconds: the kernel makes an IPv6 address its own a moment after it took it, and takes no route with it before.
    private static let patience = 200

    /// Sets the MTU.
    public func setMTU(_ mtu: Int) throws(EngineError) {
        try fail(clinux_link_set(index, UInt32(mtu), 0), .badMTU, "\(mtu)")
    }

    /// Gives a route that is there a preferred source, one of the interface's addresses, or for nil takes it away. At no moment is
    /// there no route.
    ///
    /// Linux deletes an IPv4 route whose source is an address that somebody takes from the host. One without a source stands
    /// behind it, so that its packets do not go elsewhere then.
    public func prefer(_ source: IPAddress?, for prefix: IPPrefix, table: UInt32? = nil) throws(EngineError) {
        let (family, length) = (Int32(prefix.family.rawValue), Int32(prefix.length))
        let (network, address) = (prefix.address.bytes, source?.bytes ?? [])
        func behind(_ isThere: Bool) -> Int32 {
            // SAFETY: 4 or 16 bytes as the family says, valid for the call.
            unsafe network.withUnsafeBufferPointer {
                unsafe clinux_route_behind(
                    index, table ?? 0, family, $0.baseAddress!, length, Self.metricBehind, isThere ? 1 : 0)
            }
        }
        if source != nil, prefix.family == .v4 {
            let result = behind(true)
            if result != -EEXIST { try fail(result, .route, "\(prefix)") }
        }
        var result: Int32 = 0
        for _ in 0..<Self.patience {
            // SAFETY: both of the length that the family says, valid for the call; the source is none where there is none.
            result = unsafe network.withUnsafeBufferPointer { network in
                unsafe address.withUnsafeBufferPointer { address in
                    unsafe clinux_route_prefer(
                        index, table ?? 0, family, network.baseAddress!, length,
                        source == nil ? nil : address.baseAddress)
                }
            }
            guard result == -EINVAL, prefix.family == .v6, source != nil else { break }
            usleep(1000)
        }
        try fail(result, .route, "\(prefix)")
        if source == nil, prefix.family == .v4 {
            let result = behind(false)
            if result != -ESRCH { try fail(result, .route, "\(prefix)") }
        }
    }

    private func fail(_ result: Int32, _ kind: EngineError.Kind, _ subject: String) throws(EngineError) {
        if result == 0 { return }
        if result == -EPERM { throw EngineError(.noNetAdmin, errno: EPERM, "configuring \(name)") }
        throw EngineError(kind, errno: -result, subject)
    }
}
