// SPDX-License-Identifier: Apache-2.0
// The fallback packet cipher: OpenSSL's EVP with the key schedule kept, behind the same shape as CPacketAEAD's
// functions. Unlike BoringSSL's context this one changes with every call: one thread at a time.
#pragma once
#include <openssl/evp.h>
#include <string.h>

/// cipher: 0 AES-256-GCM, 1 ChaCha20-Poly1305. NULL on failure.
static inline EVP_CIPHER_CTX *pqvpn_openssl_aead_new(int cipher, const unsigned char key[32], int encrypt) {
    const EVP_CIPHER *type = cipher == 0 ? EVP_aes_256_gcm() : cipher == 1 ? EVP_chacha20_poly1305() : NULL;
    EVP_CIPHER_CTX *ctx = type == NULL ? NULL : EVP_CIPHER_CTX_new();
    if (ctx != NULL && EVP_CipherInit_ex(ctx, type, NULL, key, NULL, encrypt) != 1) {
        EVP_CIPHER_CTX_free(ctx);
        ctx = NULL;
    }
    return ctx;
}

static inline int pqvpn_openssl_aead_seal(EVP_CIPHER_CTX *ctx, const unsigned char nonce[12], const unsigned char *ad,
                                          size_t ad_length, unsigned char *data, size_t length) {
    int out = 0, tail = 0;
    unsigned char nothing[16];
    return EVP_CipherInit_ex(ctx, NULL, NULL, NULL, nonce, 1) == 1 &&
           (ad_length == 0 || EVP_EncryptUpdate(ctx, NULL, &out, ad, (int)ad_length) == 1) &&
           (length == 0 || (EVP_EncryptUpdate(ctx, data, &out, data, (int)length) == 1 && out == (int)length)) &&
           EVP_EncryptFinal_ex(ctx, nothing, &tail) == 1 && tail == 0 &&
           EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, 16, data + length) == 1;
}

/// `length` counts the tag. On failure the plaintext area is zeroed, since EVP decrypts before it knows.
static inline int pqvpn_openssl_aead_open(EVP_CIPHER_CTX *ctx, const unsigned char nonce[12], const unsigned char *ad,
                                          size_t ad_length, unsigned char *data, size_t length) {
    int out = 0, tail = 0;
    unsigned char nothing[16];
    if (length < 16) return 0;
    size_t body = length - 16;
    int ok = EVP_CipherInit_ex(ctx, NULL, NULL, NULL, nonce, 0) == 1 &&
             EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, 16, data + body) == 1 &&
             (ad_length == 0 || EVP_DecryptUpdate(ctx, NULL, &out, ad, (int)ad_length) == 1) &&
             (body == 0 || (EVP_DecryptUpdate(ctx, data, &out, data, (int)body) == 1 && out == (int)body)) &&
             EVP_DecryptFinal_ex(ctx, nothing, &tail) == 1;
    if (!ok) memset(data, 0, body);
    return ok;
}
