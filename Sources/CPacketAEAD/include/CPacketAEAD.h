// SPDX-License-Identifier: Apache-2.0
// The umbrella of this target: functions of the BoringSSL that swift-crypto already links, on memory that we own.
// It is no product of swift-crypto: the exact version is pinned in Package.swift, vectors test it, and nothing outside
// VPNCrypto may import it.
#pragma once
#include "packet_aead.h"
#include "private_keys.h"
