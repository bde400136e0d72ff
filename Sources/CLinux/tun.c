// SPDX-License-Identifier: Apache-2.0
// TUN interfaces, and rtnetlink for their link, addresses and routes: one socket and one acknowledged message a call.
#define _GNU_SOURCE
#include "clinux.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

int clinux_tun_device(void) {
    int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int clinux_tun_attach(int fd, const char *name, unsigned flags) {
    int all = IFF_TUN | IFF_NO_PI;
    if (flags & CLINUX_TUN_HEADERS) all |= IFF_VNET_HDR;
    if (flags & CLINUX_TUN_QUEUES) all |= IFF_MULTI_QUEUE;
    if (flags & CLINUX_TUN_NEW) all |= IFF_TUN_EXCL;
    struct ifreq request = {.ifr_flags = (short)all};
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    return ioctl(fd, TUNSETIFF, &request) < 0 ? -errno : 0;
}

// Since Linux 6.2.
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

int clinux_tun_offload(int fd, int udp) {
    unsigned long flags = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | (udp ? TUN_F_USO4 | TUN_F_USO6 : 0);
    return ioctl(fd, TUNSETOFFLOAD, flags) < 0 ? -errno : 0;
}

int clinux_interface_index(const char *name) {
    unsigned index = if_nametoindex(name);
    return index == 0 ? -errno : (int)index;
}

// A request with room for its attributes.
struct request {
    struct nlmsghdr header;
    union {
        struct ifinfomsg link;
        struct ifaddrmsg address;
        struct rtmsg route;
    };
    char attributes[128];
};

static void begin(struct request *r, uint16_t type, uint16_t flags, size_t body) {
    memset(r, 0, sizeof *r);
    r->header.nlmsg_type = type;
    r->header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    r->header.nlmsg_len = (uint32_t)NLMSG_LENGTH(body);
}

static struct rtattr *add(struct request *r, uint16_t type, const void *data, size_t size) {
    struct rtattr *attribute = (void *)((char *)r + NLMSG_ALIGN(r->header.nlmsg_len));
    attribute->rta_type = type;
    attribute->rta_len = (unsigned short)RTA_LENGTH(size);
    if (size) memcpy(RTA_DATA(attribute), data, size);
    r->header.nlmsg_len = NLMSG_ALIGN(r->header.nlmsg_len) + RTA_ALIGN(attribute->rta_len);
    return attribute;
}

static void end(struct request *r, struct rtattr *nest) {
    nest->rta_len = (unsigned short)((char *)r + NLMSG_ALIGN(r->header.nlmsg_len) - (char *)nest);
}

union reply {
    struct nlmsghdr header;
    char bytes[8192];
};

// Sends a request and waits for its answer; 0, also where the answer is no error, or −errno.
static int exchange(struct request *r, union reply *answer) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    if (fd < 0) return -errno;
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    long n = sendto(fd, r, r->header.nlmsg_len, 0, (struct sockaddr *)&kernel, sizeof kernel);
    if (n >= 0) {
        do n = recv(fd, answer, sizeof *answer, 0);
        while (n < 0 && errno == EINTR);
    }
    int result = n < 0 ? -errno : 0;
    close(fd);
    if (result < 0) return result;
    if ((size_t)n < sizeof answer->header || answer->header.nlmsg_len > (size_t)n) return -EPROTO;
    if (answer->header.nlmsg_type != NLMSG_ERROR) return 0;
    if ((size_t)n < NLMSG_LENGTH(sizeof(struct nlmsgerr))) return -EPROTO;
    return ((struct nlmsgerr *)NLMSG_DATA(&answer->header))->error;
}

static int run(struct request *r) {
    union reply answer;
    return exchange(r, &answer);
}

int clinux_link_set(int index, uint32_t mtu, int up) {
    struct request r;
    begin(&r, RTM_NEWLINK, 0, sizeof r.link);
    r.link.ifi_index = index;
    if (up) r.link.ifi_flags = r.link.ifi_change = IFF_UP;
    if (mtu) add(&r, IFLA_MTU, &mtu, sizeof mtu);
    return run(&r);
}

int clinux_link_is_up(int index) {
    struct ifreq request = {0};
    if (!if_indextoname((unsigned)index, request.ifr_name)) return -errno;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    int result = ioctl(fd, SIOCGIFFLAGS, &request) < 0 ? -errno : (request.ifr_flags & IFF_UP) != 0;
    close(fd);
    return result;
}

int clinux_link_delete(int index) {
    struct request r;
    begin(&r, RTM_DELLINK, 0, sizeof r.link);
    r.link.ifi_index = index;
    return run(&r);
}

