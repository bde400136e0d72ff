// SPDX-License-Identifier: Apache-2.0
// The practical limit of a userspace tunnel on this machine: between a TUN device and a UDP socket with every offload that
// the kernel has, AES-256-GCM on each packet, one thread a direction, and nothing else. Inner checksums are trusted, not
// made and not verified: the far side's kernel is told that they are still to be made. What a VPN must do besides (a
// handshake, a replay window, routes, timers, IPv6) is what it costs beyond this.
//
//     forwarder INTERFACE LOCAL-ADDRESS REMOTE-ADDRESS PORT
//
// Inner IPv4 only; a static key, known to everybody. It is a yardstick, and no tunnel for anything of value.
#define _GNU_SOURCE
#include "aead.h"
#include "devices.h"
#include "ipv4.h"
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    COUNTER_BYTES = 8,
    OVERHEAD = COUNTER_BYTES + TAG_BYTES,
    TRAIN_BYTES = 65000, // a UDP datagram's payload ends at 65,507, and a train is one for most of its way
    TRAIN_PACKETS = 64,  // UDP_MAX_SEGMENTS of older kernels
    PACKET_BYTES = 65536 + 256,
    PARTS = 128, // of one write to the TUN device
};

static int tun, sock;
static struct sockaddr_in local, remote;
static const uint8_t key[KEY_BYTES] = "everybody knows this key: no VPN";

// The two ends share a key, so their nonces begin with whose they are.
static void make_nonce(uint8_t nonce[NONCE_BYTES], const struct sockaddr_in *sender, const uint8_t *counter) {
    memcpy(nonce, &sender->sin_addr, 4);
    memcpy(nonce + 4, counter, COUNTER_BYTES);
}

// ---- From the TUN device to the socket.

// Datagrams of one size, of which the last may be shorter, side by side: they leave in one call.
static struct {
    uint8_t bytes[PACKET_BYTES];
    size_t used, size;
    unsigned packets;
    int ended; // by a shorter datagram
} train;
static struct aead sealing;
static uint64_t counter;

static void send_train(void) {
    if (train.packets == 0) return;
    struct iovec part = {train.bytes, train.used};
    union {
        char bytes[CMSG_SPACE(sizeof(uint16_t))];
        struct cmsghdr align;
    } control = {0};
    struct msghdr message = {.msg_name = &remote, .msg_namelen = sizeof remote, .msg_iov = &part, .msg_iovlen = 1};
    if (train.packets > 1) {
        message.msg_control = &control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_UDP;
        header->cmsg_type = UDP_SEGMENT;
        header->cmsg_len = CMSG_LEN(sizeof(uint16_t));
        memcpy(CMSG_DATA(header), &(uint16_t){(uint16_t)train.size}, sizeof(uint16_t));
    }
    // Refused: the other end is not there yet. No buffers: the packets are lost, as on any path.
    if (sendmsg(sock, &message, 0) < 0 && errno != ECONNREFUSED && errno != ENOBUFS) fail("sendmsg");
    train.used = train.packets = train.ended = 0;
}

// Where the next inner packet of this length goes.
static uint8_t *room_for(size_t length) {
    size_t size = length + OVERHEAD;
    if (train.ended || size > train.size || train.used + size > TRAIN_BYTES || train.packets == TRAIN_PACKETS) send_train();
    if (train.packets == 0) train.size = size;
    return train.bytes + train.used + COUNTER_BYTES;
}

// Seals the inner packet that now is in that room.
static void add_to_train(size_t length) {
    uint8_t *datagram = train.bytes + train.used, nonce[NONCE_BYTES];
    memcpy(datagram, &counter, COUNTER_BYTES);
    counter++;
    make_nonce(nonce, &local, datagram);
    aead_seal(&sealing, datagram + COUNTER_BYTES, length, nonce);
    train.used += length + OVERHEAD;
    train.packets++;
    train.ended = length + OVERHEAD < train.size;
}

