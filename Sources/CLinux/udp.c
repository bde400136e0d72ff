// SPDX-License-Identifier: Apache-2.0
// UDP sockets and batches of datagrams.
#define _GNU_SOURCE
#include "clinux.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union any_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

static socklen_t encode(union any_address *to, int family, const struct clinux_address *from) {
    if (family == 4) {
        to->v4 = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(from->port)};
        memcpy(&to->v4.sin_addr, from->bytes + 12, 4);
        return sizeof to->v4;
    }
    to->v6 = (struct sockaddr_in6){
        .sin6_family = AF_INET6, .sin6_port = htons(from->port), .sin6_scope_id = from->scope};
    memcpy(&to->v6.sin6_addr, from->bytes, 16);
    return sizeof to->v6;
}

static void decode(struct clinux_address *to, const union any_address *from) {
    if (from->any.sa_family == AF_INET) {
        memcpy(to->bytes, mapped, 12);
        memcpy(to->bytes + 12, &from->v4.sin_addr, 4);
        to->port = ntohs(from->v4.sin_port);
        to->scope = 0;
    } else {
        memcpy(to->bytes, &from->v6.sin6_addr, 16);
        to->port = ntohs(from->v6.sin6_port);
        to->scope = from->v6.sin6_scope_id;
    }
}

int clinux_udp_open(int family) {
    int fd = socket(family == 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    int only = family == 6;
    if (family != 4 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

int clinux_udp_bind(int fd, int family, const struct clinux_address *address) {
    union any_address local;
    socklen_t size = encode(&local, family, address);
    return bind(fd, &local.any, size) < 0 ? -errno : 0;
}

int clinux_udp_local_address(int fd, struct clinux_address *address) {
    union any_address local;
    socklen_t size = sizeof local;
    if (getsockname(fd, &local.any, &size) < 0) return -errno;
    decode(address, &local);
    return 0;
}

static int buffer(int fd, int bytes, int plain, int forced) {
    if (bytes > 0 && setsockopt(fd, SOL_SOCKET, forced, &bytes, sizeof bytes) < 0)
        setsockopt(fd, SOL_SOCKET, plain, &bytes, sizeof bytes);
    int given = 0;
    socklen_t size = sizeof given;
    getsockopt(fd, SOL_SOCKET, plain, &given, &size);
    return given;
}

void clinux_udp_buffers(int fd, int receive, int send, int *receive_given, int *send_given) {
    *receive_given = buffer(fd, receive, SO_RCVBUF, SO_RCVBUFFORCE);
    *send_given = buffer(fd, send, SO_SNDBUF, SO_SNDBUFFORCE);
}

// Since Linux 4.18 and 5.0; older C libraries do not name them.
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

int clinux_udp_can_send_trains(int fd) {
    int none = 0;
    return setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &none, sizeof none) < 0 ? -errno : 0;
}

int clinux_udp_receive_trains(int fd) {
    int on = 1;
    return setsockopt(fd, IPPROTO_UDP, UDP_GRO, &on, sizeof on) < 0 ? -errno : 0;
}

// Room for one control message of an int; the union aligns it.
union control {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

static uint32_t segment_of(struct msghdr *message) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        if (c->cmsg_level != IPPROTO_UDP || c->cmsg_type != UDP_GRO) continue;
        int size;
        memcpy(&size, CMSG_DATA(c), sizeof size);
        return size > 0 ? (uint32_t)size : 0;
    }
    return 0;
}

int clinux_udp_receive(int fd, struct clinux_datagram *batch, int count) {
    struct mmsghdr messages[CLINUX_BATCH];
    struct iovec vectors[CLINUX_BATCH];
    union any_address addresses[CLINUX_BATCH];
    union control controls[CLINUX_BATCH];
    if (count > CLINUX_BATCH) count = CLINUX_BATCH;
    for (int i = 0; i < count; i++) {
        vectors[i] = (struct iovec){batch[i].base, batch[i].length};
        messages[i].msg_hdr = (struct msghdr){.msg_name = &addresses[i],
                                              .msg_namelen = sizeof addresses[i],
                                              .msg_iov = &vectors[i],
                                              .msg_iovlen = 1,
                                              .msg_control = &controls[i],
                                              .msg_controllen = sizeof controls[i]};
    }
    int n = recvmmsg(fd, messages, (unsigned)count, MSG_DONTWAIT, NULL);
    if (n < 0) return -errno;
    for (int i = 0; i < n; i++) {
        batch[i].length = messages[i].msg_len;
        batch[i].truncated = (messages[i].msg_hdr.msg_flags & MSG_TRUNC) != 0;
        batch[i].segment = segment_of(&messages[i].msg_hdr);
        decode(&batch[i].address, &addresses[i]);
    }
    return n;
}

int clinux_udp_send(
    int fd, int family, const struct clinux_datagram *batch, const struct clinux_train *trains, int count) {
    struct mmsghdr messages[CLINUX_BATCH];
    struct iovec vectors[CLINUX_BATCH];
    union any_address addresses[CLINUX_BATCH];
    union control controls[CLINUX_BATCH];
    if (count > CLINUX_BATCH) count = CLINUX_BATCH;
    uint32_t used = 0;
    for (int i = 0; i < count; i++) {
        const struct clinux_datagram *first = &batch[trains[i].first];
        messages[i].msg_hdr = (struct msghdr){.msg_name = &addresses[i],
                                              .msg_namelen = encode(&addresses[i], family, &first->address),
                                              .msg_iov = &vectors[used],
                                              .msg_iovlen = trains[i].count};
        for (uint32_t k = 0; k < trains[i].count && used < CLINUX_BATCH; k++, used++)
            vectors[used] = (struct iovec){first[k].base, first[k].length};
        if (trains[i].count < 2) continue;
        uint16_t size = (uint16_t)first->length;
        messages[i].msg_hdr.msg_control = &controls[i];
        messages[i].msg_hdr.msg_controllen = CMSG_SPACE(sizeof size);
        struct cmsghdr *c = CMSG_FIRSTHDR(&messages[i].msg_hdr);
        c->cmsg_level = IPPROTO_UDP;
        c->cmsg_type = UDP_SEGMENT;
        c->cmsg_len = CMSG_LEN(sizeof size);
        memcpy(CMSG_DATA(c), &size, sizeof size);
    }
    int n = sendmmsg(fd, messages, (unsigned)count, MSG_DONTWAIT);
    return n < 0 ? -errno : n;
}
