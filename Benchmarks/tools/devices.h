// SPDX-License-Identifier: Apache-2.0
// The forwarder's TUN device and UDP socket, and the names that the kernel's headers may lack.
#pragma once
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

// Newer than the headers of Debian 12, older than most kernels that run below them.
#ifndef SOL_UDP
#define SOL_UDP 17
#endif
#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#define UDP_GRO 104
#endif
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int open_tun(const char *name) {
    int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (tun < 0 || ioctl(tun, TUNSETIFF, &request) < 0) fail(name);
    unsigned tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
    if (ioctl(tun, TUNSETOFFLOAD, tcp | TUN_F_USO4 | TUN_F_USO6) == 0) return tun;
    fprintf(stderr, "forwarder: this kernel has no UDP offload at a TUN device\n");
    if (ioctl(tun, TUNSETOFFLOAD, tcp) < 0) fail("TUNSETOFFLOAD");
    return tun;
}

static struct sockaddr_in address(const char *text, const char *port) {
    struct sockaddr_in result = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    if (inet_pton(AF_INET, text, &result.sin_addr) != 1) {
        fprintf(stderr, "forwarder: %s is no IPv4 address\n", text);
        exit(2);
    }
    return result;
}

static int open_socket(const struct sockaddr_in *local) {
    int bytes = 8 << 20, on = 1, sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (sock < 0 || bind(sock, (const struct sockaddr *)local, sizeof *local) < 0) fail("the UDP socket");
    setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes);
    setsockopt(sock, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes);
    if (setsockopt(sock, SOL_UDP, UDP_GRO, &on, sizeof on) < 0) perror("forwarder: UDP_GRO");
    return sock;
}
