// SPDX-License-Identifier: Apache-2.0
// libcrypto, for the one curve that swift-crypto lacks: brainpoolP512r1 (RFC 5639), and for the fallback packet cipher.
// Next to it the kernel calls that secret memory needs and that Swift's Glibc module does not show.
#pragma once
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "brainpool.h"
#include "openssl_aead.h"
