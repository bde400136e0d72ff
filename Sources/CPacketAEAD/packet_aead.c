// SPDX-License-Identifier: Apache-2.0
#include "packet_aead.h"

// Our own prototypes: the header that declares these is not exported by swift-crypto. EVP_AEAD stays opaque; of
// EVP_AEAD_CTX only size and alignment are assumed, as in swift-crypto 4.5.2's aead.h.
typedef struct evp_aead_st EVP_AEAD;
typedef struct {
    const EVP_AEAD *aead;
    union {
        uint8_t opaque[560];
        uint64_t alignment;
    } state;
    uint8_t tag_len;
} EVP_AEAD_CTX;

_Static_assert(sizeof(EVP_AEAD_CTX) == PQVPN_AEAD_CONTEXT, "evp_aead_ctx_st of aead.h");

const EVP_AEAD *CCryptoBoringSSL_EVP_aead_aes_256_gcm(void);
const EVP_AEAD *CCryptoBoringSSL_EVP_aead_chacha20_poly1305(void);
int CCryptoBoringSSL_EVP_has_aes_hardware(void);
int CCryptoBoringSSL_EVP_AEAD_CTX_init(EVP_AEAD_CTX *ctx, const EVP_AEAD *aead, const uint8_t *key, size_t key_len,
                                       size_t tag_len, void *engine);
void CCryptoBoringSSL_EVP_AEAD_CTX_cleanup(EVP_AEAD_CTX *ctx);
int CCryptoBoringSSL_EVP_AEAD_CTX_seal(const EVP_AEAD_CTX *ctx, uint8_t *out, size_t *out_len, size_t max_out_len,
                                       const uint8_t *nonce, size_t nonce_len, const uint8_t *in, size_t in_len,
                                       const uint8_t *ad, size_t ad_len);
int CCryptoBoringSSL_EVP_AEAD_CTX_open(const EVP_AEAD_CTX *ctx, uint8_t *out, size_t *out_len, size_t max_out_len,
                                       const uint8_t *nonce, size_t nonce_len, const uint8_t *in, size_t in_len,
                                       const uint8_t *ad, size_t ad_len);

enum { KEY = 32, NONCE = 12, TAG = 16 };

int pqvpn_aead_init(void *context, int cipher, const uint8_t key[32]) {
    const EVP_AEAD *aead;
    switch (cipher) {
        case PQVPN_AES_256_GCM: aead = CCryptoBoringSSL_EVP_aead_aes_256_gcm(); break;
        case PQVPN_CHACHA20_POLY1305: aead = CCryptoBoringSSL_EVP_aead_chacha20_poly1305(); break;
        default: return 0;
    }
    return CCryptoBoringSSL_EVP_AEAD_CTX_init(context, aead, key, KEY, TAG, NULL) == 1;
}

void pqvpn_aead_cleanup(void *context) { CCryptoBoringSSL_EVP_AEAD_CTX_cleanup(context); }

int pqvpn_aead_seal(const void *context, const uint8_t nonce[12], const uint8_t *ad, size_t ad_length,
                    uint8_t *data, size_t length) {
    size_t written = 0;
    int ok = CCryptoBoringSSL_EVP_AEAD_CTX_seal(context, data, &written, length + TAG, nonce, NONCE,
                                                data, length, ad, ad_length);
    return ok == 1 && written == length + TAG;
}

int pqvpn_aead_open(const void *context, const uint8_t nonce[12], const uint8_t *ad, size_t ad_length,
                    uint8_t *data, size_t length) {
    size_t written = 0;
    if (length < TAG) return 0;
    int ok = CCryptoBoringSSL_EVP_AEAD_CTX_open(context, data, &written, length, nonce, NONCE, data,
                                                length, ad, ad_length);
    return ok == 1 && written == length - TAG;
}

int pqvpn_has_aes_hardware(void) { return CCryptoBoringSSL_EVP_has_aes_hardware(); }
