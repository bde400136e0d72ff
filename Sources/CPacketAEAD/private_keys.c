// SPDX-License-Identifier: Apache-2.0
#include "private_keys.h"

#include <string.h>

// Sizes and alignments as in swift-crypto 4.5.2's mlkem.h and mldsa.h. The contents are BoringSSL's own business.
typedef struct {
    union {
        uint8_t bytes[512 * (4 + 16) + 32 + 32];
        uint64_t alignment;
    } opaque;
} mlkem_public_key;

_Static_assert(PQVPN_MLKEM1024_PRIVATE_KEY == 512 * (4 + 4 + 16) + 32 + 32 + 32, "MLKEM1024_private_key of mlkem.h");
_Static_assert(PQVPN_MLDSA87_PRIVATE_KEY == 32 + 32 + 64 + 256 * 4 * (7 + 8 + 8), "MLDSA87_private_key of mldsa.h");

typedef struct {
    const uint8_t *data;
    size_t length;
} byte_string;  // CBS

int CCryptoBoringSSL_BCM_mlkem1024_generate_key_external_seed(uint8_t *out_public_key, void *out_private,
                                                              const uint8_t *seed);
int CCryptoBoringSSL_MLKEM1024_parse_public_key(mlkem_public_key *out_public, byte_string *in);
void CCryptoBoringSSL_MLKEM1024_encap(uint8_t *out_ciphertext, uint8_t *out_secret, const mlkem_public_key *public_key);
int CCryptoBoringSSL_MLKEM1024_decap(uint8_t *out_secret, const uint8_t *ciphertext, size_t ciphertext_len,
                                     const void *private_key);
int CCryptoBoringSSL_MLDSA87_private_key_from_seed(void *out_private, const uint8_t *seed, size_t seed_len);
int CCryptoBoringSSL_BCM_mldsa87_generate_key_external_entropy(uint8_t *out_public_key, void *out_private,
                                                               const uint8_t *entropy);
int CCryptoBoringSSL_MLDSA87_sign(uint8_t *out_signature, const void *private_key, const uint8_t *message,
                                  size_t message_len, const uint8_t *context, size_t context_len);
void CCryptoBoringSSL_ED25519_keypair_from_seed(uint8_t *out_public_key, uint8_t *out_private_key, const uint8_t *seed);
int CCryptoBoringSSL_ED25519_sign(uint8_t *out_signature, const uint8_t *message, size_t message_len,
                                  const uint8_t *private_key);

void pqvpn_mlkem1024_expand(uint8_t public_key[1568], uint8_t *private_key, const uint8_t seed[64]) {
    // Infallible: the seed's size is fixed.
    (void)CCryptoBoringSSL_BCM_mlkem1024_generate_key_external_seed(public_key, private_key, seed);
}

int pqvpn_mlkem1024_encapsulate(uint8_t ciphertext[1568], uint8_t shared_secret[32], const uint8_t public_key[1568]) {
    mlkem_public_key key;
    byte_string in = {public_key, PQVPN_MLKEM1024_PUBLIC_KEY};
    if (CCryptoBoringSSL_MLKEM1024_parse_public_key(&key, &in) != 1 || in.length != 0) return 0;
    CCryptoBoringSSL_MLKEM1024_encap(ciphertext, shared_secret, &key);
    return 1;
}

int pqvpn_mlkem1024_decapsulate(uint8_t shared_secret[32], const uint8_t ciphertext[1568],
                                const uint8_t *private_key) {
    return CCryptoBoringSSL_MLKEM1024_decap(shared_secret, ciphertext, PQVPN_MLKEM1024_CIPHERTEXT, private_key) == 1;
}

int pqvpn_mldsa87_expand(uint8_t public_key[2592], uint8_t *private_key, const uint8_t seed[32]) {
    // The first call's result type is an enumeration private to BoringSSL; the second one, public, says whether the seed
    // was taken, and writes the same key.
    (void)CCryptoBoringSSL_BCM_mldsa87_generate_key_external_entropy(public_key, private_key, seed);
    return CCryptoBoringSSL_MLDSA87_private_key_from_seed(private_key, seed, PQVPN_MLDSA87_SEED) == 1;
}

int pqvpn_mldsa87_sign(uint8_t signature[4627], const uint8_t *private_key, const uint8_t *message,
                       size_t message_length, const uint8_t *context, size_t context_length) {
    return CCryptoBoringSSL_MLDSA87_sign(signature, private_key, message, message_length, context, context_length) == 1;
}

void pqvpn_ed25519_expand(uint8_t public_key[32], uint8_t private_key[64], const uint8_t seed[32]) {
    CCryptoBoringSSL_ED25519_keypair_from_seed(public_key, private_key, seed);
}

int pqvpn_ed25519_sign(uint8_t signature[64], const uint8_t private_key[64], const uint8_t *message,
                       size_t message_length) {
    return CCryptoBoringSSL_ED25519_sign(signature, message, message_length, private_key) == 1;
}

__attribute__((noinline)) void pqvpn_wipe_stack(void) {
    uint8_t area[64 * 1024];
    memset(area, 0, sizeof area);
    // The compiler must not know that nobody reads it.
    __asm__ volatile("" : : "r"(area) : "memory");
}