// A super-packet of TCP or UDP becomes packets of `segment` bytes of payload.
static void split(const uint8_t *packet, size_t length, size_t segment, int is_udp) {
    size_t ip = ip_header(packet), headers = ip + (is_udp ? UDP_HEADER : tcp_header(packet + ip));
    uint16_t id = get16(packet + IPV4_ID);
    if (segment == 0 || headers >= length) return;
    for (size_t at = headers; at < length; at += segment) {
        size_t payload = length - at < segment ? length - at : segment;
        uint8_t *one = room_for(headers + payload), *transport = one + ip;
        memcpy(one, packet, headers);
        memcpy(one + headers, packet + at, payload);
        put16(one + IPV4_ID, id++);
        set_ip_length(one, headers + payload);
        if (is_udp) {
            put16(transport + UDP_LENGTH, (uint16_t)(UDP_HEADER + payload));
        } else {
            put32(transport + TCP_SEQUENCE, get32(transport + TCP_SEQUENCE) + (uint32_t)(at - headers));
            if (at + payload < length) transport[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
            if (at > headers) transport[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
        }
        add_to_train(headers + payload);
    }
}

__attribute__((noreturn)) static void *from_tun(void *unused) {
    (void)unused;
    static uint8_t buffer[sizeof(struct virtio_net_hdr) + PACKET_BYTES];
    struct pollfd readable = {.fd = tun, .events = POLLIN};
    for (;;) {
        ssize_t got = read(tun, buffer, sizeof buffer);
        if (got < 0) {
            if (errno != EAGAIN) fail("read from the TUN device");
            // Nothing waits here for more: a train leaves when the device is empty.
            send_train();
            poll(&readable, 1, -1);
            continue;
        }
        struct virtio_net_hdr header;
        memcpy(&header, buffer, sizeof header);
        const uint8_t *packet = buffer + sizeof header;
        size_t length = (size_t)got - sizeof header;
        if (length < IPV4_MIN || packet[0] >> 4 != 4) continue;
        if (header.gso_type == VIRTIO_NET_HDR_GSO_NONE) {
            memcpy(room_for(length), packet, length);
            add_to_train(length);
        } else {
            split(packet, length, header.gso_size, header.gso_type == VIRTIO_NET_HDR_GSO_UDP_L4);
        }
    }
}

// ---- From the socket to the TUN device.

// Segments of one TCP flow in a row, where they lie in the received train: they enter the kernel in one call.
static struct {
    struct iovec parts[PARTS]; // the kernel's header, the first packet, payloads of those that follow it
    int count;
    uint8_t *first;
    size_t ip, headers, segment, total; // headers: 0 if it is no TCP
    uint32_t next;                      // sequence number
    int ended;
} joined;
static struct aead opening;

static void write_joined(void) {
    if (joined.count == 0) return;
    struct virtio_net_hdr header = {0};
    if (joined.headers > 0) {
        uint8_t *tcp = joined.first + joined.ip;
        set_ip_length(joined.first, joined.total);
        put16(tcp + TCP_CHECKSUM, pseudo_header_sum(joined.first, joined.total - joined.ip));
        header.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        header.csum_start = (uint16_t)joined.ip;
        header.csum_offset = TCP_CHECKSUM;
        header.hdr_len = (uint16_t)joined.headers;
        if (joined.count > 2) {
            header.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
            header.gso_size = (uint16_t)joined.segment;
        }
    }
    joined.parts[0] = (struct iovec){&header, sizeof header};
    // The interface may be down, or full.
    if (writev(tun, joined.parts, joined.count) < 0 && errno != EIO && errno != EAGAIN) fail("write to the TUN device");
    joined.count = 0;
}

static int follows(const uint8_t *packet, size_t headers, size_t payload) {
    const uint8_t *a = joined.first + joined.ip, *b = packet + joined.ip;
    return joined.count > 0 && !joined.ended && headers == joined.headers && payload <= joined.segment &&
           joined.count < PARTS && joined.total + payload < TRAIN_BYTES && get32(b + TCP_SEQUENCE) == joined.next &&
           memcmp(joined.first + IPV4_ADDRESSES, packet + IPV4_ADDRESSES, 8) == 0 && memcmp(a, b, 4) == 0 &&
           memcmp(a + TCP_ACK, b + TCP_ACK, 4) == 0 && memcmp(a + TCP_WINDOW, b + TCP_WINDOW, 2) == 0 &&
           memcmp(a + TCP_MIN, b + TCP_MIN, headers - joined.ip - TCP_MIN) == 0;
}

static void join(uint8_t *packet, size_t length) {
    size_t ip = length < IPV4_MIN ? 0 : ip_header(packet), headers = 0, payload = 0;
    if (ip < IPV4_MIN || packet[0] >> 4 != 4 || get16(packet + IPV4_LENGTH) != length) return;
    uint8_t *transport = packet + ip;
    int is_fragment = get16(packet + IPV4_FRAGMENT) & 0x3fff;
    if (packet[IPV4_PROTOCOL] == PROTOCOL_UDP && length >= ip + UDP_HEADER && !is_fragment) {
        put16(transport + UDP_CHECKSUM, 0); // was not made, and need not be there
    } else if (packet[IPV4_PROTOCOL] == PROTOCOL_TCP && length >= ip + TCP_MIN && !is_fragment) {
        headers = ip + tcp_header(transport);
        if (headers < ip + TCP_MIN || headers > length) return;
        payload = length - headers;
    }
    int is_data = payload > 0 && (transport[TCP_FLAGS] & ~TCP_PSH) == TCP_ACK_FLAG;
    if (is_data && follows(packet, headers, payload)) {
        joined.parts[joined.count++] = (struct iovec){packet + headers, payload};
        joined.total += payload;
        joined.next += (uint32_t)payload;
        joined.first[joined.ip + TCP_FLAGS] |= transport[TCP_FLAGS] & TCP_PSH;
        joined.ended = payload < joined.segment || (transport[TCP_FLAGS] & TCP_PSH);
        return;
    }
    write_joined();
    joined.parts[1] = (struct iovec){packet, length};
    joined.count = 2;
    joined.first = packet;
    joined.ip = ip;
    joined.headers = headers;
    joined.segment = payload;
    joined.total = length;
    joined.next = headers > 0 ? get32(transport + TCP_SEQUENCE) + (uint32_t)payload : 0;
    joined.ended = !is_data || (transport[TCP_FLAGS] & TCP_PSH);
    if (!is_data) write_joined();
}

__attribute__((noreturn)) static void *from_socket(void *unused) {
    (void)unused;
    static uint8_t buffer[PACKET_BYTES];
    union {
        char bytes[256];
        struct cmsghdr align;
    } control;
    for (;;) {
        struct iovec part = {buffer, sizeof buffer};
        struct msghdr message = {
            .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
        ssize_t got = recvmsg(sock, &message, 0);
        if (got <= 0) continue; // such as the news that the other end was not there
        size_t end = (size_t)got, size = end;
        for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
            int segment = 0;
            if (header->cmsg_level != SOL_UDP || header->cmsg_type != UDP_GRO) continue;
            memcpy(&segment, CMSG_DATA(header), sizeof segment);
            if (segment > 0) size = (size_t)segment;
        }
        for (size_t at = 0; at < end; at += size) {
            size_t length = end - at < size ? end - at : size;
            uint8_t *datagram = buffer + at, nonce[NONCE_BYTES];
            if (length <= OVERHEAD) continue;
            make_nonce(nonce, &remote, datagram);
            if (aead_open(&opening, datagram + COUNTER_BYTES, length - OVERHEAD, nonce))
                join(datagram + COUNTER_BYTES, length - OVERHEAD);
        }
        write_joined();
    }
}

int main(int count, char **arguments) {
    if (count == 2 && strcmp(arguments[1], "--version") == 0) {
        printf("AES-256-GCM by %s\n", aead_library);
        return 0;
    }
    if (count != 5) {
        fprintf(stderr, "usage: forwarder INTERFACE LOCAL-ADDRESS REMOTE-ADDRESS PORT\n");
        return 2;
    }
    local = address(arguments[2], arguments[4]);
    remote = address(arguments[3], arguments[4]);
    sock = open_socket(&local);
    tun = open_tun(arguments[1]);
    aead_init(&sealing, key);
    aead_init(&opening, key);
    pthread_t outward, inward;
    if (pthread_create(&outward, NULL, from_tun, NULL) != 0 || pthread_create(&inward, NULL, from_socket, NULL) != 0)
        fail("a thread");
    pthread_join(outward, NULL);
    return 0;
}
