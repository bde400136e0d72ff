// SPDX-License-Identifier: Apache-2.0
// brainpoolP512r1 through EVP alone: no point or bignum arithmetic of ours. Every function returns NULL or 0 on
// failure and leaves OpenSSL's error queue empty.
#pragma once
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>

enum { PQVPN_BRAINPOOL_POINT = 129, PQVPN_BRAINPOOL_SCALAR = 64, PQVPN_BRAINPOOL_SECRET = 64 };

static inline EVP_PKEY *pqvpn_brainpool_generate(void) {
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)"brainpoolP512r1", 0),
        OSSL_PARAM_construct_end(),
    };
    if (ctx == NULL || EVP_PKEY_keygen_init(ctx) != 1 || EVP_PKEY_CTX_set_params(ctx, params) != 1 ||
        EVP_PKEY_generate(ctx, &key) != 1) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return key;
}

/// From the scalar, big-endian, 1 ..< n. It goes through a SEC 1 ECPrivateKey without a public key: OpenSSL then
/// computes the point with its own constant-time ladder.
static inline EVP_PKEY *pqvpn_brainpool_from_scalar(const unsigned char scalar[64]) {
    static const unsigned char head[] = {0x30, 0x52, 0x02, 0x01, 0x01, 0x04, 0x40};
    static const unsigned char tail[] = {0xa0, 0x0b, 0x06, 0x09, 0x2b, 0x24, 0x03, 0x03, 0x02, 0x08, 0x01, 0x01, 0x0d};
    unsigned char der[sizeof head + 64 + sizeof tail];
    memcpy(der, head, sizeof head);
    memcpy(der + sizeof head, scalar, 64);
    memcpy(der + sizeof head + 64, tail, sizeof tail);
    const unsigned char *cursor = der;
    EVP_PKEY *key = d2i_PrivateKey(EVP_PKEY_EC, NULL, &cursor, sizeof der);
    OPENSSL_cleanse(der, sizeof der);
    EVP_PKEY_CTX *ctx = key == NULL ? NULL : EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    // The private check is the range check; the public one refuses the infinite point of a zero scalar.
    if (ctx == NULL || EVP_PKEY_private_check(ctx) != 1 || EVP_PKEY_public_check_quick(ctx) != 1) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return key;
}

static inline int pqvpn_brainpool_public_point(const EVP_PKEY *key, unsigned char point[129]) {
    size_t length = 0;
    int ok = EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, PQVPN_BRAINPOOL_POINT, &length) == 1;
    ERR_clear_error();
    return ok && length == PQVPN_BRAINPOOL_POINT && point[0] == 4;
}

static inline int pqvpn_brainpool_scalar(const EVP_PKEY *key, unsigned char scalar[64]) {
    BIGNUM *number = NULL;
    int ok = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &number) == 1 &&
             BN_bn2binpad(number, scalar, PQVPN_BRAINPOOL_SCALAR) == PQVPN_BRAINPOOL_SCALAR;
    BN_clear_free(number);
    ERR_clear_error();
    return ok;
}

/// An uncompressed point (0x04 ‖ X ‖ Y) that lies on the curve; anything else is refused. The cofactor is 1, so that
/// the quick check (on the curve, not infinite, coordinates in range) is the whole check.
static inline EVP_PKEY *pqvpn_brainpool_parse_point(const unsigned char point[129]) {
    EVP_PKEY *key = NULL;
    if (point[0] != 4) return NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)"brainpoolP512r1", 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)point, PQVPN_BRAINPOOL_POINT),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY_CTX *check = NULL;
    int ok = ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1 &&
             EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) == 1 &&
             (check = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL)) != NULL && EVP_PKEY_public_check_quick(check) == 1;
    if (!ok) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    EVP_PKEY_CTX_free(check);
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return key;
}

/// ECDH: the X coordinate, 64 bytes. `peer` comes from pqvpn_brainpool_parse_point, which has validated it: the 0
/// below spares a second, full validation (2.8 ms against 1.75).
static inline int pqvpn_brainpool_derive(EVP_PKEY *own, EVP_PKEY *peer, unsigned char secret[64]) {
    size_t length = PQVPN_BRAINPOOL_SECRET;
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL);
    int ok = ctx != NULL && EVP_PKEY_derive_init(ctx) == 1 && EVP_PKEY_derive_set_peer_ex(ctx, peer, 0) == 1 &&
             EVP_PKEY_derive(ctx, secret, &length) == 1 && length == PQVPN_BRAINPOOL_SECRET;
    EVP_PKEY_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}
