// SPDX-License-Identifier: Apache-2.0
// Packet AEAD, in place, with the key schedule kept. Not a general AEAD interface: keys are 32 bytes, nonces 12,
// tags 16.
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { PQVPN_AES_256_GCM = 0, PQVPN_CHACHA20_POLY1305 = 1 };

/// Bytes of one key with its expanded schedule (EVP_AEAD_CTX), in memory that the caller owns, locks and wipes,
/// 8-byte aligned. It is not moved while in use. Sealing and opening do not change it: any number of threads may
/// share one.
enum { PQVPN_AEAD_CONTEXT = 576 };

/// 1 on success.
int pqvpn_aead_init(void *context, int cipher, const uint8_t key[32]);

/// Before the memory is wiped.
void pqvpn_aead_cleanup(void *context);

/// Encrypts `length` bytes at `data` in place and writes the tag to data[length ..< length + 16]. 1 on success.
int pqvpn_aead_seal(const void *context, const uint8_t nonce[12], const uint8_t *ad, size_t ad_length,
                    uint8_t *data, size_t length);

/// Opens `length` bytes (ciphertext, then tag) at `data` in place. 1 on success; 0 leaves the plaintext area zeroed.
int pqvpn_aead_open(const void *context, const uint8_t nonce[12], const uint8_t *ad, size_t ad_length,
                    uint8_t *data, size_t length);

/// 1 if AES-GCM runs on instructions of the processor, in constant time.
int pqvpn_has_aes_hardware(void);
