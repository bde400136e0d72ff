// SPDX-License-Identifier: Apache-2.0
// The few fields of IPv4, TCP and UDP headers that the forwarder reads and writes. Nothing here checks lengths: callers do.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { IPV4_MIN = 20, TCP_MIN = 20, UDP_HEADER = 8, PROTOCOL_TCP = 6, PROTOCOL_UDP = 17 };
// Offsets from the start of the IP header, and from the start of the TCP or UDP header.
enum { IPV4_LENGTH = 2, IPV4_ID = 4, IPV4_FRAGMENT = 6, IPV4_PROTOCOL = 9, IPV4_CHECKSUM = 10, IPV4_ADDRESSES = 12 };
enum { TCP_SEQUENCE = 4, TCP_ACK = 8, TCP_OFFSET = 12, TCP_FLAGS = 13, TCP_WINDOW = 14, TCP_CHECKSUM = 16 };
enum { UDP_LENGTH = 4, UDP_CHECKSUM = 6 };
enum { TCP_FIN = 0x01, TCP_PSH = 0x08, TCP_ACK_FLAG = 0x10, TCP_CWR = 0x80 };

static inline uint16_t get16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static inline uint32_t get32(const uint8_t *p) { return (uint32_t)get16(p) << 16 | get16(p + 2); }
static inline void put16(uint8_t *p, uint16_t value) {
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}
static inline void put32(uint8_t *p, uint32_t value) {
    put16(p, (uint16_t)(value >> 16));
    put16(p + 2, (uint16_t)value);
}

static inline size_t ip_header(const uint8_t *ip) { return (size_t)(ip[0] & 15) * 4; }
static inline size_t tcp_header(const uint8_t *tcp) { return (size_t)(tcp[TCP_OFFSET] >> 4) * 4; }

static inline uint16_t folded(uint32_t sum) {
    while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static inline uint32_t summed(const uint8_t *bytes, size_t length) { // an even length
    uint32_t sum = 0;
    for (size_t i = 0; i < length; i += 2) sum += get16(bytes + i);
    return sum;
}

static inline void set_ip_length(uint8_t *ip, size_t length) {
    put16(ip + IPV4_LENGTH, (uint16_t)length);
    put16(ip + IPV4_CHECKSUM, 0);
    put16(ip + IPV4_CHECKSUM, (uint16_t)~folded(summed(ip, ip_header(ip))));
}

// What a transport checksum starts from: the kernel wants it in the field of a packet whose checksum is still to be made.
static inline uint16_t pseudo_header_sum(const uint8_t *ip, size_t transport_length) {
    return folded(summed(ip + IPV4_ADDRESSES, 8) + ip[IPV4_PROTOCOL] + (uint32_t)transport_length);
}
