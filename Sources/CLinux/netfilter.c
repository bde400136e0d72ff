// SPDX-License-Identifier: Apache-2.0
// A way to the kernel's packet filters and what they remember (nfnetlink). What is said there is the caller's.
#define _GNU_SOURCE
#include "clinux.h"

#include <errno.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

int clinux_netfilter_open(int seconds) {
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
    if (fd < 0) return -errno;
    struct timeval limit = {.tv_sec = seconds};
    struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) < 0 ||
        connect(fd, (struct sockaddr *)&kernel, sizeof kernel) < 0) {
        int failed = -errno;
        close(fd);
        return failed;
    }
    return fd;
}
