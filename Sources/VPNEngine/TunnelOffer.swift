// SPDX-License-Identifier: Apache-2.0
// A TUN queue on its way to the worker that will own it, in the place of one that vanished.

import VPNLock

/// Closed with its last reference where nobody took it.
final class TunnelOffer: Sendable {
    /// How many interfaces this engine has had; see `EventMailbox.reportLoss`.
    let number: UInt64
    private let device: Guarded<TunDevice?>

    init(_ device: consuming sending TunDevice, number: UInt64) {
        self.number = number
        self.device = Guarded(device)
    }

    func take() -> TunDevice? { device.withLock { $0.take() } }
}