int clinux_link_without_autoconf(int index) {
    struct request r;
    begin(&r, RTM_SETLINK, 0, sizeof r.link);
    r.link.ifi_index = index;
    uint8_t none = IN6_ADDR_GEN_MODE_NONE;
    struct rtattr *families = add(&r, IFLA_AF_SPEC, NULL, 0);
    struct rtattr *inet6 = add(&r, AF_INET6, NULL, 0);
    add(&r, IFLA_INET6_ADDR_GEN_MODE, &none, sizeof none);
    end(&r, inet6);
    end(&r, families);
    return run(&r);
}

static int address_change(uint16_t type, uint16_t flags, int index, int family, const uint8_t *address,
                          int prefix_length) {
    size_t size = family == 4 ? 4 : 16;
    struct request r;
    begin(&r, type, flags, sizeof r.address);
    r.address.ifa_family = family == 4 ? AF_INET : AF_INET6;
    r.address.ifa_prefixlen = (uint8_t)prefix_length;
    r.address.ifa_index = (uint32_t)index;
    // A point-to-point link has nobody to ask whether the address is free; without this it is tentative for a second.
    if (family == 6) r.address.ifa_flags = IFA_F_NODAD;
    add(&r, IFA_LOCAL, address, size);
    add(&r, IFA_ADDRESS, address, size);
    return run(&r);
}

int clinux_address_add(int index, int family, const uint8_t *address, int prefix_length) {
    return address_change(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, index, family, address, prefix_length);
}

int clinux_address_remove(int index, int family, const uint8_t *address, int prefix_length) {
    return address_change(RTM_DELADDR, 0, index, family, address, prefix_length);
}

static int route(uint16_t type, uint16_t flags, int index, uint32_t table, int family, const uint8_t *network,
                 int prefix_length, const uint8_t *source, uint32_t metric) {
    struct request r;
    begin(&r, type, flags, sizeof r.route);
    r.route.rtm_family = family == 4 ? AF_INET : AF_INET6;
    r.route.rtm_dst_len = (uint8_t)prefix_length;
    // The old field has room for 255 tables only.
    r.route.rtm_table = table ? RT_TABLE_UNSPEC : RT_TABLE_MAIN;
    r.route.rtm_protocol = RTPROT_STATIC;
    r.route.rtm_scope = family == 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
    r.route.rtm_type = RTN_UNICAST;
    if (prefix_length > 0) add(&r, RTA_DST, network, family == 4 ? 4 : 16);
    add(&r, RTA_OIF, &index, sizeof index);
    if (table) add(&r, RTA_TABLE, &table, sizeof table);
    if (source) add(&r, RTA_PREFSRC, source, family == 4 ? 4 : 16);
    if (metric) add(&r, RTA_PRIORITY, &metric, sizeof metric);
    return run(&r);
}

int clinux_route_add(int index, uint32_t table, int family, const uint8_t *network, int prefix_length) {
    return route(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, index, table, family, network, prefix_length, NULL, 0);
}

int clinux_route_remove(int index, uint32_t table, int family, const uint8_t *network, int prefix_length) {
    return route(RTM_DELROUTE, 0, index, table, family, network, prefix_length, NULL, 0);
}

int clinux_route_prefer(int index, uint32_t table, int family, const uint8_t *network, int prefix_length,
                        const uint8_t *source) {
    return route(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, index, table, family, network, prefix_length, source, 0);
}

int clinux_route_behind(int index, uint32_t table, int family, const uint8_t *network, int prefix_length,
                        uint32_t metric, int add) {
    return route(add ? RTM_NEWROUTE : RTM_DELROUTE, add ? NLM_F_CREATE | NLM_F_EXCL : 0, index, table, family, network,
                 prefix_length, NULL, metric);
}

int clinux_address_is_local(int family, const uint8_t *address) {
    struct request r;
    begin(&r, RTM_GETROUTE, 0, sizeof r.route);
    r.header.nlmsg_flags = NLM_F_REQUEST;
    r.route.rtm_family = family == 4 ? AF_INET : AF_INET6;
    r.route.rtm_dst_len = family == 4 ? 32 : 128;
    add(&r, RTA_DST, address, family == 4 ? 4 : 16);
    union reply answer;
    int result = exchange(&r, &answer);
    if (result < 0) return result;
    if (answer.header.nlmsg_type != RTM_NEWROUTE || answer.header.nlmsg_len < NLMSG_LENGTH(sizeof(struct rtmsg)))
        return -EPROTO;
    return ((struct rtmsg *)NLMSG_DATA(&answer.header))->rtm_type == RTN_LOCAL;
}
