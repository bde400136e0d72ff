// SPDX-License-Identifier: Apache-2.0
// Private-key operations of swift-crypto's BoringSSL on memory that the caller owns, locks and wipes. swift-crypto's
// own key types keep seeds in `Data` and expanded keys in objects that are freed without being cleared; an ephemeral
// key whose bytes outlive the handshake is no forward secrecy. Public-key operations need no such care, but
// encapsulation is here too, since its output is a secret. What BoringSSL leaves on the stack is wiped
// afterwards, by the caller.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum {
    PQVPN_MLKEM1024_SEED = 64,
    PQVPN_MLKEM1024_PUBLIC_KEY = 1568,
    PQVPN_MLKEM1024_CIPHERTEXT = 1568,
    PQVPN_MLKEM1024_PRIVATE_KEY = 12384,  // BoringSSL's expanded form, never leaves the process
    PQVPN_MLDSA87_SEED = 32,
    PQVPN_MLDSA87_PUBLIC_KEY = 2592,
    PQVPN_MLDSA87_SIGNATURE = 4627,
    PQVPN_MLDSA87_PRIVATE_KEY = 23680,  // BoringSSL's expanded form, never leaves the process
    PQVPN_ED25519_SEED = 32,
    PQVPN_ED25519_PUBLIC_KEY = 32,
    PQVPN_ED25519_PRIVATE_KEY = 64,  // seed, then public key
    PQVPN_ED25519_SIGNATURE = 64,
};

/// Expands a seed d ‖ z (FIPS 203, ML-KEM.KeyGen_internal). `private_key` is 2-byte aligned.
void pqvpn_mlkem1024_expand(uint8_t public_key[1568], uint8_t *private_key, const uint8_t seed[64]);

/// 1 on success, 0 if the key has a coefficient that is not below q.
int pqvpn_mlkem1024_encapsulate(uint8_t ciphertext[1568], uint8_t shared_secret[32], const uint8_t public_key[1568]);

/// 1 on success. A ciphertext that was tampered with gives another secret and no error (implicit rejection).
int pqvpn_mlkem1024_decapsulate(uint8_t shared_secret[32], const uint8_t ciphertext[1568], const uint8_t *private_key);

/// Expands a seed (FIPS 204, ML-DSA.KeyGen_internal). `private_key` is 4-byte aligned. 1 on success.
int pqvpn_mldsa87_expand(uint8_t public_key[2592], uint8_t *private_key, const uint8_t seed[32]);

/// Hedged signature with a context of at most 255 bytes. 1 on success.
int pqvpn_mldsa87_sign(uint8_t signature[4627], const uint8_t *private_key, const uint8_t *message,
                       size_t message_length, const uint8_t *context, size_t context_length);

void pqvpn_ed25519_expand(uint8_t public_key[32], uint8_t private_key[64], const uint8_t seed[32]);

/// 1 on success.
int pqvpn_ed25519_sign(uint8_t signature[64], const uint8_t private_key[64], const uint8_t *message,
                       size_t message_length);

/// Overwrites 64 KiB of the stack below the caller's frame.
void pqvpn_wipe_stack(void);
