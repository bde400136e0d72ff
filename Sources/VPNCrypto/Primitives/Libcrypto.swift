// SPDX-License-Identifier: Apache-2.0
// How libcrypto is begun: to be asked for before the first call of whatever uses it.

internal import CLibcrypto

enum Libcrypto {
    /// It takes itself apart in no exit handler (OPENSSL_init_crypto(3)). A process that ends has threads that still make keys, and
    /// to these its locks would be gone: they would end it by a fault, in place of the status that it wanted to leave.
    static let isReady: Void = {
        _ = OPENSSL_init_crypto(UInt64(OPENSSL_INIT_NO_ATEXIT), nil)
    }()
}
