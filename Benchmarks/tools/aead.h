// SPDX-License-Identifier: Apache-2.0
// AES-256-GCM for the forwarder, one context a thread: by intel-ipsec-mb where it was there when this was compiled
// (-DWITH_IPSEC_MB), else by OpenSSL. A measuring tool's: its key is no secret and is never renewed.
#pragma once
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef WITH_IPSEC_MB
#include <intel-ipsec-mb.h>
#else
#include <openssl/evp.h>
#endif

enum { KEY_BYTES = 32, NONCE_BYTES = 12, TAG_BYTES = 16 };

struct aead {
#ifdef WITH_IPSEC_MB
    IMB_MGR *manager;
    // The library reads whole cache lines; its header aligns these only for those who define LINUX.
    _Alignas(64) struct gcm_key_data key;
    _Alignas(64) struct gcm_context_data context;
#else
    EVP_CIPHER_CTX *context;
#endif
};

#ifdef WITH_IPSEC_MB
static const char aead_library[] = "intel-ipsec-mb";

static void aead_init(struct aead *aead, const uint8_t key[KEY_BYTES]) {
    aead->manager = alloc_mb_mgr(0);
    if (aead->manager == NULL) {
        fprintf(stderr, "forwarder: no memory for intel-ipsec-mb\n");
        exit(1);
    }
    IMB_ARCH chosen;
    init_mb_mgr_auto(aead->manager, &chosen);
    IMB_AES256_GCM_PRE(aead->manager, key, &aead->key);
}

// Seals `text` in place and puts the tag behind it.
static inline void aead_seal(struct aead *aead, uint8_t *text, size_t length, const uint8_t nonce[NONCE_BYTES]) {
    IMB_AES256_GCM_ENC(aead->manager, &aead->key, &aead->context, text, text, length, nonce, NULL, 0, text + length,
                       TAG_BYTES);
}

// Opens `text`, whose tag is behind it, in place; 0 if the tag is wrong.
static inline int aead_open(struct aead *aead, uint8_t *text, size_t length, const uint8_t nonce[NONCE_BYTES]) {
    uint8_t tag[TAG_BYTES];
    IMB_AES256_GCM_DEC(aead->manager, &aead->key, &aead->context, text, text, length, nonce, NULL, 0, tag, TAG_BYTES);
    return memcmp(tag, text + length, TAG_BYTES) == 0;
}
#else
static const char aead_library[] = "OpenSSL";

static void aead_init(struct aead *aead, const uint8_t key[KEY_BYTES]) {
    aead->context = EVP_CIPHER_CTX_new();
    if (aead->context == NULL || EVP_CipherInit_ex(aead->context, EVP_aes_256_gcm(), NULL, key, NULL, 1) != 1) {
        fprintf(stderr, "forwarder: OpenSSL has no AES-256-GCM\n");
        exit(1);
    }
}

static inline void aead_seal(struct aead *aead, uint8_t *text, size_t length, const uint8_t nonce[NONCE_BYTES]) {
    int done;
    EVP_CipherInit_ex(aead->context, NULL, NULL, NULL, nonce, 1);
    EVP_CipherUpdate(aead->context, text, &done, text, (int)length);
    EVP_CipherFinal_ex(aead->context, text + length, &done);
    EVP_CIPHER_CTX_ctrl(aead->context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, text + length);
}

static inline int aead_open(struct aead *aead, uint8_t *text, size_t length, const uint8_t nonce[NONCE_BYTES]) {
    int done;
    EVP_CipherInit_ex(aead->context, NULL, NULL, NULL, nonce, 0);
    EVP_CIPHER_CTX_ctrl(aead->context, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, text + length);
    EVP_CipherUpdate(aead->context, text, &done, text, (int)length);
    return EVP_CipherFinal_ex(aead->context, text + length, &done) == 1;
}
#endif
