// SPDX-License-Identifier: Apache-2.0
// UDP sockets and batches of datagrams.
#define _GNU_SOURCE
#include "clinux.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
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

int clinux_udp_share(int fd) {
    int on = 1;
    return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) < 0 ? -errno : 0;
}

int clinux_udp_steer(int fd, int workers) {
    // Loads are of the UDP payload. One that reaches behind its end gives the first socket.
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, CLINUX_STEER_TYPE),
        BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, CLINUX_STEER_DATA, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, workers),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, CLINUX_STEER_INDEX),
        BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, workers),
        BPF_STMT(BPF_RET | BPF_A, 0),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program) < 0 ? -errno : 0;
}

// Sets an option of IPv4, of IPv6, or of both for a socket that speaks both.
static int option(int fd, int family, int v4, int v6, int value) {
    if (family != 6 && setsockopt(fd, IPPROTO_IP, v4, &value, sizeof value) < 0) return -errno;
    if (family != 4 && setsockopt(fd, IPPROTO_IPV6, v6, &value, sizeof value) < 0) return -errno;
    return 0;
}

int clinux_udp_probe_path(int fd, int family) {
    return option(fd, family, IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, IP_PMTUDISC_PROBE);
}

int clinux_udp_report_class(int fd, int family) { return option(fd, family, IP_RECVTOS, IPV6_RECVTCLASS, 1); }

int clinux_udp_report_local(int fd, int family) {
    // A socket of both families tells of IPv4 in the form of IPv6.
    int on = 1;
    if (family == 4) return setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof on) < 0 ? -errno : 0;
    return setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on) < 0 ? -errno : 0;
}

static int is_mapped(const struct clinux_address *address) { return memcmp(address->bytes, mapped, sizeof mapped) == 0; }

int clinux_udp_mark(int fd, uint32_t mark) {
    return setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof mark) < 0 ? -errno : 0;
}

int clinux_udp_route_mtu(const struct clinux_address *address, uint32_t mark) {
    int family = is_mapped(address) ? 4 : 6;
    int fd = clinux_udp_open(family);
    if (fd < 0) return fd;
    // Without the privilege for it nobody has made routes that go by it.
    if (mark) clinux_udp_mark(fd, mark);
    union any_address remote;
    socklen_t size = encode(&remote, family, address);
    int mtu = 0;
    socklen_t length = sizeof mtu;
    // Connecting a UDP socket looks the route up and sends nothing.
    int result = connect(fd, &remote.any, size);
    if (result == 0)
        result = getsockopt(fd, family == 4 ? IPPROTO_IP : IPPROTO_IPV6, family == 4 ? IP_MTU : IPV6_MTU, &mtu, &length);
    int error = errno;
    close(fd);
    return result < 0 ? -error : mtu;
}

int clinux_udp_route_source(const struct clinux_address *address, uint32_t mark, struct clinux_address *source) {
    int family = is_mapped(address) ? 4 : 6;
    int fd = clinux_udp_open(family);
    if (fd < 0) return fd;
    if (mark) clinux_udp_mark(fd, mark);
    union any_address remote;
    socklen_t size = encode(&remote, family, address);
    int result = connect(fd, &remote.any, size) < 0 ? -errno : clinux_udp_local_address(fd, source);
    close(fd);
    return result;
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

// Room for two control messages of an int and for an interface; the union aligns it.
union control {
    struct cmsghdr header;
    char bytes[2 * CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

static void read_control(struct msghdr *message, struct clinux_datagram *to) {
    to->segment = 0;
    to->traffic_class = 0;
    to->local.is_told = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
        int value = 0;
        if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO) {
            memcpy(&value, CMSG_DATA(c), sizeof value);
            to->segment = value > 0 ? (uint32_t)value : 0;
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) {
            to->traffic_class = *CMSG_DATA(c);
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS) {
            memcpy(&value, CMSG_DATA(c), sizeof value);
            to->traffic_class = (uint8_t)value;
        } else if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            // Of a broadcast, the address of the interface that it came by.
            memcpy(to->local.bytes, mapped, sizeof mapped);
            memcpy(to->local.bytes + sizeof mapped, &info.ipi_spec_dst, 4);
            to->local.is_told = 1;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo info;
            memcpy(&info, CMSG_DATA(c), sizeof info);
            memcpy(to->local.bytes, &info.ipi6_addr, sizeof to->local.bytes);
            to->local.is_told = to->local.bytes[0] != 0xff;
        }
    }
}

static void add_control(struct msghdr *message, union control *room, int level, int type, const void *data, size_t size) {
    if (!message->msg_control) message->msg_control = room;
    struct cmsghdr *c = (void *)(room->bytes + message->msg_controllen);
    message->msg_controllen += CMSG_SPACE(size);
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(c), data, size);
}

static int is_link_local(const struct clinux_address *address) {
    return address->bytes[0] == 0xfe && (address->bytes[1] & 0xc0) == 0x80;
}

// The interface to leave by, whatever the routes of other interfaces say (0: as they say), and the address to leave from, or none for
// what the kernel finds there. A socket of both families takes the message of IPv6 for IPv4, too, with an address in its form.
static void leave_by(struct msghdr *message, union control *room, int family, const struct clinux_datagram *datagram) {
    const struct clinux_address *address = &datagram->address;
    if (family == 4) {
        struct in_pktinfo info = {.ipi_ifindex = (int)address->scope};
        if (datagram->local.is_told) memcpy(&info.ipi_spec_dst, datagram->local.bytes + sizeof mapped, 4);
        add_control(message, room, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
    } else {
        struct in6_pktinfo info = {.ipi6_ifindex = address->scope};
        if (datagram->local.is_told) memcpy(&info.ipi6_addr, datagram->local.bytes, sizeof datagram->local.bytes);
        else if (is_mapped(address)) memcpy(&info.ipi6_addr, mapped, sizeof mapped);
        add_control(message, room, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
    }
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
        read_control(&messages[i].msg_hdr, &batch[i]);
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
                                              .msg_iov = &vectors[used]};
        struct iovec *last = NULL;
        for (uint32_t k = 0; k < trains[i].count && used < CLINUX_BATCH; k++) {
            // What was relayed lies as it came, one datagram after the other.
            if (last && (char *)last->iov_base + last->iov_len == (char *)first[k].base) {
                last->iov_len += first[k].length;
                continue;
            }
            last = &vectors[used++];
            *last = (struct iovec){first[k].base, first[k].length};
        }
        messages[i].msg_hdr.msg_iovlen = last ? (size_t)(last - messages[i].msg_hdr.msg_iov) + 1 : 0;
        if (trains[i].count > 1) {
            uint16_t size = (uint16_t)first->length;
            add_control(&messages[i].msg_hdr, &controls[i], IPPROTO_UDP, UDP_SEGMENT, &size, sizeof size);
        }
        if (first->traffic_class) {
            int class = first->traffic_class;
            int is_v4 = family == 4 || is_mapped(&first->address);
            add_control(&messages[i].msg_hdr, &controls[i], is_v4 ? IPPROTO_IP : IPPROTO_IPV6,
                        is_v4 ? IP_TOS : IPV6_TCLASS, &class, sizeof class);
        }
        if ((first->address.scope || first->local.is_told) && !is_link_local(&first->address))
            leave_by(&messages[i].msg_hdr, &controls[i], family, first);
    }
    int n = sendmmsg(fd, messages, (unsigned)count, MSG_DONTWAIT);
    return n < 0 ? -errno : n;
}
